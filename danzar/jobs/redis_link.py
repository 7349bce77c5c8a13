"""The connection to the queue's server: its keys, its scripts, and its errors in one line."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript
from redis.exceptions import RedisError, ResponseError

from danzar.jobs.contract import QueueUnavailable

log = logging.getLogger(__name__)

PREFIX = "danzar:jobs:"
JOB = f"{PREFIX}job:"
WAITING = f"{PREFIX}waiting:"
EVENTS = f"{PREFIX}events:"
MODELS = f"{PREFIX}models"
TAKERS = f"{PREFIX}takers"
STOP_CHANNEL = f"{PREFIX}stop"
WAKE_CHANNEL = f"{PREFIX}wake"
CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 10.0  # above the longest blocking read


def job_key(job_id: str) -> str:
    """The job itself."""
    return f"{JOB}{job_id}"


def events_key(job_id: str) -> str:
    """What its followers see."""
    return f"{EVENTS}{job_id}"


def model_keys(model: str) -> list[str]:
    """Those that wait, those whose delay isn't over, and those that run (by end of lease)."""
    return [f"{PREFIX}{kind}:{model}" for kind in ("waiting", "delayed", "leases")]


def pace_key(model: str) -> str:
    """How long its last jobs took, seconds."""
    return f"{PREFIX}pace:{model}"


def ended_key(home: str) -> str:
    """Jobs whose ends this home has still to write down."""
    return f"{PREFIX}ended:{home}"


def home_channel(home: str) -> str:
    """What a home is told about its jobs."""
    return f"{PREFIX}home:{home}"


def host_of(url: str) -> str:
    """Where a URL leads, without user and password."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return parts.path
    return f"{parts.hostname or 'localhost'}:{parts.port or 6379}"


class RedisLink:
    """One pool of connections; made by ``open_link``."""

    def __init__(self, client: "Redis", host: str) -> None:
        self.client = client
        self.host = host
        names = ("put", "take", "renew", "tell", "look", "give_back", "finish")
        self._scripts = {name: client.register_script(_lua(name)) for name in names}

    def script(self, name: str) -> AsyncScript:
        """A script by the name of its file."""
        return self._scripts[name]

    @asynccontextmanager
    async def reaching(self) -> AsyncIterator[None]:
        """Bound the wait, and turn what the server or the way to it raises into one clear line.

        Raises:
            QueueUnavailable: With the host, and never the password.
        """
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                yield
        except ResponseError as exc:  # out of memory, read-only, not permitted, or our fault
            log.error("the queue's server %s refused: %s", self.host, exc)  # noqa: TRY400
            raise QueueUnavailable(f"The queue's server {self.host} refused: {exc}") from exc
        except (RedisError, OSError) as exc:
            kind = type(exc).__name__
            text = f"The queue's server {self.host} can't be reached ({kind})."
            raise QueueUnavailable(text) from exc

    async def ask(self, answer: Any) -> Any:  # noqa: ANN401 - redis types commands for both kinds
        """What a command answers."""
        async with self.reaching():
            return await answer

    async def run(self, name: str, keys: list[str], args: list[Any]) -> Any:  # noqa: ANN401
        """Run a script; what it returns, in bytes."""
        async with self.reaching():
            return await self._scripts[name](keys, args)


@asynccontextmanager
async def open_link(url: str) -> AsyncGenerator[RedisLink]:
    """Connections are made when they are needed; the server need not be there yet."""
    client: Redis = Redis.from_url(
        url,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_timeout=None,  # with one, redis swallows cancellations (cpython#86296)
        retry=Retry(NoBackoff(), 1),  # once, for a connection that broke while it was idle
    )
    try:
        yield RedisLink(client, host_of(url))
    finally:
        await client.aclose()


def _lua(name: str) -> str:
    return files("danzar.jobs").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
