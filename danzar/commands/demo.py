"""``danzar demo``: the real bot against a local Discord, both as processes, until Ctrl-C.

demo ── starts ──> python -m danzar.local   the page, Discord's API and gateway on loopback
     └─ starts ──> python -m danzar run     the bot, told by its environment where Discord is
"""

import asyncio
import os
import secrets
import socket
import sys
import tempfile
import time
import webbrowser
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console

from danzar.commands.demo_log import OutputFile, written_to
from danzar.commands.demo_processes import child, drained
from danzar.commands.terminal import console
from danzar.config.places import data_folder
from danzar.config.settings import Config
from danzar.core.device import CPU_UUID
from danzar.core.device_text import short_name
from danzar.errors import DanzarError
from danzar.live.control import DEMO_FILE, NOTE_VARIABLE
from danzar.logs.files import FOLDER
from danzar.logs.keep import DEMO_FOLDER, FOLDER_VARIABLE

READY_TIMEOUT_S = 60.0
SETTLED_S = 60.0
MAX_FAILURES = 5
_POLL_S = 0.5
_LOG_TAIL_BYTES = 4000


class DemoFailed(DanzarError):
    """A part of the demo would not start, or would not stay."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the processes are told.

    Attributes:
        config: The settings' folder as the person named it, or ``None``.
        root: The project's folder, where ``assets`` is.
        token: Made anew for each demo; only the local Discord accepts it.
        status_port: Of the bot's status API.
        log_file: Where the bot's log goes.
    """

    config: Path | None
    root: Path
    token: str
    port: int
    status_port: int
    data_dir: Path
    log_file: Path

    @property
    def status_url(self) -> str:
        """Base of the bot's status API."""
        return f"http://127.0.0.1:{self.status_port}"


async def run_demo(config: Config, folder: Path | None, *, port: int, open_browser: bool) -> None:
    """Start both, say where the page is, keep the bot alive, and end both when cancelled.

    Raises:
        DemoFailed: The local Discord does not start, or the bot fails again and again.
    """
    screen = console()
    with tempfile.TemporaryDirectory(prefix="danzar-demo-", ignore_cleanup_errors=True) as data:
        log_folder = data_folder(config)
        log_folder.mkdir(parents=True, exist_ok=True)
        plan = Plan(
            config=folder,
            root=config.root,
            token=secrets.token_urlsafe(32),
            port=port,
            # Where `danzar gpu` looks for a bot, if no other one is there.
            status_port=free_port(config.bot.http.port),
            data_dir=Path(data),
            log_file=log_folder / "demo.log",
        )
        async with _local_discord(plan) as url:
            screen.print(f"The page: {url}", style="bold")
            screen.print(f"Cards, queue, decisions and log: {plan.status_url}/")
            screen.print(f"The bot's log: {plan.log_file}\nCtrl-C ends both.", style="dim")
            if open_browser:
                await asyncio.to_thread(_open_browser, url)
            await _keep_bot(plan, url, screen)


def free_port(wanted: int = 0) -> int:
    """A TCP port that is free now: the wanted one if it is."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            return free_port()
        port: int = probe.getsockname()[1]
        return port


def bot_environment(plan: Plan, url: str) -> dict[str, str]:
    """The bot's environment: this process's, with Discord's place taken by the local one."""
    return {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "DISCORD_TOKEN": plan.token,
        "DANZAR_END_WITH_PARENT": "1",
        "DANZAR_BOT__DISCORD__API_URL": f"{url}/api/v10",
        "DANZAR_BOT__DISCORD__GATEWAY_URL": f"ws{url.removeprefix('http')}/gateway",
        "DANZAR_BOT__DISCORD__CDN_URL": f"{url}/cdn",
        "DANZAR_BOT__HTTP__ENABLED": "true",
        "DANZAR_BOT__HTTP__PORT": str(plan.status_port),
        "DANZAR_BOT__DATA_DIR": str(plan.data_dir),
        # The data folder goes with the demo; its log stays.
        FOLDER_VARIABLE: str(plan.log_file.with_name(FOLDER) / DEMO_FOLDER),
        NOTE_VARIABLE: str(plan.log_file.with_name(DEMO_FILE)),
        "DANZAR_VRAM__TELEMETRY__SIMULATE_WHEN_ABSENT": "true",
    }


