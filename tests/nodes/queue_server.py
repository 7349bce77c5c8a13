"""A real redis-server that a test may kill and start again."""

import asyncio
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import redis

PATIENCE_S = 60.0


@dataclass
class QueueServer:
    port: int
    folder: Path
    process: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        self.process = subprocess.Popen(
            ["redis-server", *options, "--appendonly", "yes", "--save", ""],
            stdout=subprocess.DEVNULL,
        )
        with redis.Redis(port=self.port) as client:
            end_s = time.monotonic() + PATIENCE_S
            while time.monotonic() < end_s:
                try:
                    client.ping()
                except redis.exceptions.RedisError:
                    time.sleep(0.05)
                else:
                    return
        raise AssertionError("redis-server did not start")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(PATIENCE_S)
            self.process = None


async def until(is_so: Callable[[], bool], what: str = "it") -> None:
    """Wait for a condition, generously."""
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():
            await asyncio.sleep(0.02)
    assert is_so(), what
