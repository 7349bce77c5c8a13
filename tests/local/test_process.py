"""``python -m danzar.local`` as a process: how it begins and how it ends."""

import asyncio
import contextlib
import sys
from asyncio.subprocess import DEVNULL, PIPE

import aiohttp
import psutil
import pytest

pytestmark = pytest.mark.process
COMMAND = (sys.executable, "-m", "danzar.local", "--port", "0")
SOON_S = 30.0


@contextlib.asynccontextmanager
async def started(*arguments, **options):
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *arguments, stdin=PIPE, stdout=PIPE, **options
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_it_says_where_it_listens_and_ends_with_its_standard_input():
    async with asyncio.timeout(SOON_S), started("--token", "t") as process:
        word, url = (await process.stdout.readline()).decode().split()
        assert word == "ready"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            assert "composer" in await response.text()
        process.stdin.close()
        assert await process.wait() == 0


async def test_it_ends_when_its_parent_is_killed():
    script = (
        "import subprocess, sys, time\n"
        f"p = subprocess.Popen({list(COMMAND)!r} + ['--token', 't'], stdin=subprocess.PIPE)\n"
        "print(p.pid, flush=True); time.sleep(60)"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=PIPE, stdin=DEVNULL
    )
    async with asyncio.timeout(SOON_S):
        child = psutil.Process(int(await parent.stdout.readline()))
        assert (await parent.stdout.readline()).startswith(b"ready ")
        parent.kill()
        await parent.wait()
        await asyncio.to_thread(psutil.wait_procs, [child], SOON_S)
    assert not child.is_running()


async def test_without_a_token_it_says_what_to_type(monkeypatch):
    monkeypatch.delenv("DANZAR_LOCAL_TOKEN", raising=False)
    async with asyncio.timeout(SOON_S), started(stderr=PIPE) as process:
        _, trouble = await process.communicate()
    assert process.returncode == 2
    assert b"--token" in trouble


async def test_a_taken_port_is_one_line_and_status_1():
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with (
        asyncio.timeout(SOON_S),
        server,
        started("--port", str(port), "--token", "t", stderr=PIPE) as process,
    ):
        _, trouble = await process.communicate()
    assert process.returncode == 1
    assert str(port).encode() in trouble
    assert len(trouble.splitlines()) == 1
