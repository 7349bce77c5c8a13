"""Commands to a node and its answers, as they lie in Redis.

``danzar:node:NAME:commands`` is a stream that operators write and the node reads;
``danzar:node:NAME:answers`` is one that the node writes and operators read. A command is signed
(``danzar.keys.commands``); the ticket beside it only says which answer belongs to it.
"""

import asyncio
import secrets
import time
from enum import StrEnum
from typing import Final

import msgspec
from redis.asyncio import Redis

from danzar.errors import DanzarError
from danzar.nodes.twin import server_time_s, talking

_KEPT: Final = 200
_BLOCK_S: Final = 5.0
_PATIENCE_S: Final = 2 * _BLOCK_S
_NOTHING: Final = "0-0"
_TICKET: Final = b"ticket"
_CONTENT: Final = b"content"


class Action(StrEnum):
    """What a node may be told, in the seed's words."""

    LOAD_MODEL = "LOAD_MODEL"
    UNLOAD_MODEL = "UNLOAD_MODEL"
    GET_LOADED_MODELS_STATUS = "GET_LOADED_MODELS_STATUS"


class Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What shall be done; ``model`` is needed but for the status."""

    action: Action
    model: str | None = None


class LoadedModel(msgspec.Struct, frozen=True):
    """One loaded model, as a node answers it."""

    name: str
    state: str
    device: str | None
    size_bytes: int
    jobs: int


class Answer(msgspec.Struct, frozen=True):
    """What came of a command: one sentence for the person, and the models loaded afterwards."""

    done: bool
    text: str
    loaded: tuple[LoadedModel, ...] = ()


class NoAnswer(DanzarError):
    """A node did not answer a command in time."""


class Incoming(msgspec.Struct, frozen=True):
    """A command as it came; nobody has looked at its signature yet."""

    ticket: bytes
    content: bytes


class Mailbox:
    """A node's own end.

    It hears what came since it was made, and nothing from before: that was meant for an earlier
    start. Make it before the node is known to others; the server may not be there yet.
    """

    def __init__(self, redis: Redis, name: str) -> None:
        self._redis = redis
        self._name = name
        self._made_s = time.monotonic()
        self._after = ""

    async def receive(self) -> tuple[Incoming, ...]:
        """The next commands, or none after a few seconds.

        Raises:
            danzar.jobs.contract.QueueUnavailable: The server does not answer.
        """
        key = _commands(self._name)
        if not self._after:
            self._after = await self._beginning()
        async with talking("read commands", _PATIENCE_S):
            found = await self._redis.xread({key: self._after}, count=20, block=_ms(_BLOCK_S))
        entries = found[0][1] if found else []
        if entries:
            self._after = entries[-1][0].decode()
        return tuple(
            Incoming(fields.get(_TICKET, b"")[:64], fields.get(_CONTENT, b""))
            for _, fields in entries
        )

    async def _beginning(self) -> str:
        """Where the stream stood when this was made: entries are numbered by the server's clock."""
        async with talking("read commands"):
            now_s = await server_time_s(self._redis)
        return str(_ms(now_s - (time.monotonic() - self._made_s)))

    async def answer(self, ticket: bytes, answer: Answer) -> None:
        """Tell what came of a command.

        Raises:
            danzar.jobs.contract.QueueUnavailable: The server does not answer.
        """
        content = msgspec.msgpack.encode(answer)
        async with talking("answer a command"):
            await self._redis.xadd(
                _answers(self._name), {_TICKET: ticket, _CONTENT: content}, maxlen=_KEPT
            )


async def send(redis: Redis, node: str, signed: bytes, *, timeout_s: float) -> Answer:
    """Give a node a signed command, and wait for its answer.

    Raises:
        NoAnswer: None came in time.
        danzar.jobs.contract.QueueUnavailable: The server does not answer, or refuses this user.
    """
    ticket = secrets.token_hex(16).encode()
    after = await _last(redis, _answers(node))
    async with talking(f"send a command to {node}"):
        await redis.xadd(_commands(node), {_TICKET: ticket, _CONTENT: signed}, maxlen=_KEPT)
    try:
        async with asyncio.timeout(timeout_s):
            return await _answer_to(redis, node, ticket, after)
    except TimeoutError as exc:
        raise NoAnswer(
            f"{node} gave no answer within {timeout_s:g} s; it may still do it: danzar nodes"
        ) from exc


async def _answer_to(redis: Redis, node: str, ticket: bytes, after: str) -> Answer:
    key = _answers(node)
    while True:
        async with talking(f"hear {node}", _PATIENCE_S):
            found = await redis.xread({key: after}, block=_ms(_BLOCK_S))
        for entry, fields in found[0][1] if found else []:
            after = entry.decode()
            if fields.get(_TICKET) == ticket:
                return msgspec.msgpack.decode(fields.get(_CONTENT, b""), type=Answer)


async def _last(redis: Redis, key: str) -> str:
    async with talking("read the queue"):
        newest = await redis.xrevrange(key, count=1)
    return newest[0][0].decode() if newest else _NOTHING


def _commands(name: str) -> str:
    return f"danzar:node:{name}:commands"


def _answers(name: str) -> str:
    return f"danzar:node:{name}:answers"


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
