"""The API on a socket of its own, in a thread of its own: for clients that block."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from danzar.http.api_keys import KeyLimits
from tests.api.rig import Rig, serve_rig

PLENTY = KeyLimits(requests_per_minute=1_000_000, concurrent=1000, jobs=1_000_000)


@dataclass(frozen=True)
class Served:
    """A server that runs beside the test, and the text of a key."""

    rig: Rig
    key: str

    @property
    def url(self) -> str:
        return self.rig.url

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The API with one key, which it asks for."""
    folder = tmp_path_factory.mktemp("api")
    is_up, ended = threading.Event(), threading.Event()
    found: list[Served] = []

    async def serve() -> None:
        async with serve_rig(folder) as rig:
            _, key = await rig.keys.add("test", PLENTY)
            found.append(Served(rig, key))
            is_up.set()
            await asyncio.to_thread(ended.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert is_up.wait(30)
        yield found[0]
    finally:
        ended.set()
        thread.join(30)


@pytest.fixture
async def rig(tmp_path: Path):
    """The API on a socket, in the test's own loop, without any key."""
    async with serve_rig(tmp_path) as served:
        yield served
