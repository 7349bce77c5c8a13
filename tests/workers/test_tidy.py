"""A worker gives back what its requests left behind, in a quiet moment."""

import gc
import threading
import time
import weakref

import pytest

from danzar.workers import tidy

SOON_S = 0.01
PATIENCE_S = 20.0


class Garbage:
    """Holds itself: only a search finds it."""

    def __init__(self):
        self.itself = self


class WorkerAtRest:
    """A host without models, whose work a test makes up."""

    def __init__(self):
        self.handled = 0
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
def worker():
    host = WorkerAtRest()
    thread = threading.Thread(target=tidy.tidy_until_shutdown, args=(host, SOON_S))
    thread.start()
    yield host
    host.shut_down()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def gone(look, patience_s=PATIENCE_S):
    until = time.monotonic() + patience_s
    while look() is not None and time.monotonic() < until:
        time.sleep(SOON_S)
    return look() is None


def test_garbage_of_requests_is_collected_after_them(worker, garbage):
    worker.handled += 1
    assert gone(garbage)


def test_a_worker_that_did_nothing_is_left_in_peace(worker, garbage):
    assert not gone(garbage, 20 * SOON_S)


def test_a_busy_worker_is_tidied_once_it_is_idle(worker, garbage):
    worker.idle = False
    worker.handled += 1
    assert not gone(garbage, 20 * SOON_S)
    worker.idle = True
    assert gone(garbage)


def test_a_worker_that_is_never_idle_is_tidied_all_the_same(worker, garbage, monkeypatch):
    monkeypatch.setattr(tidy, "_PATIENCE_S", 10 * SOON_S)
    worker.idle = False
    worker.handled += 1
    assert gone(garbage)


def test_a_busy_worker_ends_when_it_is_told(worker):
    worker.idle = False
    worker.handled += 1
    time.sleep(10 * SOON_S)
    worker.shut_down()