@asynccontextmanager
async def _local_discord(plan: Plan) -> AsyncIterator[str]:
    """The local Discord while the context lasts; yields its address.

    Raises:
        DemoFailed: It did not become ready.
    """
    arguments = ["--port", str(plan.port), "--status-url", plan.status_url]
    assets = plan.root / "assets"
    if assets.is_dir():
        arguments += ["--assets", str(assets)]
    environment = {**os.environ, "DANZAR_LOCAL_TOKEN": plan.token, "PYTHONUNBUFFERED": "1"}
    async with child(["danzar.local", *arguments], environment, output=PIPE) as process:
        url = await _wait_for_address(process, plan.port)
        async with drained(process):
            yield url


async def _wait_for_address(process: Process, port: int) -> str:
    if process.stdout is None or process.stderr is None:
        raise RuntimeError("the process was started without pipes")
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            line = (await process.stdout.readline()).decode(errors="replace").strip()
            trouble = b"" if line else await process.stderr.read(_LOG_TAIL_BYTES)
    except TimeoutError as exc:
        raise DemoFailed(f"the local Discord was not ready after {READY_TIMEOUT_S:g} s") from exc
    word, _, url = line.partition(" ")
    if word != "ready":
        last = trouble.decode(errors="replace").strip().splitlines()[-1:] or [line]
        raise DemoFailed(f"the local Discord did not start: {last[0]}; try --port {port + 1}")
    return url


async def _keep_bot(plan: Plan, url: str, screen: Console) -> None:
    """Run the bot again whenever it ends, more slowly each time.

    Raises:
        DemoFailed: It failed many times in a row.
    """
    failures = 0
    while True:
        started_s = time.monotonic()
        status = await _run_bot_once(plan, url, screen)
        failures = 1 if time.monotonic() - started_s > SETTLED_S else failures + 1
        if failures >= MAX_FAILURES:
            raise DemoFailed(f"the bot ended {failures} times in a row: {_last_line(plan)}")
        wait_s = min(30.0, 2.0 ** (failures - 1))
        screen.print(f"The bot ended with status {status}: {_last_line(plan)}")
        screen.print(f"It is started again in {wait_s:g} s.")
        await asyncio.sleep(wait_s)


async def _run_bot_once(plan: Plan, url: str, screen: Console) -> int:
    """The bot from its start to its end; returns its exit status."""
    command = ["danzar", "run"]
    if plan.config is not None:
        command += ["--config", str(plan.config.resolve())]
    file = OutputFile(plan.log_file)
    file.begin()
    async with (
        child(command, bot_environment(plan, url), output=PIPE) as process,
        written_to(file, process),
        asyncio.TaskGroup() as tasks,
    ):
        teller = tasks.create_task(_tell_when_ready(plan, screen))
        status = await process.wait()
        teller.cancel()
    return status


async def _tell_when_ready(plan: Plan, screen: Console) -> None:
    """Say that the bot is online, and on which cards."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        # Another process: there is no event to wait for.
        while (status := await _ready_status(session, plan.status_url)) is None:  # noqa: ASYNC110
            await asyncio.sleep(_POLL_S)
    cards = [
        f"{device['label']} {short_name(device['name'])}"
        f"{' (simulated)' if device['simulated'] else ''}"
        for device in status["devices"]
        if device["label"] != CPU_UUID
    ]
    screen.print("The bot is online. Write to it on the page: @Danzar hello", style="bold")
    screen.print(f"Cards: {', '.join(cards) or 'none; models run on the CPU'}")


async def _ready_status(session: aiohttp.ClientSession, status_url: str) -> dict[str, Any] | None:
    """The bot's status once it is connected; ``None`` before."""
    try:
        async with session.get(f"{status_url}/v1/status") as response:
            status: dict[str, Any] = await response.json()
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return None
    return status if status.get("bot", {}).get("ready") else None


def _last_line(plan: Plan) -> str:
    """The last thing that the bot said."""
    try:
        with plan.log_file.open("rb") as stream:
            stream.seek(max(0, plan.log_file.stat().st_size - _LOG_TAIL_BYTES))
            lines = stream.read().decode(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1] if lines else f"see {plan.log_file}"


def _open_browser(url: str) -> None:
    """Open the page, unless that would start a browser inside this terminal."""
    graphical = sys.platform in ("win32", "darwin") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    if graphical:
        webbrowser.open(url)
