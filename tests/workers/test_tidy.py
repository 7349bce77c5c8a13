"""A worker gives back what its requests left behind, once it has nothing to do."""

import gc
import sys
import threading
import time
import weakref

import psutil
import pytest

from danzar.workers import tidy

SOON_S = 0.01
NEVER_S = 3_600.0
PATIENCE_S = 20.0
BLOCK_BYTES = 1_000
BLOCKS = 100_000


class Garbage:
    """Holds itself: only a search finds it."""

    def __init__(self):
        self.itself = self


class WorkerAtRest:
    """A host without models, whose work a test makes up."""

    def __init__(self):
        self.traffic = 0
        self.idle = True
        self._ended = threading.Event()

    def is_idle(self):
        return self.idle

    def wait_for_shutdown(self, timeout_s):
        return self._ended.wait(timeout_s)

    def shut_down(self):
        self._ended.set()


@pytest.fixture
def garbage():
    """A look at garbage which Python does not search for by itself."""
    gc.disable()
    yield weakref.ref(Garbage())
    gc.enable()


@pytest.fixture
def tidied():
    """Starts the upkeep of a worker; ends it after the test."""
    running = []

    def start(collect_s=SOON_S, patience_s=SOON_S):
        host = WorkerAtRest()
        args = (host, SOON_S, collect_s, patience_s)
        thread = threading.Thread(target=tidy.tidy_until_shutdown, args=args)
        thread.start()
        running.append((host, thread))
        return host

    yield start
    for host, thread in running:
        host.shut_down()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


@pytest.fixture
def worker(tidied):
    return tidied()


@pytest.fixture
def free_pages():
    """Pages in which nothing is, below a block that is still in use."""
    blocks = [bytes(BLOCK_BYTES) for _ in range(BLOCKS)]
    last = blocks.pop()
    before = resident_bytes()
    blocks.clear()
    yield lambda: before - resident_bytes() < BLOCKS * BLOCK_BYTES / 2
    del last


def resident_bytes():
    return psutil.Process().memory_info().rss


def gone(look, patience_s=PATIENCE_S):
    until = time.monotonic() + patience_s
    while look() and time.monotonic() < until:
        time.sleep(SOON_S)
    return not look()


def test_garbage_of_requests_is_collected_after_them(worker, garbage):
    worker.traffic += 1
    assert gone(garbage)


def test_a_worker_that_did_nothing_is_left_in_peace(worker, garbage):
    assert not gone(garbage, 20 * SOON_S)


def test_a_busy_worker_is_tidied_once_it_is_idle(tidied, garbage):
    worker = tidied(patience_s=NEVER_S)
    worker.idle = False
    worker.traffic += 1
    assert not gone(garbage, 20 * SOON_S)
    worker.idle = True
    assert gone(garbage)


def test_a_worker_that_is_never_idle_is_tidied_all_the_same(worker, garbage):
    worker.idle = False
    worker.traffic += 1
    assert gone(garbage)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere freed pages go back by themselves")
def test_free_pages_go_back_as_soon_as_a_worker_is_quiet(tidied, free_pages):
    worker = tidied(NEVER_S, NEVER_S)
    assert not gone(free_pages, 20 * SOON_S)
    worker.idle = False
    worker.traffic += 1
    assert not gone(free_pages, 20 * SOON_S)
    worker.idle = True
    assert gone(free_pages)


def test_garbage_waits_for_its_time(tidied, garbage):
    worker = tidied(NEVER_S, NEVER_S)
    worker.traffic += 1
    assert not gone(garbage, 20 * SOON_S)


def test_a_busy_worker_ends_when_it_is_told(worker):
    worker.idle = False
    worker.traffic += 1
    time.sleep(10 * SOON_S)
    worker.shut_down()
