"""From settings and a key folder to an address that a client of the queue can use."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from redis.asyncio import Redis

from danzar.keys.knock import knock
from danzar.keys.node_folder import read_node_folder
from danzar.keys.queue_url import QueueUrl, check_queue_url, with_login

CONNECT_TIMEOUT_S: Final = 5.0
_MEMORY_URL: Final = "memory://"


def queue_address(url: str | None, folder: Path | None) -> QueueUrl:
    """The address with everything that a connection needs. Reads the folder.

    Args:
        url: From the settings. Where there is a folder, the user, password and certificates are
            the folder's, and so is the whole address unless this one begins with ``rediss://``
            or names this machine.
        folder: This node's key folder, made by ``danzar keys init``.

    Raises:
        danzar.keys.errors.QueueUrlRefused: The address would not be safe.
        danzar.keys.errors.KeyFileBad: The folder is not whole, or has expired.
    """
    address = check_queue_url(url or _MEMORY_URL)
    if folder is None or not (address.is_memory or address.is_tls):
        return address
    keys = read_node_folder(folder, datetime.now(UTC))
    base = url if url and address.is_tls else keys.address.text
    user, password = keys.login()
    return check_queue_url(with_login(base, user, password, keys.tls_parameters()))


@asynccontextmanager
async def open_redis(address: QueueUrl) -> AsyncGenerator[Redis]:
    """A client of the queue's server; bytes in and out. Not for ``memory://``.

    Reads have no time limit of their own: on Python 3.11, redis-py's would swallow a task's
    cancellation (cpython issue 86296). Callers put ``asyncio.timeout`` around what they ask.
    """
    client: Redis = Redis.from_url(
        address.text, socket_connect_timeout=CONNECT_TIMEOUT_S, socket_timeout=None
    )
    try:
        yield client
    finally:
        await client.aclose()


async def probe_queue(address: QueueUrl, timeout_s: float = CONNECT_TIMEOUT_S) -> None:
    """Ask once whether the queue lets this machine in. ``memory://`` always does.

    Raises:
        danzar.keys.errors.QueueRefused: It doesn't; one line says why, and what to do.
    """
    if not address.is_memory:
        await asyncio.to_thread(knock, address, timeout_s)
