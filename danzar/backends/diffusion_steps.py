"""A pipeline at work in a thread of its own: its steps come out as they are done, and it can stop.

diffusers blocks until all is done and calls back after each step. The computing thread puts what it
has into a queue; the thread that answers the request takes it from there. Stopping is looked at
before every block of every network, which is many times a step.
"""

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch

from danzar.backends.diffusion_memory import blocks, networks
from danzar.workers.contract import Part, Result


class Stopped(Exception):
    """The request was cancelled in the middle of a step."""


class StopPoint:
    """Called before every block; ends the computing where the request was cancelled."""

    def __init__(self) -> None:
        self._is_cancelled: Callable[[], bool] = bool

    def watch(self, pipeline: Any) -> None:  # noqa: ANN401 - diffusers' classes
        """From now on, be asked by every block of the pipeline."""
        for network in networks(pipeline).values():
            for block in blocks(network):
                block.register_forward_pre_hook(lambda *_: self.check())

    @contextlib.contextmanager
    def of(self, is_cancelled: Callable[[], bool]) -> Iterator[None]:
        """Inside, go by this request."""
        self._is_cancelled = is_cancelled
        try:
            yield
        finally:
            self._is_cancelled = bool

    def check(self) -> None:
        """Raise ``Stopped`` where the request was cancelled."""
        if self._is_cancelled():
            raise Stopped


Emit = Callable[[Part], None]
Item = Part | Result | BaseException


def stream(
    work: Callable[[Emit, Callable[[], bool]], Result], is_cancelled: Callable[[], bool]
) -> Iterator[Part | Result]:
    """Run ``work`` in a thread; yield what it emits, then its result, or raise what it raised.

    Closing the generator stops the work and waits for it.
    """
    items: queue.SimpleQueue[Item] = queue.SimpleQueue()
    closed = threading.Event()

    def compute() -> None:
        try:
            with torch.no_grad():
                items.put(work(items.put, lambda: closed.is_set() or is_cancelled()))
        except BaseException as exc:  # noqa: BLE001 - raised again where the request is answered
            items.put(exc)

    thread = threading.Thread(target=compute, name="diffusion", daemon=True)
    thread.start()
    try:
        yield from _until_result(items)
    finally:
        closed.set()
        thread.join()


def _until_result(items: "queue.SimpleQueue[Item]") -> Iterator[Part | Result]:
    while True:
        item = items.get()
        if isinstance(item, BaseException):
            raise item
        yield item
        if not isinstance(item, Part):
            return
