"""What pages see, as it happens: one WebSocket a page, fed from the backend's events."""

import asyncio
import contextlib
import json
import logging
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from danzar.local.wire import Json

log = logging.getLogger(__name__)

# What a page shows; the rest of the gateway's events do not concern it.
PAGE_EVENTS = frozenset(
    {
        "MESSAGE_CREATE",
        "MESSAGE_UPDATE",
        "MESSAGE_DELETE",
        "MESSAGE_DELETE_BULK",
        "MESSAGE_REACTION_ADD",
        "MESSAGE_REACTION_REMOVE",
        "MESSAGE_REACTION_REMOVE_ALL",
        "TYPING_START",
        "CHANNEL_CREATE",
        "CHANNEL_UPDATE",
        "CHANNEL_DELETE",
    }
)
PING_S = 20.0


class Feed:
    """Sends every event to every page that is open."""

    def __init__(self, max_behind: int) -> None:
        self._max_behind = max_behind
        self._pages: set[asyncio.Queue[str | None]] = set()

    @property
    def page_count(self) -> int:
        """Pages that are open now."""
        return len(self._pages)

    def event(self, event: str, payload: Mapping[str, Any]) -> None:
        """Show an event that everyone in its channel sees."""
        if event in PAGE_EVENTS:
            self.send(event, payload)

    def whisper(self, event: str, payload: Mapping[str, Any], viewer_id: int | None) -> None:
        """Show an event that only one person sees."""
        self.send(event, {**payload, "viewer_id": None if viewer_id is None else str(viewer_id)})

    def send(self, kind: str, data: Json) -> None:
        """Put one message into each page's queue; a page that lags too far must reload."""
        text = json.dumps({"t": kind, "d": data})
        for queue in self._pages:
            if queue.qsize() < self._max_behind:
                queue.put_nowait(text)
            elif queue.qsize() == self._max_behind:
                queue.put_nowait(None)

    async def serve(self, request: web.Request, hello: Json) -> web.WebSocketResponse:
        """Serve one page until it goes, beginning with ``hello``."""
        socket = web.WebSocketResponse(heartbeat=PING_S, max_msg_size=4096, timeout=2.0)
        await socket.prepare(request)
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        queue.put_nowait(json.dumps({"t": "hello", "d": hello}))
        self._pages.add(queue)
        writer = asyncio.create_task(self._write(socket, queue))
        try:
            async for _ in socket:
                pass  # a page says nothing here; reading notices that it went
        finally:
            self._pages.discard(queue)
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writer
        return socket

    async def close_all(self) -> None:
        """Ask each page to go; it reconnects by itself when the server is back."""
        for queue in self._pages:
            queue.put_nowait(None)

    async def _write(self, socket: web.WebSocketResponse, queue: asyncio.Queue[str | None]) -> None:
        with contextlib.suppress(ConnectionError):
            while (text := await queue.get()) is not None:
                await socket.send_str(text)
            await socket.close(code=1012)
