"""The system's page cache: how much of a file is in it, and asking for more or less of it.

On Linux; elsewhere nothing is known and nothing is done, and the system decides alone.
"""

import contextlib
import ctypes
import mmap
import os
import sys
from collections.abc import Callable
from pathlib import Path

SUPPORTED = sys.platform == "linux"
_CHUNK_BYTES = 4 * 1024 * 1024
_LOWEST_BIT = bytes(byte & 1 for byte in range(256))  # the others mean nothing


def resident_bytes(path: Path) -> int | None:
    """How much of a file is in the page cache; ``None`` where the system does not say.

    Blocks for about a millisecond per GB.
    """
    if not SUPPORTED:
        return None
    try:
        size = path.stat().st_size
        if size == 0 or not _may_ask(path):
            return 0 if size == 0 else None
        with path.open("rb") as file, mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY) as m:
            pages = _resident_pages(m, size)
    except OSError:
        return None
    return None if pages is None else min(size, pages * mmap.PAGESIZE)


def drop(path: Path) -> bool:
    """Let the system forget a file's pages, those excepted that a process uses; whether asked."""
    return _advise(path, "POSIX_FADV_DONTNEED")


def read_ahead(path: Path, is_wanted: Callable[[], bool]) -> None:
    """Read a file once, so that it is in the page cache; until it is wanted no more. Blocks.

    By plain reads, on every system: asking Linux to read ahead (``POSIX_FADV_WILLNEED``) stopped
    after 8 MiB of 64 where it was tried.
    """
    buffer = bytearray(_CHUNK_BYTES)
    with contextlib.suppress(OSError), path.open("rb", buffering=0) as file:
        while is_wanted() and file.readinto(buffer):
            pass


def _advise(path: Path, advice: str) -> bool:
    if not SUPPORTED:
        return False
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.posix_fadvise(file, 0, 0, getattr(os, advice))
    except OSError:
        return False
    finally:
        os.close(file)
    return True


def _may_ask(path: Path) -> bool:
    """Of files that one could not write, Linux says that all is there, so that none is spied on."""
    return path.stat().st_uid == os.geteuid() or os.access(path, os.W_OK)


def _resident_pages(mapping: mmap.mmap, size: int) -> int | None:
    count = -(-size // mmap.PAGESIZE)
    flags = (ctypes.c_ubyte * count)()
    # The view must be gone before the mapping can be closed.
    view = ctypes.c_char.from_buffer(mapping)
    failed = _libc().mincore(ctypes.c_void_p(ctypes.addressof(view)), ctypes.c_size_t(size), flags)
    del view
    return None if failed else bytes(flags).translate(_LOWEST_BIT).count(1)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
