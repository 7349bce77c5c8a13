"""The gateway: HELLO, IDENTIFY, RESUME, heartbeats and dispatch, as Discord's version 10."""

import asyncio
import contextlib
import hmac
import json
import logging
import time
from collections.abc import Callable
from typing import Any

import discord
from aiohttp import WSMsgType, web

from danzar.local.backend import guild_payload, user_payload
from danzar.local.members import member_chunks
from danzar.local.sessions import Session, SessionBook
from danzar.local.settings import LocalSettings
from danzar.local.wire import Json
from danzar.local.world import World

log = logging.getLogger(__name__)

HEARTBEAT, IDENTIFY, PRESENCE, VOICE_STATE, RESUME = 1, 2, 3, 4, 6
REQUEST_MEMBERS, INVALID_SESSION, HELLO, HEARTBEAT_ACK = 8, 9, 10, 11
SOUNDBOARD = 31

UNKNOWN_ERROR, UNKNOWN_OPCODE, DECODE_ERROR, NOT_AUTHENTICATED = 4000, 4001, 4002, 4003
AUTHENTICATION_FAILED, ALREADY_AUTHENTICATED = 4004, 4005
RATE_LIMITED, SESSION_TIMED_OUT, INVALID_INTENTS = 4008, 4009, 4013

COMMANDS_PER_MINUTE = 120
MISSED_HEARTBEATS = 1.5
ACK_AFTER_S = 0.02
# The three privileged intents, as an application in few servers has them switched on.
APPLICATION_FLAGS = 1 << 13 | 1 << 15 | 1 << 19


class GatewayError(Exception):
    """The socket must be closed with this code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Gateway:
    """Serves the bot's sockets.

    Attributes:
        presence_changed: Called when the bot came online or went offline.
    """

    def __init__(self, settings: LocalSettings, world: World, url: Callable[[], str]) -> None:
        self._settings = settings
        self._world = world
        self._url = url
        limits = settings.limits
        self.book = SessionBook(world.backend, limits.replay_events, limits.session_keep_s)
        self.presence_changed: Callable[[], None] = lambda: None
        self._sockets: set[web.WebSocketResponse] = set()

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one socket until either side closes it."""
        socket = web.WebSocketResponse(max_msg_size=64 * 1024, timeout=2.0)
        await socket.prepare(request)
        self._sockets.add(socket)
        connection = _Connection(self._settings, self._world, self.book, self._url(), socket)
        try:
            await connection.serve(self.presence_changed)
        except GatewayError as exc:
            log.info("gateway closes socket code=%s reason=%s", exc.code, exc.reason)
            await socket.close(code=exc.code, message=exc.reason.encode())
        finally:
            self._sockets.discard(socket)
            connection.leave()
            self.presence_changed()
        return socket

    async def close_all(self) -> None:
        """Close every socket, as a server that restarts does."""
        for socket in list(self._sockets):
            await socket.close(code=1001)


