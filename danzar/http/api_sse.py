"""Server-sent events: a stream that shows signs of life, and ends what makes it when it ends."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.responses import StreamingResponse
from starlette.types import Send

_KEEP_ALIVE = b": keep-alive\n\n"
_HEADERS = {"X-Accel-Buffering": "no"}  # nginx passes events on as they come


def event(data: bytes, name: str | None = None, number: int | None = None) -> bytes:
    """One event; ``data`` is one line, as JSON is."""
    head = b"" if number is None else b"id: %d\n" % number
    if name is not None:
        head += b"event: %s\n" % name.encode()
    return b"%sdata: %s\n\n" % (head, data)


class EventStream(StreamingResponse):
    """Sends events as they come, and a comment where none has come for ``keep_alive_s``.

    The generator is closed, in the task that ran it, when it has ended, when the client goes, and
    at ``closing``; without that, it may go on to its end while the server stops.
    """

    def __init__(
        self,
        events: AsyncGenerator[bytes],
        keep_alive_s: float,
        closing: asyncio.Event | None = None,
    ) -> None:
        super().__init__(events, headers=_HEADERS, media_type="text/event-stream")
        self._events = events
        self._keep_alive_s = keep_alive_s
        self._closing = closing

    async def stream_response(self, send: Send) -> None:
        """Send headers and events until there are no more."""
        start = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **start})
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(1)
        async with asyncio.TaskGroup() as tasks:
            helpers = [tasks.create_task(self._pump(queue))]
            if self._closing is not None:
                helpers.append(tasks.create_task(_end_at(self._closing, queue)))
            while (piece := await self._next(queue)) is not None:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            for helper in helpers:
                helper.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pump(self, queue: asyncio.Queue[bytes | None]) -> None:
        async with aclosing(self._events):
            async for piece in self._events:
                await queue.put(piece)
        await queue.put(None)

    async def _next(self, queue: asyncio.Queue[bytes | None]) -> bytes | None:
        try:
            async with asyncio.timeout(self._keep_alive_s):
                return await queue.get()
        except TimeoutError:
            return _KEEP_ALIVE


async def _end_at(closing: asyncio.Event, queue: asyncio.Queue[bytes | None]) -> None:
    await closing.wait()
    await queue.put(None)
