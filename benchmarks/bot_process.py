"""The bot's own process while it chats and watches: event loop lag and resident memory.

    uv run python benchmarks/bot_process.py [--seconds 60]

Starts the demo (real bot, real models, simulated cards), asks one question after another in one
channel while the sample clip is watched in another, and prints what the bot's status API measured.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).parents[1]
MIB = 1024**2
QUESTION_EVERY_S = 15


@asynccontextmanager
async def demo() -> AsyncIterator[str]:
    """The demo's address while the context lasts."""
    with tempfile.TemporaryDirectory() as data:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "danzar", "demo", "--port", "0", "--no-browser"),
            cwd=ROOT,
            env={**os.environ, "DANZAR_BOT__DATA_DIR": data, "PYTHONUNBUFFERED": "1"},
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        try:
            url = ""
            async for line in process.stdout:
                text = line.decode()
                url = text.split("The page: ")[1].strip() if "The page: " in text else url
                if "online" in text:
                    break
            yield url
        finally:
            process.send_signal(signal.SIGINT)
            await process.wait()


class Page:
    """A page without a browser: posts as the operator and reads the feed."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url
        self._channels: dict[str, str] = {}
        self._person = ""
        self.status: dict[str, Any] = {}
        self.edits = 0
        self.alerts = 0
        self.bot = ""

    async def follow(self) -> None:
        async with self._session.ws_connect(f"{self._url}/page/feed") as feed:
            async for message in feed:
                event = json.loads(message.data)
                self._note(event["t"], event["d"])

    def _note(self, kind: str, data: dict[str, Any]) -> None:
        if kind == "hello":
            self._person = next(p["id"] for p in data["people"] if p["operator"])
            self.bot = data["bot"]["id"]
            self._channels = {c["name"]: c["id"] for c in data["channels"]}
        elif kind == "status":
            self.status = data
        elif kind == "MESSAGE_UPDATE":
            self.edits += 1
        elif kind == "MESSAGE_CREATE" and data["channel_id"] == self._channels.get("alerts"):
            self.alerts += 1

    async def ready(self) -> None:
        while not (self._channels and self.status.get("bot")):
            await asyncio.sleep(0.1)

    async def post(self, channel: str, content: str) -> None:
        form = aiohttp.FormData(default_to_multipart=True)
        body = {
            "user_id": self._person,
            "channel_id": self._channels[channel],
            "content": content,
        }
        form.add_field("json", json.dumps(body))
        async with self._session.post(f"{self._url}/page/messages", data=form) as response:
            response.raise_for_status()


async def measure(seconds: float) -> None:
    async with demo() as url, aiohttp.ClientSession(headers={"Origin": url}) as session:
        page = Page(session, url)
        following = asyncio.create_task(page.follow())
        await page.ready()
        await page.post("game-night", "!watch start sample")
        lags, sizes = [], []
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            await page.post("general", f"<@{page.bot}> Tell me a story about a dragon.")
            for _ in range(QUESTION_EVERY_S):
                await asyncio.sleep(1)
                lags.append(page.status["bot"]["loop_lag_p99_s"])
                sizes.append(page.status["bot"]["rss_bytes"])
        following.cancel()
    known = [lag for lag in lags if lag is not None]
    print(f"event loop lag, worst minute's p99   {1000 * max(known):6.1f} ms")
    print(f"resident memory of the bot, highest  {max(sizes) / MIB:6.1f} MiB")
    print(f"messages edited {page.edits}, alerts {page.alerts}")


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    asyncio.run(measure(parser.parse_args().seconds))


if __name__ == "__main__":
    main()
