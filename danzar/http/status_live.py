"""``GET /v1/live``: everything that the page shows, as it changes, by Server-Sent Events.

One task reads the parts at most once a second, and only while somebody listens. Its owner runs
``LiveFeed.run``.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager

from aiohttp import web
from aiohttp.typedefs import Handler

from danzar.broker.decision import Decision
from danzar.errors import DanzarError
from danzar.http.model_json import Json, decision_json
from danzar.http.queue_json import queue_json
from danzar.http.status_board import MOST_ROWS, Board
from danzar.http.status_guard import error
from danzar.http.status_json import log_json, status_json, to_json
from danzar.http.status_parts import StatusParts
from danzar.logs.line import LogLine

log = logging.getLogger(__name__)

PERIOD_S = 1.0
MOST_CLIENTS = 16
# A client that takes nothing for so long is dropped.
WRITE_TIMEOUT_S = 10.0
# A key that is revoked ends its streams within this time.
RECHECK_S = 30.0
_JOBS_TIMEOUT_S = 2.0
_FULL = 503
_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "X-Accel-Buffering": "no",  # nginx passes events on as they come
}
_INCREMENTAL = frozenset({"decisions", "messages"})


class LiveFeed:
    """Reads once for everybody who listens."""

    def __init__(self, parts: StatusParts, clock_s: Callable[[], float] = time.time) -> None:
        self._parts = parts
        self._clock_s = clock_s
        self._board = Board()
        self._ticked = asyncio.Condition()
        self._wanted = asyncio.Event()
        self._closing = False
        self._clients = 0
        self._fresh_from = 1
        self._failing = False
        self._last_decision: Decision | None = None
        self._last_line = 0

    @property
    def clients(self) -> int:
        """How many listen."""
        return self._clients

    async def run(self) -> None:
        """Read while somebody listens, until cancelled."""
        while True:
            await self._wanted.wait()
            await self._tick()
            async with self._ticked:
                self._ticked.notify_all()
            await asyncio.sleep(PERIOD_S)

    async def close(self) -> None:
        """End every stream."""
        self._closing = True
        async with self._ticked:
            self._ticked.notify_all()

    async def events(self) -> AsyncGenerator[bytes]:
        """What is new, once a tick, beginning with everything."""
        seen = 0
        while True:
            async with self._ticked:
                await self._ticked.wait_for(lambda: self._closing or self._has_news(seen))  # noqa: B023
            if self._closing:
                return
            told, seen = self._board.since(seen), self._board.tick
            yield f"data: {told}\n\n".encode()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Count a client while the context lasts."""
        if not self._clients:
            # What was read for the one before, perhaps an hour ago, is nothing to begin with.
            self._fresh_from = self._board.tick + 1
        self._clients += 1
        self._wanted.set()
        try:
            yield
        finally:
            self._clients -= 1
            if not self._clients:
                self._wanted.clear()

    def _has_news(self, seen: int) -> bool:
        return self._board.tick >= max(seen + 1, self._fresh_from)

    async def _tick(self) -> None:
        try:
            await self._read()
        except Exception:
            if not self._failing:
                log.exception("the page's figures could not be read")
            self._failing = True
        else:
            self._failing = False

    async def _read(self) -> None:
        sections: dict[str, object] = {
            key: body
            for key, body in status_json(self._parts.facts()).items()
            if key not in _INCREMENTAL
        }
        sections["queues"] = queue_json(self._parts.planner.queues())["queues"]
        sections["incidents"] = list(self._parts.incidents())
        sections["readiness"] = self._parts.probes.ready()[1]
        sections["jobs"], sections["jobs_error"] = await self._jobs()
        rows = {
            "decisions": [decision_json(d) for d in self._new_decisions()],
            "log": [log_json(line) for line in self._new_lines()],
        }
        self._board.put(
            self._clock_s(),
            {name: to_json(body) for name, body in sections.items()},
            {name: map(to_json, each) for name, each in rows.items()},
        )

    def _new_decisions(self) -> list[Decision]:
        new: list[Decision] = []
        for decision in reversed(self._parts.decisions()):
            if decision is self._last_decision or len(new) == MOST_ROWS:
                break
            new.append(decision)
        if new:
            self._last_decision = new[0]
        return new[::-1]

    def _new_lines(self) -> tuple[LogLine, ...]:
        new = self._parts.log.since(self._last_line)[-MOST_ROWS:]
        if new:
            self._last_line = new[-1].number
        return new

    async def _jobs(self) -> tuple[Sequence[Json], str | None]:
        """The newest jobs, or why there are none."""
        try:
            async with asyncio.timeout(_JOBS_TIMEOUT_S):
                return await self._parts.jobs(), None
        except TimeoutError:
            return [], "the queue does not answer"
        except DanzarError as exc:
            return [], str(exc)


Admits = Callable[[web.Request], Awaitable[bool]]


def live_handler(feed: LiveFeed, still_admits: Admits) -> Handler:
    """``GET /v1/live``; ``still_admits`` is asked now and then whether a stream may go on."""

    async def live(request: web.Request) -> web.StreamResponse:
        if feed.clients >= MOST_CLIENTS:
            text = f"{MOST_CLIENTS} pages are open already; close one"
            return error(_FULL, text, {"Retry-After": "5"})
        response = web.StreamResponse(headers=_HEADERS)
        with feed.listening():
            await response.prepare(request)
            await _stream(feed, request, response, still_admits)
        return response

    return live


async def _stream(
    feed: LiveFeed, request: web.Request, response: web.StreamResponse, still_admits: Admits
) -> None:
    """Send what is new until the client goes, its key is revoked, or the server stops."""
    checked_s = time.monotonic()
    async with aclosing(feed.events()) as events:
        async for piece in events:
            if time.monotonic() - checked_s >= RECHECK_S:
                if not await still_admits(request):
                    break
                checked_s = time.monotonic()
            if not await _sent(request, response, piece):
                break


async def _sent(request: web.Request, response: web.StreamResponse, piece: bytes) -> bool:
    """Whether the client took it in time; one that did not is cut off."""
    try:
        async with asyncio.timeout(WRITE_TIMEOUT_S):
            await response.write(piece)
    except TimeoutError:
        log.info("a page at %s takes nothing of its stream, and is cut off", request.remote)
        if request.transport is not None:
            request.transport.abort()
        return False
    except ConnectionError:
        return False
    return True
