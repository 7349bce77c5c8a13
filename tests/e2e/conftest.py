"""The demo as a person starts it, and its page in headless Chromium."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tests.browser import FLAGS
from tests.e2e.page import ChatPage

ROOT = Path(__file__).parents[2]
START_TIMEOUT_S = 180


@dataclass
class Demo:
    """A running ``danzar demo``."""

    process: subprocess.Popen[str]
    log_file: Path
    lines: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        found = re.search(r"The page: (\S+)", "\n".join(self.lines))
        assert found, self.lines
        return found[1]

    def follow(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    def wait_for(self, text: str) -> None:
        until = time.monotonic() + START_TIMEOUT_S
        while not any(text in line for line in self.lines):
            assert self.process.poll() is None, f"the demo ended: {self.lines}"
            assert time.monotonic() < until, f"{text!r} did not come: {self.lines}"
            time.sleep(0.1)

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


@contextmanager
def running_demo(data: Path, *options: str, **environment: str) -> Iterator[Demo]:
    """``danzar demo`` with its data in this folder, online until the context is left."""
    process = subprocess.Popen(
        [sys.executable, "-m", "danzar", "demo", "--port", "0", "--no-browser", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
        env={
            **os.environ,
            "DANZAR_BOT__DATA_DIR": str(data),
            "PYTHONUNBUFFERED": "1",
            **environment,
        },
    )
    running = Demo(process, data / "demo.log")
    reader = threading.Thread(target=running.follow)
    reader.start()
    try:
        running.wait_for("The bot is online")
        yield running
    finally:
        family = running.family() if process.poll() is None else []
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        finally:
            for member in family:
                if member.is_running():
                    member.kill()
            reader.join(10)
            assert process.stdout is not None
            process.stdout.close()


@pytest.fixture(scope="package")
def demo(tmp_path_factory) -> Iterator[Demo]:
    """One for all tests here: each begins with what the ones before it left in the channels."""
    # Models that made way come back in seconds, not in a minute.
    quick = {"DANZAR_VRAM__PRESSURE__CALM_S": "3", "DANZAR_VRAM__PRESSURE__MOVE_INTERVAL_S": "5"}
    with running_demo(tmp_path_factory.mktemp("data"), **quick) as running:
        yield running


# Per module: while it is open, Playwright keeps an event loop running in this thread.
@pytest.fixture(scope="module")
def chromium():
    sync_api = pytest.importorskip("playwright.sync_api")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("Chromium is not installed: apt install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def chat_page(chromium, url: str) -> Iterator[ChatPage]:
    """The demo's page in a fresh browser."""
    context = chromium.new_context(viewport={"width": 1440, "height": 1000})
    opened = context.new_page()
    opened.set_default_timeout(30_000)
    opened.goto(url)
    yield ChatPage(opened)
    context.close()


@pytest.fixture
def page(chromium, demo) -> Iterator[ChatPage]:
    with chat_page(chromium, demo.url) as opened:
        yield opened
