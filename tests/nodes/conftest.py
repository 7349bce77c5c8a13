"""A real Redis on a free port, with nothing kept."""

import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tests.nodes.queue_server import QueueServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[QueueServer]:
    if shutil.which("redis-server") is None:
        pytest.skip("there is no redis-server here")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path / "redis"
    folder.mkdir()
    found = QueueServer(port, folder)
    found.start()
    try:
        yield found
    finally:
        found.kill()


@pytest.fixture
async def redis(server: QueueServer) -> AsyncIterator[Redis]:
    client: Redis = Redis.from_url(
        server.url, socket_connect_timeout=1.0, retry=Retry(NoBackoff(), 0)
    )
    yield client
    await client.aclose()
