"""The queue that nodes share: its checked address, a client for the twin, and who may command."""

import asyncio
import errno
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import BusyLoadingError
from redis.exceptions import TimeoutError as RedisTimeout

from danzar.config.places import key_folder
from danzar.config.settings import Config
from danzar.errors import BadInput
from danzar.keys.address import open_redis, probe_queue, queue_address
from danzar.keys.errors import QueueRefused
from danzar.keys.node_folder import keys_node_name
from danzar.keys.operators import OPERATORS_FILE, read_operators
from danzar.keys.queue_url import QueueUrl

log = logging.getLogger(__name__)

_AWAY = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN)


@dataclass(frozen=True, slots=True)
class SharedQueue:
    """Where this machine's queue is.

    Attributes:
        redis: A client of its server; ``None`` where the queue is this process's own.
        operators: Names and public keys of those who may command this node; empty: nobody.
    """

    address: QueueUrl
    redis: Redis | None
    operators: Mapping[str, bytes]


@asynccontextmanager
async def open_shared_queue(config: Config) -> AsyncIterator[SharedQueue]:
    """The queue as configured. A server that is switched off may come later; others are refused.

    Raises:
        danzar.keys.errors.KeysError: The address is not safe, a key file is damaged, or the server
            refuses this machine, or is not the right one; one line says which, and what to do.
    """
    folder = await asyncio.to_thread(key_folder, config)
    address = await asyncio.to_thread(queue_address, config.bot.jobs.url, folder)
    async with AsyncExitStack() as stack:
        if address.is_memory:
            yield SharedQueue(address, None, {})
            return
        await _try_out(address)
        redis = await stack.enter_async_context(open_redis(address))
        yield SharedQueue(address, redis, await asyncio.to_thread(_operators, folder))


def name_node(config: Config) -> Config:
    """The settings with the name that this machine's keys were made for, if it has keys. Blocks.

    Raises:
        BadInput: ``node.name`` is another one: the queue would not let it tell its state.
        danzar.keys.errors.KeyFileBad: The key folder is damaged.
    """
    folder = key_folder(config)
    if folder is None:
        return config
    node, made_for = config.bot.node, keys_node_name(folder)
    if node.name not in (None, made_for):
        raise BadInput(
            f"this node is called {node.name}, but its keys in {folder} were made for {made_for}; "
            f"leave the name out, or make keys: danzar keys node {node.name}"
        )
    named = node.model_copy(update={"name": made_for})
    bot = config.bot.model_copy(update={"node": named})
    return config.model_copy(update={"bot": bot})


async def _try_out(address: QueueUrl) -> None:
    try:
        await probe_queue(address)
    except QueueRefused as exc:
        if not is_away(exc):
            raise
        log.warning("%s; this machine goes on without it, and joins when it is there", exc)


def is_away(error: BaseException) -> bool:
    """Whether the server just is not there now, as after a power cut. Pure."""
    each: BaseException | None = error
    while each is not None:
        if isinstance(each, TimeoutError | RedisTimeout | BusyLoadingError):
            return True
        if isinstance(each, OSError) and each.errno in _AWAY:
            return True
        each = each.__cause__ or each.__context__
    return False


def _operators(folder: Path | None) -> Mapping[str, bytes]:
    return {} if folder is None else read_operators(folder / OPERATORS_FILE)
