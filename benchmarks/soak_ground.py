"""The ground of the soak: ``danzar demo`` as its user starts it, in folders of its own."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
_START_TIMEOUT_S = 300.0
_STOP_TIMEOUT_S = 60.0
_PAGE = re.compile(r"The page: (\S+)")


@dataclass(frozen=True, slots=True)
class Ground:
    """A running demo.

    Attributes:
        process: ``danzar demo``; the local Discord, the bot and its workers descend from it.
        page_url: Where people write.
        status_url: The bot's status API.
        api_url: The bot's API for programs.
        home: Where the bot's log is, and what the demo leaves behind.
        temporary: Its data folder is in here, and goes when it ends.
    """

    process: psutil.Process
    page_url: str
    status_url: str
    api_url: str
    home: Path
    temporary: Path

    @property
    def data(self) -> Path | None:
        """The bot's data folder; ``None`` while there is none."""
        return next(iter(self.temporary.glob("danzar-demo-*")), None)

    @property
    def log_file(self) -> Path:
        """The bot's log."""
        return self.home / "demo.log"


@asynccontextmanager
async def open_ground(folder: Path, api_port: int) -> AsyncIterator[Ground]:
    """Start the demo, wait until the bot is online, and end it with the context."""
    home, temporary = folder / "home", folder / "temporary"
    for each in (home, temporary):
        await asyncio.to_thread(each.mkdir, parents=True)
    started = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "danzar", "demo", "--port", "0", "--no-browser"),
        cwd=ROOT,
        env=_environment(home, temporary, api_port),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    lines: list[str] = []
    reader = asyncio.create_task(_read(started, lines, folder / "demo.out"))
    try:
        page_url = await _page_url(started, lines)
        process = psutil.Process(started.pid)
        api_url = f"http://127.0.0.1:{api_port}"
        yield Ground(process, page_url, _status_url(process), api_url, home, temporary)
    finally:
        await _end(started)
        await reader


def bot_process(demo: psutil.Process) -> psutil.Process | None:
    """The bot among the demo's children."""
    return next((p for p in demo.children() if p.cmdline()[-1:] == ["run"]), None)


def _environment(home: Path, temporary: Path, api_port: int) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "TMPDIR": str(temporary),
        "DANZAR_BOT__DATA_DIR": str(home),
        "DANZAR_BOT__API__ENABLED": "true",
        "DANZAR_BOT__API__PORT": str(api_port),
        "DANZAR_BOT__CHAT__MAX_ANSWER_TOKENS": "120",
        # What is kept by time is full within the warm-up, not after an hour.
        "DANZAR_VRAM__MONITOR__HISTORY_S": "900",
    }


async def _read(process: asyncio.subprocess.Process, lines: list[str], copy: Path) -> None:
    assert process.stdout is not None
    with copy.open("w", encoding="utf-8") as out:
        async for raw in process.stdout:
            line = raw.decode(errors="replace")
            lines.append(line)
            del lines[:-50]
            out.write(line)
            out.flush()


async def _page_url(process: asyncio.subprocess.Process, lines: list[str]) -> str:
    async with asyncio.timeout(_START_TIMEOUT_S):
        # Another process says it on its output.
        while not any("The bot is online" in line for line in lines):
            if process.returncode is not None:
                raise SystemExit(f"the demo ended: {''.join(lines)}")
            await asyncio.sleep(0.2)
    found = _PAGE.search("".join(lines))
    assert found is not None
    return found[1]


def _status_url(demo: psutil.Process) -> str:
    bot = bot_process(demo)
    assert bot is not None
    return f"http://127.0.0.1:{bot.environ()['DANZAR_BOT__HTTP__PORT']}"


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        async with asyncio.timeout(_STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
