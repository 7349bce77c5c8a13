"""One daemon thread for calls that may hang in a driver."""

import asyncio
import concurrent.futures
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from danzar.errors import TelemetryUnavailable

T = TypeVar("T")


class DriverThread:
    """Runs calls one after another, each with a time limit for whoever waits.

    The thread is a daemon: a call that never returns keeps neither the event loop nor the
    process's exit waiting. While such a call is stuck, new ones fail at once; when it returns at
    last, its result is dropped and the thread serves again. ``call`` belongs to one event loop.
    """

    def __init__(self, name: str, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._running: concurrent.futures.Future[Any] | None = None
        self._stuck: concurrent.futures.Future[Any] | None = None
        self.stopped = False
        threading.Thread(target=self._serve, name=name, daemon=True).start()

    async def call(self, work: Callable[[], T]) -> T:
        """The result of ``work``, or its exception.

        Raises:
            TelemetryUnavailable: It took longer than the limit, an earlier call still hangs, or
                the thread was stopped.
        """
        if self.stopped:
            raise TelemetryUnavailable("the connection to the GPU driver was closed")
        if self._stuck is not None and self._stuck is self._running:
            raise TelemetryUnavailable(self._silence)
        future: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._jobs.put(lambda: self._settle(future, work))
        waiter = asyncio.wrap_future(future)
        try:
            done, _ = await asyncio.wait({waiter}, timeout=self._timeout_s)
        finally:
            waiter.cancel()
        if not done:
            self._stuck = self._running
            raise TelemetryUnavailable(self._silence)
        return waiter.result()

    def stop(self) -> None:
        """End the thread after what it does now; takes no further calls."""
        self.stopped = True
        self._jobs.put(None)

    @property
    def _silence(self) -> str:
        return (
            f"the GPU driver has not answered within {self._timeout_s:g} s; Danzar keeps asking. "
            "If nvidia-smi hangs too, restart the machine"
        )

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def _settle(self, future: concurrent.futures.Future[T], work: Callable[[], T]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        self._running = future
        try:
            future.set_result(work())
        except BaseException as exc:  # noqa: BLE001 - it belongs to whoever waits for the future
            future.set_exception(exc)
        finally:
            self._running = None