class _Connection:
    """One socket and, once it identified, the session that it serves."""

    def __init__(
        self,
        settings: LocalSettings,
        world: World,
        book: SessionBook,
        url: str,
        socket: web.WebSocketResponse,
    ) -> None:
        self._settings = settings
        self._world = world
        self._book = book
        self._url = url
        self._socket = socket
        self._session: Session | None = None
        self._epoch = 0
        self._cursor = 0
        self._heard_at_s = time.monotonic()
        self._minute = (time.monotonic(), 0)

    async def serve(self, presence_changed: Callable[[], None]) -> None:
        """Greet, then read until the socket closes.

        Raises:
            GatewayError: The bot broke the protocol, sent a wrong token or fell silent.
        """
        interval_ms = int(self._settings.heartbeat_interval_s * 1000)
        await self._send(HELLO, {"heartbeat_interval": interval_ms})
        pump: asyncio.Task[None] | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                while (frame := await self._read()) is not None:
                    await self._handle(frame.get("op"), frame.get("d"))
                    if pump is None and self._session is not None:
                        pump = tasks.create_task(self._pump(self._session))
                        presence_changed()
                if pump is not None:
                    pump.cancel()
        except* GatewayError as group:
            raise _first(group) from None
        except* ConnectionError:
            log.debug("gateway socket was cut")

    def leave(self) -> None:
        """Mark the session as resumable, or end it when the bot said goodbye."""
        if self._session is None or self._session.epoch != self._epoch:
            return
        self._session.lost_at_s = time.monotonic()
        if self._socket.close_code in {1000, 1001}:
            self._book.end(self._session)

    async def _read(self) -> dict[str, Any] | None:
        deadline_s = self._settings.heartbeat_interval_s * MISSED_HEARTBEATS
        left_s = self._heard_at_s + deadline_s - time.monotonic()
        try:
            message = await self._socket.receive(timeout=max(left_s, 0.01))
        except TimeoutError:
            raise GatewayError(SESSION_TIMED_OUT, "Session timed out.") from None
        if message.type not in {WSMsgType.TEXT, WSMsgType.BINARY}:
            return None
        self._count_command()
        try:
            frame = json.loads(message.data)
        except ValueError:
            raise GatewayError(DECODE_ERROR, "Error while decoding payload.") from None
        if not isinstance(frame, dict):
            raise GatewayError(DECODE_ERROR, "Error while decoding payload.")
        return frame

    def _count_command(self) -> None:
        began_s, used = self._minute
        now_s = time.monotonic()
        self._minute = (began_s, used + 1) if now_s - began_s < 60 else (now_s, 1)  # noqa: PLR2004
        if self._minute[1] > COMMANDS_PER_MINUTE:
            raise GatewayError(RATE_LIMITED, "You are being rate limited.")

    async def _handle(self, op: Json, data: Json) -> None:
        if op == HEARTBEAT:
            self._heard_at_s = time.monotonic()
            # discord.py notes when it sent a heartbeat only after the socket took it. An answer
            # without any delay can overtake that, and the latency reads as a whole interval.
            await asyncio.sleep(ACK_AFTER_S)
            await self._send(HEARTBEAT_ACK)
        elif op == IDENTIFY:
            self._identify(data)
        elif op == RESUME:
            await self._resume(data)
        elif self._session is None:
            raise GatewayError(NOT_AUTHENTICATED, "Not authenticated.")
        elif op == REQUEST_MEMBERS:
            self._answer_members(self._session, data)
        elif op not in {PRESENCE, VOICE_STATE, SOUNDBOARD}:
            raise GatewayError(UNKNOWN_OPCODE, "Unknown opcode.")

    def _identify(self, data: Json) -> None:
        if self._session is not None:
            raise GatewayError(ALREADY_AUTHENTICATED, "Already authenticated.")
        self._check_token(data)
        try:
            intents = discord.Intents._from_value(int(data["intents"]))
        except (KeyError, TypeError, ValueError):
            raise GatewayError(INVALID_INTENTS, "Invalid intent(s).") from None
        self._session = session = self._book.begin(intents, time.monotonic())
        self._epoch = session.take_over()
        session.publish("READY", self._ready(session, data))
        guild_id = self._world.guild_id
        if intents.guilds:
            session.publish("GUILD_CREATE", self._guild(session, guild_id))

    async def _resume(self, data: Json) -> None:
        self._check_token(data)
        session_id, sequence = str(data.get("session_id")), data.get("seq")
        sequence = sequence if isinstance(sequence, int) else -1
        session = self._book.find(session_id, sequence, time.monotonic())
        if session is None:
            await self._send(INVALID_SESSION, False)
            return
        self._session, self._cursor = session, sequence
        self._epoch = session.take_over()
        session.publish("RESUMED", {})

    def _check_token(self, data: Json) -> None:
        token = str(data.get("token", "")) if isinstance(data, dict) else ""
        if not hmac.compare_digest(token.encode(), self._settings.token.encode()):
            raise GatewayError(AUTHENTICATION_FAILED, "Authentication failed.")

    def _ready(self, session: Session, identify: dict[str, Any]) -> dict[str, Any]:
        backend = self._world.backend
        return {
            "v": 10,
            "user": user_payload(backend, backend.bot_user.id),
            "guilds": [{"id": str(self._world.guild_id), "unavailable": True}],
            "session_id": session.id,
            "resume_gateway_url": self._url,
            "session_type": "normal",
            "shard": identify.get("shard") or [0, 1],
            "application": {"id": str(backend.application_id), "flags": APPLICATION_FLAGS},
        }

    def _guild(self, session: Session, guild_id: int) -> dict[str, Any]:
        payload = guild_payload(self._world.backend, guild_id)
        if not session.intents.presences:
            own = str(self._world.backend.bot_user.id)
            payload["members"] = [m for m in payload["members"] if m["user"]["id"] == own]
        return payload

    def _answer_members(self, session: Session, data: Json) -> None:
        try:
            chunks = list(member_chunks(self._world.backend, data))
        except (KeyError, TypeError, ValueError):
            raise GatewayError(DECODE_ERROR, "Error while decoding payload.") from None
        for chunk in chunks:
            session.publish("GUILD_MEMBERS_CHUNK", chunk)

    async def _pump(self, session: Session) -> None:
        """Send what the session gathers until another socket takes it over."""
        while session.epoch == self._epoch:
            session.changed.clear()
            if not session.has_all_after(self._cursor):
                await self._send(INVALID_SESSION, False)
                return
            for sequence, frame in session.after(self._cursor):
                await self._socket.send_str(frame)
                self._cursor = sequence
            if session.sequence == self._cursor and session.epoch == self._epoch:
                await session.changed.wait()
        raise GatewayError(UNKNOWN_ERROR, "Another socket resumed this session.")

    async def _send(self, op: int, data: Json = None) -> None:
        with contextlib.suppress(ConnectionError):
            await self._socket.send_str(json.dumps({"op": op, "d": data, "s": None, "t": None}))


def _first(group: BaseExceptionGroup[GatewayError]) -> GatewayError:
    for exc in group.exceptions:
        return _first(exc) if isinstance(exc, BaseExceptionGroup) else exc
    raise AssertionError("an exception group is never empty")
