"""uvicorn's protocols with bounds on what comes before a request: its head, and connections."""

import asyncio
import json
from typing import cast

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from danzar.http.api_errors import STATUSES, error_body
from danzar.http.api_shell import ABORT

_HEAD_TIMEOUT_S = 20.0
_MAX_HEAD_BYTES = 64 * 1024
_MAX_CONNECTIONS = 500


class SocketProtocol(WebSocketsSansIOProtocol):
    """Can be dropped at once, and knows that a refusal with a body is an answer, too."""

    async def run_asgi(self) -> None:
        """Run the application; it can drop the connection."""
        self.scope["state"][ABORT] = self.transport.abort
        await super().run_asgi()

    async def send(self, message: ASGISendEvent) -> None:
        """Send; a refusal's last piece ends the handshake."""
        await super().send(message)
        is_refusal = message["type"] == "websocket.http.response.body"
        if is_refusal and not message.get("more_body", False):
            self.handshake_complete = True


class GuardedProtocol(HttpToolsProtocol):
    """Bounds the time and bytes that a request's head may take; its errors are JSON, too."""

    _head_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for a head, or refuse where too many are connected."""
        super().connection_made(cast("asyncio.Transport", transport))
        if len(self.connections) > _MAX_CONNECTIONS:
            self._refuse(503, f"{_MAX_CONNECTIONS} connections are open already; try again")
        else:
            self._begin_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._end_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes, of a head within its bounds."""
        if getattr(self.cycle, "response_complete", True):
            self._begin_head()
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_timer is not None and self._head_bytes > _MAX_HEAD_BYTES:
            self._end_head()
            self.send_400_response("the request's head is too long")

    def on_message_begin(self) -> None:
        """Begin a request, which can drop the connection."""
        super().on_message_begin()
        self.scope["state"][ABORT] = self.transport.abort
        self._begin_head()

    def on_headers_complete(self) -> None:
        """Begin with the body."""
        self._end_head()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, and close."""
        self._refuse(400, msg)

    def _refuse(self, status: int, message: str) -> None:
        body = json.dumps(error_body(message, STATUSES[status][0])).encode()
        head = (
            STATUS_LINE[status],
            b"content-type: application/json\r\nconnection: close\r\n",
            b"content-length: %d\r\n\r\n" % len(body),
        )
        self.transport.write(b"".join((*head, body)))
        self.transport.close()

    def _begin_head(self) -> None:
        if self._head_timer is None:
            self._head_bytes = 0
            self._head_timer = self.loop.call_later(_HEAD_TIMEOUT_S, self.transport.abort)

    def _end_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
