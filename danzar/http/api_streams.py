"""Following jobs while they run: server-sent events, and WebSockets."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Response, WebSocket, WebSocketDisconnect
from starlette.websockets import WebSocketState

from danzar.errors import DanzarError
from danzar.http.api_auth import Caller, Seated
from danzar.http.api_bodies import submitted
from danzar.http.api_errors import ApiError, Json, documented, error_of
from danzar.http.api_follow import told_events
from danzar.http.api_jobs import JobId
from danzar.http.api_parts import ApiParts, Parts
from danzar.http.api_route import ApiRoute, decode
from danzar.http.api_shell import ClientStuck, drop
from danzar.http.api_sse import EventStream, event
from danzar.http.api_submit import own_job, read_job, submit

_GOING_AWAY = 1001
_NORMAL = 1000
_GONE = 1006
_MOST_FOLLOWED = 64

router = APIRouter(route_class=ApiRoute, tags=["jobs"])
_STREAM_EXAMPLE = (
    'event: state\ndata: {"job_id": "abc123", "status": "running", ...}\n\n'
    'event: text\ndata: {"text": "Quantum", "attempt": 1}\n\n'
    'event: result\ndata: {"type": "llm", "text": "Quantum computing uses...", ...}\n\n'
)


@router.get(
    "/jobs/{job_id}/events",
    response_class=Response,
    responses={
        **documented(404),
        200: {
            "description": "Events `state`, `text`, `step`, `result` and `error`, to its end.",
            "content": {"text/event-stream": {"example": _STREAM_EXAMPLE}},
        },
    },
)
async def follow_job(job_id: JobId, caller: Seated, parts: Parts) -> EventStream:
    """Follow a job as server-sent events: its state now, every change and piece, its result."""
    await own_job(parts, caller, job_id)
    return EventStream(_sse(parts, job_id), parts.settings.keep_alive_s, parts.closing)


async def _sse(parts: ApiParts, job_id: str) -> AsyncGenerator[bytes]:
    number = 0
    async with aclosing(told_events(parts.jobs, job_id)) as events:
        async for told in events:
            number += 1
            yield event(told.data, told.name, number)


async def _accept(websocket: WebSocket, caller: Seated) -> Caller:
    """Accept a socket once its caller is known; a refused one never opens."""
    await websocket.accept()
    return caller


Accepted = Annotated[Caller, Depends(_accept)]


@router.websocket("/jobs/{job_id}/ws")
async def follow_by_socket(
    websocket: WebSocket, job_id: str, caller: Accepted, parts: Parts
) -> None:
    """Send a job's events as ``{"event", "job_id", "data"}``, and close after the last one."""
    await _Talk(websocket, parts, caller).run(job_id)


@router.websocket("/jobs/ws")
async def submit_by_socket(websocket: WebSocket, caller: Accepted, parts: Parts) -> None:
    """Take jobs as ``POST /jobs`` does, and ``{"cancel": JOB_ID}``; send every job's events."""
    await _Talk(websocket, parts, caller).run(None)


class _Talk:
    """One socket: jobs go in (unless it follows one only), events come out."""

    def __init__(self, websocket: WebSocket, parts: ApiParts, caller: Caller) -> None:
        self._socket = websocket
        self._parts = parts
        self._caller = caller
        self._followed: set[str] = set()
        self._sending = asyncio.Lock()

    async def run(self, only: str | None) -> None:
        """Talk until the client leaves, the server closes or the one job has ended."""
        code = _NORMAL
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._close_with_server())
                tasks.create_task(self._listen(tasks, only))
                if only is not None:
                    tasks.create_task(self._follow_only(only))
        except* _TalkEnded as ended:
            code = max(end.code for end in ended.exceptions if isinstance(end, _TalkEnded))
        except* (WebSocketDisconnect, OSError):
            code = _GONE
        if code != _GONE and self._socket.client_state is WebSocketState.CONNECTED:
            # The client, or the server that stops, may have been quicker.
            with contextlib.suppress(WebSocketDisconnect, OSError):
                await self._socket.close(code)

    async def _close_with_server(self) -> None:
        await self._parts.closing.wait()
        raise _TalkEnded(_GOING_AWAY)

    async def _follow_only(self, job_id: str) -> None:
        try:
            await own_job(self._parts, self._caller, job_id)
        except DanzarError as exc:
            await self._tell("error", job_id, error_of(exc).body)
        else:
            await self._follow(job_id)
        raise _TalkEnded(_NORMAL)

    async def _listen(self, tasks: asyncio.TaskGroup, only: str | None) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                raise _TalkEnded(_NORMAL)
            body = message.get("bytes") or (message.get("text") or "").encode()
            try:
                await self._obey(decode(body), tasks, only)
            except DanzarError as exc:
                await self._tell("error", None, error_of(exc).body)

    async def _obey(self, wish: Any, tasks: asyncio.TaskGroup, only: str | None) -> None:  # noqa: ANN401
        if isinstance(wish, dict) and wish.keys() == {"cancel"}:
            await self._cancel(str(wish["cancel"]))
            return
        if only is not None:
            raise ApiError(400, f'this socket follows {only}; it takes {{"cancel": JOB_ID}} only')
        if len(self._followed) >= _MOST_FOLLOWED:
            raise ApiError(429, f"one socket follows {_MOST_FOLLOWED} jobs at most")
        caller = self._caller
        self._parts.rate.take(caller.owner, caller.limits.requests_per_minute)
        view = await submit(self._parts, caller, read_job(wish))
        self._followed.add(view.job_id)
        await self._tell("submitted", view.job_id, submitted(view).model_dump(mode="json"))
        tasks.create_task(self._follow(view.job_id))

    async def _cancel(self, job_id: str) -> None:
        await own_job(self._parts, self._caller, job_id)
        await self._parts.jobs.cancel(job_id, f"cancelled by {self._caller.name}")

    async def _follow(self, job_id: str) -> None:
        async with aclosing(told_events(self._parts.jobs, job_id)) as events:
            async for told in events:
                await self._tell(told.name, job_id, msgspec.Raw(told.data))
        self._followed.discard(job_id)

    async def _tell(self, name: str, job_id: str | None, data: Json | msgspec.Raw) -> None:
        text = msgspec.json.encode({"event": name, "job_id": job_id, "data": data}).decode()
        try:
            async with self._sending, asyncio.timeout(self._parts.settings.write_timeout_s):
                await self._socket.send_text(text)
        except TimeoutError as exc:
            drop(self._socket.scope)
            raise ClientStuck from exc


class _TalkEnded(Exception):
    """The socket is to be closed."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code
