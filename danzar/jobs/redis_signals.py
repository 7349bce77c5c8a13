"""What the queue's server tells, as it happens: one subscription for each machine."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import Any

from redis.exceptions import RedisError

from danzar.jobs.board import Found, HasEnded, HasStarted, Lost, Signal, Stop, Work
from danzar.jobs.redis_link import STOP_CHANNEL, WAKE_CHANNEL, RedisLink, home_channel

log = logging.getLogger(__name__)

_LOOK_AGAIN_S = 5.0
_RECONNECT_S = 1.0


async def signals(link: RedisLink, home: str) -> AsyncGenerator[Signal]:
    """As in ``Board``: connects again by itself, and says so."""
    connected = False
    while True:
        try:
            async with link.client.pubsub() as pubsub:
                await pubsub.subscribe(STOP_CHANNEL, WAKE_CHANNEL, home_channel(home))
                await link.client.ping()  # type: ignore[misc]  # typed for both kinds of client
                connected = True
                yield Found()
                while True:
                    message = await pubsub.get_message(timeout=_LOOK_AGAIN_S)
                    signal = None if message is None else _signal(message)
                    if signal is not None:
                        yield signal
                    elif message is None:
                        await pubsub.ping()
        except (RedisError, OSError) as exc:
            if connected:
                log.warning("the queue's server %s is away (%s)", link.host, type(exc).__name__)
                connected = False
                yield Lost()
        await asyncio.sleep(_RECONNECT_S)


def _signal(message: dict[str, Any]) -> Signal | None:
    if message["type"] != "message":
        return None
    channel, text = message["channel"].decode(), message["data"].decode()
    if channel == STOP_CHANNEL:
        return Stop(text)
    if channel == WAKE_CHANNEL:
        return Work(text)
    if text.startswith("+"):
        job_id, _, attempt = text[1:].partition(":")
        return HasStarted(job_id, int(attempt))
    return HasEnded(text)
