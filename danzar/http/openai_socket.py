"""Chats over a WebSocket: question after question, each streamed, and stopped by a word."""

import asyncio
import logging
from contextlib import aclosing, suppress
from typing import Any

import msgspec
from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import ValidationError

from danzar.errors import DanzarError
from danzar.http.api_auth import Asking, Caller
from danzar.http.api_errors import ApiError, error_of
from danzar.http.api_parts import ApiParts, Parts
from danzar.http.api_route import decode
from danzar.http.openai_chat import ChatShape, ask_chat
from danzar.http.openai_chat_body import ChatRequest
from danzar.http.openai_desk import Desk
from danzar.http.openai_pictures import PictureDesk
from danzar.http.openai_text import text_chunks, wants_usage

log = logging.getLogger(__name__)

router = APIRouter()
_CANCEL = {"type": "cancel"}
_GOING_AWAY = 1001
_QUESTIONS_WAITING = 4
# What sending raises when nobody is there any more.
_HUNG_UP = (WebSocketDisconnect, OSError, RuntimeError)


@router.websocket("/chat/completions")
async def chat_by_socket(socket: WebSocket, parts: Parts, caller: Asking, desk: Desk) -> None:
    """Take bodies of ``POST /v1/chat/completions``; send chunks, then ``{"type": "done"}``.

    ``{"type": "cancel"}`` stops the answer that is on its way. What goes wrong is sent as
    ``{"error": ...}``, and the next question may be asked.
    """
    await socket.accept()
    talk = _Talk(socket, parts, caller, desk)
    tasks = [
        asyncio.create_task(run, name="api-chat-socket")
        for run in (talk.listen(), talk.answer(), parts.closing.wait())
    ]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    if parts.closing.is_set():
        with suppress(RuntimeError, OSError):
            await socket.close(_GOING_AWAY)


class _Talk:
    """One client's questions, one after another."""

    def __init__(
        self, socket: WebSocket, parts: ApiParts, caller: Caller, desk: PictureDesk
    ) -> None:
        self._socket = socket
        self._parts = parts
        self._caller = caller
        self._desk = desk
        self._questions: asyncio.Queue[str] = asyncio.Queue(_QUESTIONS_WAITING)
        self._answering: asyncio.Task[None] | None = None

    async def listen(self) -> None:
        """Hear questions and cancellations until the client goes."""
        with suppress(WebSocketDisconnect):
            while True:
                text = await self._socket.receive_text()
                if not _is_cancel(text):
                    await self._questions.put(text)
                elif self._answering is not None:
                    self._answering.cancel()

    async def answer(self) -> None:
        """Answer one question after another."""
        while True:
            text = await self._questions.get()
            self._answering = asyncio.create_task(self._answer(text), name="api-chat-answer")
            try:
                await asyncio.wait({self._answering})
            finally:
                self._answering.cancel()
                await asyncio.wait({self._answering})
            if self._answering.cancelled():
                await self._send({"type": "cancelled"})
            elif (error := self._answering.exception()) is not None:
                if not isinstance(error, _HUNG_UP):
                    log.error("an answer by WebSocket broke off", exc_info=error)
                return

    async def _answer(self, text: str) -> None:
        try:
            body = _read(text)
            limits = self._caller.limits
            self._parts.rate.take(self._caller.owner, limits.requests_per_minute)
            with self._parts.seats.hold(self._caller.owner, limits.concurrent):
                await self._stream(body)
        except DanzarError as exc:
            await self._send(error_of(exc).body)
        else:
            await self._send({"type": "done"})

    async def _stream(self, body: ChatRequest) -> None:
        asked = await ask_chat(body, self._parts, self._caller, self._desk)
        chunks = text_chunks(self._parts, asked, ChatShape(), with_usage=wants_usage(body))
        async with aclosing(chunks):
            async for chunk in chunks:
                await self._send(chunk)

    async def _send(self, message: dict[str, Any]) -> None:
        await self._socket.send_text(msgspec.json.encode(message).decode())


def _is_cancel(text: str) -> bool:
    """Whether this is the word that stops an answer; anything else is a question."""
    if len(text) > len(msgspec.json.encode(_CANCEL)) * 2:
        return False
    with suppress(msgspec.DecodeError):
        return bool(msgspec.json.decode(text) == _CANCEL)
    return False


def _read(text: str) -> ChatRequest:
    """The question.

    Raises:
        ApiError: 400; it is none.
    """
    try:
        return ChatRequest.model_validate(decode(text.encode()))
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        param = ".".join(map(str, first["loc"]))
        raise ApiError(400, f"{param}: {first['msg']}", param=param, code="invalid_value") from exc
