"""Answers that are streamed, and answers that end when their client goes.

An answer runs in a task of its own. Its status is sent when its first piece is there, so that what
goes wrong before has a status of its own; what goes wrong later is an event in the stream.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing, suppress
from typing import Any, TypeVar

import msgspec
from fastapi import Request
from starlette.types import Receive, Scope, Send

from danzar.errors import DanzarError
from danzar.http.api_errors import ApiError, error_body, error_of
from danzar.http.api_sse import EventStream, event

log = logging.getLogger(__name__)
T = TypeVar("T")

DONE = event(b"[DONE]")
# Until then the client waits for the status; afterwards it gets signs of life.
_HEAD_WITHIN_S = 10.0
_WAITING = 16
_HUNG_UP = 499


class ClientGone(ApiError):
    """Nobody is there any more to take the answer."""

    def __init__(self) -> None:
        super().__init__(_HUNG_UP, "the client hung up", code="client_gone")


def json_event(value: object, name: str | None = None) -> bytes:
    """One event with this JSON."""
    return event(msgspec.json.encode(value), name)


class Running:
    """An answer on its way."""

    def __init__(self, pieces: AsyncGenerator[bytes]) -> None:
        """Start it; ``aclose`` must be called."""
        self._pieces = pieces
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(_WAITING)
        self._begun = asyncio.Event()
        self._failed: Exception | None = None
        self._is_answered = False
        self._task = asyncio.create_task(self._run(), name="api-answer")

    async def begin(self) -> None:
        """Wait for the first piece, but not for long.

        Raises:
            Exception: What went wrong before it.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(_HEAD_WITHIN_S):
                await self._begun.wait()
        if self._failed is not None:
            raise self._failed
        self._is_answered = True

    async def events(self) -> AsyncGenerator[bytes]:
        """The pieces, as they come."""
        while (piece := await self._queue.get()) is not None:
            yield piece

    async def aclose(self) -> None:
        """Stop it, and wait until it has stopped."""
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _run(self) -> None:
        try:
            async with aclosing(self._pieces):
                async for piece in self._pieces:
                    await self._queue.put(piece)
                    self._begun.set()
        except Exception as exc:  # noqa: BLE001 - the task's outermost edge
            await self._fail(exc)
        self._begun.set()
        await self._queue.put(None)

    async def _fail(self, error: Exception) -> None:
        """Tell the error: by its status while there is none yet, else as the last event."""
        known = isinstance(error, DanzarError)
        told = error_of(error) if isinstance(error, DanzarError) else error
        if not (self._is_answered or self._begun.is_set()):
            self._failed = told
            return
        if not known:
            log.error("an answer broke off", exc_info=error)
        body = told.body if isinstance(told, ApiError) else error_body("an error of Danzar's own")
        await self._queue.put(json_event(body))


class AnswerStream(EventStream):
    """The response of an answer that has begun."""

    def __init__(self, running: Running, keep_alive_s: float, headers: dict[str, str]) -> None:
        super().__init__(running.events(), keep_alive_s)
        self.headers.update(headers)
        self._running = running

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; it is stopped where the client goes."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._running.aclose()


async def begin_stream(request: Request, pieces: AsyncGenerator[bytes]) -> Running:
    """Start an answer and wait for its first piece.

    Raises:
        danzar.errors.DanzarError: What went wrong before it.
        ClientGone: Nobody waits any more.
    """
    running = Running(pieces)
    try:
        await while_connected(request, running.begin())
    except BaseException:
        await running.aclose()
        raise
    return running


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of the work, which is cancelled where the client goes.

    Raises:
        ClientGone: It went.
        danzar.errors.DanzarError: As the work says.
    """
    working = asyncio.create_task(work, name="api-work")
    watching = asyncio.create_task(_gone(request.receive), name="api-watch")
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGone
        return await working
    except DanzarError as exc:
        raise error_of(exc) from exc
    finally:
        working.cancel()
        watching.cancel()
        await asyncio.wait({working, watching})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
