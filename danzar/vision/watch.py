"""Watch sources in the background: start, stop and status of all watches."""

import asyncio
import contextvars
from collections import deque
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from types import TracebackType

from danzar.config.settings import Config
from danzar.core.asker import Asker, RequestClass
from danzar.errors import BadInput, QueueFull
from danzar.inference import Inference
from danzar.vision.addresses import Lookup, look_up
from danzar.vision.service import VisionService
from danzar.vision.sources import resolve_source, source_label
from danzar.vision.watcher import Alert, Ended, Listener, Starter, Watcher, WatchStatus
from danzar.workers.contract import Capture

__all__ = ["Alert", "Ended", "Listener", "WatchService", "WatchStatus"]

_KEPT_ENDED = 5
_STOP_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class _Running:
    watcher: Watcher
    task: asyncio.Task[None]


class WatchService:
    """All watches: ``async with WatchService(inference, vision, config) as watches: ...``."""

    def __init__(
        self,
        inference: Inference,
        vision: VisionService,
        config: Config,
        *,
        lookup: Lookup = look_up,
    ) -> None:
        self._inference = inference
        self._vision = vision
        self._config = config
        self._lookup = lookup
        self._running: dict[int, _Running] = {}
        self._ended: deque[WatchStatus] = deque(maxlen=_KEPT_ENDED)
        self._last_id = 0
        self._stack = AsyncExitStack()
        self._group: asyncio.TaskGroup | None = None
        self._context = contextvars.Context()

    async def __aenter__(self) -> "WatchService":
        """Open the task group that owns the watchers."""
        self._group = await self._stack.enter_async_context(asyncio.TaskGroup())
        # A watch outlives the command that starts it, so it does not run in that one's context.
        self._context = contextvars.copy_context()
        self._stack.push_async_callback(self.stop)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop all watchers."""
        # Not told of the body's error: it goes on as it is, not in an ExceptionGroup.
        await self._stack.aclose()

    async def start(
        self, source: str, listener: Listener, *, person: str | None = None
    ) -> WatchStatus:
        """Begin to watch ``source`` (a name from the config, a path, a URL, screen:N, camera:N).

        ``listener`` gets every ``Alert``, and one ``Ended`` if the watch ends by itself. ``person``
        is who starts it: frames wait in that person's turn.

        Raises:
            danzar.errors.BadInput: The source is not allowed, not there, or watched already.
            danzar.errors.QueueFull: ``watch.max_watches`` run already.
        """
        settings = self._config.bot.watch
        capture = await resolve_source(
            source,
            settings,
            self._config.root,
            processing_fps=self._config.vision.clip.processing_fps,
            lookup=self._lookup,
        )
        self._require_room(capture)
        self._last_id += 1
        loop = asyncio.get_running_loop()
        status = WatchStatus(self._last_id, source_label(source, settings), loop.time())
        starter = Starter(listener, Asker(RequestClass.WATCH, person))
        watcher = Watcher(status, capture, self._inference, self._vision, self._config, starter)
        self._launch(watcher)
        return status

    async def stop(self, watch_id: int | None = None) -> tuple[WatchStatus, ...]:
        """End one watch, or all; returns those that were ended, and when they are."""
        chosen = {
            number: running
            for number, running in self._running.items()
            if watch_id is None or number == watch_id
        }
        for running in chosen.values():
            running.task.cancel()
        if chosen:
            tasks = {running.task for running in chosen.values()}
            await asyncio.wait(tasks, timeout=_STOP_TIMEOUT_S)
        return tuple(running.watcher.status for running in chosen.values())

    def status(self) -> tuple[WatchStatus, ...]:
        """Running watches, then the last ended ones, newest first."""
        running = (running.watcher.status for running in self._running.values())
        return (*running, *reversed(self._ended))

    def _require_room(self, capture: Capture) -> None:
        limit = self._config.bot.watch.max_watches
        for number, running in self._running.items():
            if running.watcher.capture == capture:
                raise BadInput(f"that is watched already, as watch {number}")
        if len(self._running) >= limit:
            raise QueueFull(f"{limit} watches run already; stop one first (watch.max_watches)")

    def _launch(self, watcher: Watcher) -> None:
        if self._group is None:
            raise RuntimeError("WatchService is used outside its `async with`")
        number = watcher.status.id
        task = self._context.run(self._group.create_task, watcher.run(), name=f"watch-{number}")
        self._running[number] = _Running(watcher, task)
        task.add_done_callback(lambda _: self._forget(number))

    def _forget(self, number: int) -> None:
        status = self._running.pop(number).watcher.status
        # A task that was cancelled before it began could not say so itself.
        self._ended.append(status if status.ended else replace(status, ended="stopped"))
