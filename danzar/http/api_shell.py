"""What is around every route: who may ask, how large and how slow a request may be, a request's id.

Plain ASGI: nothing here reads a body or a stream ahead of the route that wants it.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from typing import cast

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from danzar.config.api import ApiSettings
from danzar.errors import DanzarError
from danzar.http.api_errors import ApiError, error_of
from danzar.http.api_hosts import why_refused
from danzar.request_id import HEADER, as_request_id, new_request_id, request, set_request_id
from danzar.units import MIB

log = logging.getLogger(__name__)

# In the scope's state: closes the connection at once; what this request is called.
ABORT = "danzar.abort"
REQUEST_ID = "danzar.request_id"
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_DISCARD_BYTES = 64 * MIB
_DISCARD_S = 3.0
_REFUSED = 1008  # WebSocket: policy violation


def own_error(request_id: str) -> ApiError:
    """What is answered where Danzar itself is at fault."""
    return ApiError(500, f"an error of Danzar's own; its log has more under {request_id}")


def drop(scope: Scope) -> None:
    """Close the connection at once, whatever of the answer is still to be sent."""
    abort = cast("Callable[[], None] | None", scope.get("state", {}).get(ABORT))
    if abort is not None:
        abort()


class ClientStuck(ConnectionError):
    """The client takes nothing of its answer."""


class ApiShell:
    """The application with all of this around it."""

    def __init__(self, app: ASGIApp, settings: ApiSettings) -> None:
        self._app = app
        self._settings = settings
        name = socket.gethostname().lower()
        self._own_names = frozenset({name, f"{name}.local"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or WebSocket."""
        match scope["type"]:
            case "http":
                await _Exchange(self._app, self._settings, scope, receive, send).serve(
                    self._why_refused(scope)
                )
            case "websocket":
                if why := self._why_refused(scope):
                    await WebSocketClose(_REFUSED, why[:120])(scope, receive, send)
                else:
                    with request("h"):
                        await self._app(scope, receive, send)
            case _:
                await self._app(scope, receive, send)

    def _why_refused(self, scope: Scope) -> str | None:
        headers = dict(Headers(scope=scope))
        return why_refused(headers, scope["scheme"], self._settings, self._own_names)


class _Exchange:
    """One request and its answer."""

    def __init__(
        self, app: ASGIApp, settings: ApiSettings, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._app, self._settings, self._scope = app, settings, scope
        self._receive, self._send = receive, send
        self._headers = Headers(scope=scope)
        self._id = as_request_id(self._headers.get(HEADER)) or new_request_id("h")
        scope.setdefault("state", {})[REQUEST_ID] = self._id
        self._got_bytes = 0
        self._is_read = False
        self._has_begun = self._has_ended = False
        self._body_by_s = asyncio.get_running_loop().time() + settings.body_timeout_s
        self._deadline = asyncio.timeout(settings.answer_timeout_s)

    async def serve(self, refusal: str | None) -> None:
        """Answer it, whatever happens."""
        set_request_id(self._id)
        try:
            self._admit(refusal)
            await self._run()
        except ClientStuck:
            drop(self._scope)
        except DanzarError as exc:
            await self._refuse(error_of(exc))
        except Exception:
            log.exception("request=%s %s failed", self._id, self._scope["path"])
            await self._refuse(own_error(self._id))

    async def _run(self) -> None:
        try:
            async with self._deadline:
                await self._app(self._scope, self._next_message, self._pass_on)
        except TimeoutError as exc:
            if not self._deadline.expired():
                raise
            wait_s = self._settings.answer_timeout_s
            raise ApiError(
                504, f"the answer did not begin within {wait_s:g} s (api.answer_timeout_s)"
            ) from exc

    def _admit(self, refusal: str | None) -> None:
        if refusal is not None:
            raise ApiError(403, refusal, code="forbidden_origin")
        given = self._headers.get("content-length", "")
        if given.isdecimal():
            self._check_size(int(given))

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes > self._settings.max_body:
            raise ApiError(
                413,
                f"the request is larger than {self._settings.max_body} bytes (api.max_body)",
                code="request_too_large",
                headers={"Connection": "close"},
            )

    async def _next_message(self) -> Message:
        """The next piece of the body, in time; afterwards whether the client is gone."""
        if self._is_read:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._body_by_s):
                message = await self._receive()
        except TimeoutError as exc:
            wait_s = self._settings.body_timeout_s
            raise ApiError(
                408,
                f"the request was not here whole within {wait_s:g} s (api.body_timeout_s)",
                headers={"Connection": "close"},
            ) from exc
        self._got_bytes += len(message.get("body", b""))
        self._is_read = not message.get("more_body", False)
        self._check_size(self._got_bytes)
        return message

    async def _pass_on(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._has_begun = True
            if not self._deadline.expired():
                self._deadline.reschedule(None)
            headers = MutableHeaders(scope=message)
            headers[HEADER] = self._id
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        try:
            async with asyncio.timeout(self._settings.write_timeout_s):
                await self._send(message)
        except TimeoutError as exc:
            raise ClientStuck from exc
        is_last = message["type"] == "http.response.body" and not message.get("more_body", False)
        self._has_ended = self._has_ended or is_last

    async def _refuse(self, error: ApiError) -> None:
        if self._has_begun:
            if not self._has_ended:  # The status is gone: a broken connection is all that is left.
                drop(self._scope)
            return
        await self._discard_rest()
        response = JSONResponse(error.body, error.status, error.headers)
        self._deadline = asyncio.timeout(None)
        async with self._deadline:
            await response(self._scope, self._receive, self._pass_on)

    async def _discard_rest(self) -> None:
        """Read what the client still sends, within bounds.

        Closing before that would reset the connection, and the answer would be lost with it. Who
        waits to be told to go on (``Expect``) has sent nothing yet.
        """
        if "expect" in self._headers:
            return
        left_bytes = _DISCARD_BYTES
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DISCARD_S):
                while not self._is_read and left_bytes > 0:
                    message = await self._receive()
                    left_bytes -= len(message.get("body", b""))
                    self._is_read = not message.get("more_body", False)
