"""Freed memory in a process with many threads: how much of it the C library keeps."""

import os
import platform
import subprocess
import sys

import pytest

from danzar.heap import map_large_blocks, use_one_heap

GLIBC = sys.platform == "linux" and platform.libc_ver()[0] == "glibc"
OWNERS_CHOICE = ("MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES", "LD_PRELOAD")

# Sixteen threads hold a small block at the same moment, which makes glibc open heaps for them.
SCRIPT = """
import ctypes, re, sys, tempfile, threading
from danzar.heap import use_one_heap
if sys.argv[1] == "shared":
    print(use_one_heap())
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
libc.malloc_info.argtypes = (ctypes.c_int, ctypes.c_void_p)
libc.fclose.argtypes = (ctypes.c_void_p,)
together = threading.Barrier(16)
def take():
    for _ in range(50):
        together.wait()
        libc.malloc(2000)
threads = [threading.Thread(target=take) for _ in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
with tempfile.NamedTemporaryFile() as told:
    stream = libc.fopen(told.name.encode(), b"w")
    libc.malloc_info(0, stream)
    libc.fclose(stream)
    print(len(re.findall("<heap ", open(told.name).read())))
"""


# Every other block is freed: pages become free between those that stay, and none at the heap's end.
FREED = """
import psutil
from danzar.heap import give_back, use_one_heap
use_one_heap()
blocks = [bytearray(16_000) for _ in range(4_000)]
kept = blocks[::2]
del blocks
before = psutil.Process().memory_info().rss
give_back()
print(before - psutil.Process().memory_info().rss)
"""


@pytest.mark.skipif(not GLIBC, reason="only glibc keeps pages that are free")
def test_pages_that_became_free_between_blocks_are_given_back():
    command = [sys.executable, "-c", FREED]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    assert int(done.stdout) > 8_000_000  # of the 32 MB, what are whole pages


# What a search for garbage looks through, before and after; and whether it still finds any.
SEARCH = """
import gc
import danzar.app
from danzar.heap import set_imports_apart
gc.collect()
print(len(gc.get_objects()))
set_imports_apart()
print(len(gc.get_objects()))
garbage = []
garbage.append(garbage)
del garbage
print(gc.collect())
"""


def test_searches_for_garbage_leave_out_what_was_imported_and_find_what_is_new():
    command = [sys.executable, "-W", "ignore", "-c", SEARCH]
    done = subprocess.run(command, capture_output=True, check=True, timeout=120)
    before, after, found = map(int, done.stdout.split())
    assert before > 50_000
    assert after < before / 100
    assert found >= 1


def heaps(how):
    kept = {name: value for name, value in os.environ.items() if name not in OWNERS_CHOICE}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, how],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=kept,
    )
    return done.stdout.split()


@pytest.mark.skipif(not GLIBC, reason="only glibc has heaps for threads")
def test_all_threads_share_one_heap():
    said, count = heaps("shared")
    assert said == "True"
    assert int(count) == 1
    assert int(heaps("as it is")[0]) > 1


# A freed block of 8 MB below one that stays; glibc learns from it to keep such blocks in the heap.
LARGE = """
import psutil, sys
from danzar.heap import map_large_blocks
if sys.argv[1] == "mapped":
    print(map_large_blocks())
bytearray(16_000_000)
block, small = bytearray(b"x") * 8_000_000, [bytearray(1_000) for _ in range(100)]
before = psutil.Process().memory_info().rss
del block
print(before - psutil.Process().memory_info().rss)
"""


@pytest.mark.skipif(not GLIBC, reason="only glibc learns to keep large blocks")
def test_large_blocks_are_given_back_when_they_are_freed():
    def given_back(how):
        command = [sys.executable, "-c", LARGE, how]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        return done.stdout.split()

    assert given_back("mapped")[0] == "True"
    assert int(given_back("mapped")[1]) > 7_000_000
    assert int(given_back("as it is")[0]) < 1_000_000


@pytest.mark.parametrize("name", OWNERS_CHOICE)
def test_what_the_owner_chose_stays(monkeypatch, name):
    monkeypatch.setenv(name, "1")
    assert not use_one_heap()
    assert not map_large_blocks()
