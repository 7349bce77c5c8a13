"""The digital twin: every node's state where all nodes can read it. Nobody lists nodes by hand.

``danzar:nodes`` is a sorted set of names by their last sign of life, seconds of the server's clock;
``danzar:node:NAME:state`` is a ``NodeState`` as MessagePack, forgotten some time after that.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from danzar.jobs.contract import QueueUnavailable
from danzar.nodes.standing import Member, judge
from danzar.nodes.state import NodeState

_INDEX = "danzar:nodes"
_TIMEOUT_S = 5.0
_MOST_NODES = 1000
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(NodeState).decode


class Twin(Protocol):
    """Where nodes publish themselves. Every call raises ``QueueUnavailable`` where it has to."""

    async def now(self) -> float:
        """Seconds of the clock that all nodes share."""
        ...

    async def publish(self, state: NodeState) -> NodeState | None:
        """Give a sign of life; returns what stood there before."""
        ...

    async def leave(self, name: str) -> None:
        """Be forgotten at once."""
        ...

    async def members(self) -> tuple[Member, ...]:
        """Every node that is remembered, by name."""
        ...


class RedisTwin:
    """The twin of all nodes on one queue."""

    def __init__(self, redis: Redis, *, remembered_s: float) -> None:
        self._redis = redis
        self._remembered_s = remembered_s

    async def now(self) -> float:
        """See ``Twin``."""
        async with talking("ask for the time"):
            return await server_time_s(self._redis)

    async def publish(self, state: NodeState) -> NodeState | None:
        """See ``Twin``."""
        async with talking("publish this node"):
            now = await server_time_s(self._redis)
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.get(state_key(state.name))
                pipe.set(state_key(state.name), _encode(state), px=round(self._remembered_s * 1000))
                pipe.zadd(_INDEX, {state.name: now})
                pipe.zremrangebyscore(_INDEX, "-inf", now - self._remembered_s)
                before = (await pipe.execute())[0]
        return None if before is None else decoded(before)

    async def leave(self, name: str) -> None:
        """See ``Twin``."""
        async with talking("leave"), self._redis.pipeline(transaction=True) as pipe:
            pipe.delete(state_key(name))
            pipe.zrem(_INDEX, name)
            await pipe.execute()

    async def members(self) -> tuple[Member, ...]:
        """See ``Twin``."""
        async with talking("read the nodes"):
            now = await server_time_s(self._redis)
            beats = await self._redis.zrange(_INDEX, 0, _MOST_NODES - 1, withscores=True)
            if not beats:
                return ()
            names = [name.decode() for name, _ in beats]
            raws = await self._redis.mget([state_key(name) for name in names])
        states = (None if raw is None else decoded(raw) for raw in raws)
        pairs = zip(states, (beat for _, beat in beats), strict=True)
        found = [judge(state, beat, now) for state, beat in pairs if state is not None]
        return tuple(sorted(found, key=lambda member: member.name))


class AloneTwin:
    """The twin where the queue is this process's own: one node, always alive."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._states: dict[str, tuple[NodeState, float]] = {}

    async def now(self) -> float:
        """See ``Twin``."""
        return self._now_s()

    async def publish(self, state: NodeState) -> NodeState | None:
        """See ``Twin``."""
        before = self._states.get(state.name)
        self._states[state.name] = (state, self._now_s())
        return None if before is None else before[0]

    async def leave(self, name: str) -> None:
        """See ``Twin``."""
        self._states.pop(name, None)

    async def members(self) -> tuple[Member, ...]:
        """See ``Twin``."""
        now = self._now_s()
        return tuple(judge(state, beat, now) for state, beat in self._states.values())


async def server_time_s(redis: Redis) -> float:
    """Seconds of the server's clock."""
    seconds, micros = await redis.time()
    return float(seconds) + float(micros) / 1e6


def state_key(name: str) -> str:
    """Where a node's state is."""
    return f"danzar:node:{name}:state"


def decoded(raw: bytes) -> NodeState | None:
    """A state as it was published; ``None`` where another version wrote what can't be read."""
    try:
        return _decode(raw)
    except msgspec.DecodeError:
        return None


@asynccontextmanager
async def talking(what: str, timeout_s: float = _TIMEOUT_S) -> AsyncIterator[None]:
    """Bound a talk with the queue's server, and name its failures.

    Raises:
        QueueUnavailable: It does not answer, or refuses.
    """
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError as exc:
        raise QueueUnavailable(
            f"can't {what}: the queue's server did not answer for {timeout_s:g} s"
        ) from exc
    except (RedisError, OSError) as exc:
        raise QueueUnavailable(f"can't {what}: {type(exc).__name__}: {exc}") from exc
