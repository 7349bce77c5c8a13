"""``danzar demo``: both processes start, the bot comes back, and nothing is left over."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import psutil
import pytest

from danzar.commands.demo import Plan, bot_environment, free_port

REPOSITORY = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.process


def plan(tmp_path: Path) -> Plan:
    return Plan(None, REPOSITORY, "the-token", 1, 2, tmp_path, tmp_path / "log")


def test_the_bot_is_told_where_its_discord_is(tmp_path: Path) -> None:
    environ = bot_environment(plan(tmp_path), "http://127.0.0.1:8765")

    assert environ["DISCORD_TOKEN"] == "the-token"
    assert environ["DANZAR_BOT__DISCORD__API_URL"] == "http://127.0.0.1:8765/api/v10"
    assert environ["DANZAR_BOT__DISCORD__GATEWAY_URL"] == "ws://127.0.0.1:8765/gateway"


def test_a_free_port_can_be_used() -> None:
    assert 1024 < free_port() < 65536


class Demo:
    """A running demo and what it printed."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}"
        self.lines: list[str] = []

    async def until(self, words: str) -> str:
        """The first line from now on that has these words."""
        assert self.process.stdout is not None
        async with asyncio.timeout(60):
            while line := (await self.process.stdout.readline()).decode():
                self.lines.append(line)
                if words in line:
                    return line
        raise AssertionError(f"the demo ended before it said {words!r}: {self.lines}")

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


@asynccontextmanager
async def running_demo(tmp_path: Path) -> AsyncIterator[Demo]:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "danzar", "demo", "--no-browser", "--port", str(port)),
        cwd=REPOSITORY,
        env={
            **os.environ,
            "XDG_DATA_HOME": str(tmp_path),
            "DANZAR_VRAM__TELEMETRY__MODE": "simulated",
            "DANZAR_VRAM__PLACEMENT__PRELOAD": "false",
            "PYTHONUNBUFFERED": "1",
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield Demo(process, port)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_it_answers_and_ends_without_a_trace(tmp_path: Path) -> None:
    async with running_demo(tmp_path) as demo:
        await demo.until("The page: ")
        await demo.until("The bot is online")
        async with aiohttp.ClientSession() as session, session.get(demo.url) as response:
            assert response.status == 200
        children = demo.children()
        assert len(children) >= 2

        demo.process.send_signal(signal.SIGTERM)

        async with asyncio.timeout(40):
            assert await demo.process.wait() == 0
        _, alive = await asyncio.to_thread(psutil.wait_procs, children, 10)
        assert alive == []


async def test_a_bot_that_dies_is_started_again(tmp_path: Path) -> None:
    async with running_demo(tmp_path) as demo:
        await demo.until("The bot is online")
        bot = next(child for child in demo.children() if "run" in child.cmdline())

        bot.kill()

        assert "status -9" in await demo.until("The bot ended")
        await demo.until("The bot is online")
        children = demo.children()
        demo.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(40):
            assert await demo.process.wait() == 0
        _, alive = await asyncio.to_thread(psutil.wait_procs, children, 10)
        assert alive == []


async def test_children_end_with_a_demo_that_is_killed(tmp_path: Path) -> None:
    async with running_demo(tmp_path) as demo:
        await demo.until("The bot is online")
        children = demo.children()

        demo.process.kill()

        _, alive = await asyncio.to_thread(psutil.wait_procs, children, 30)
        assert alive == []


async def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    async def nobody(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(nobody, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "danzar", "demo", "--no-browser", "--port", str(port)),
            cwd=REPOSITORY,
            env={**os.environ, "XDG_DATA_HOME": str(tmp_path)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            _, err = await process.communicate()

    assert process.returncode == 1
    assert err.decode().count("\n") == 1
    assert f"can't listen on port {port}" in err.decode()
