"""What a person does first, without a person: start the demo, be answered, end it.

``python smoke.py COMMAND...`` runs inside the container; it needs aiohttp and nothing of Danzar's.
"""

import asyncio
import json
import os
import re
import signal
import sys
import time
from asyncio.subprocess import PIPE, STDOUT, Process
from pathlib import Path

import aiohttp

ONLINE = "The bot is online"
# The line under an answer that is whole: model, device, seconds.
DONE = re.compile(r"^-# .*(cuda:\d|cpu).* · \d+(\.\d+)? s", re.MULTILINE)
PATIENCE_S = 300


async def main(command: list[str]) -> int:
    started_s = time.monotonic()
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=STDOUT)
    lines: list[str] = []
    online = asyncio.Event()
    async with asyncio.timeout(PATIENCE_S * 3), asyncio.TaskGroup() as tasks:
        tasks.create_task(follow(process, lines, online))
        await asyncio.wait_for(online.wait(), PATIENCE_S)
        say(f"online after {time.monotonic() - started_s:.1f} s")
        say(f"health: {await health()}")
        say(f"answer: {await ask(page_of(lines), 'hello, who are you?')!r}")
        process.send_signal(signal.SIGTERM)
        ending_s = time.monotonic()
        status = await process.wait()
        say(f"ended with status {status} {time.monotonic() - ending_s:.1f} s after SIGTERM")
    return status


async def follow(process: Process, lines: list[str], online: asyncio.Event) -> None:
    assert process.stdout is not None
    async for line in process.stdout:
        lines.append(line.decode(errors="replace").rstrip())
        say(f"  {lines[-1]}")
        if ONLINE in lines[-1]:
            online.set()


def page_of(lines: list[str]) -> str:
    found = re.search(r"The page: (\S+)", "\n".join(lines))
    assert found, lines
    return found[1]


async def health() -> str:
    """What `danzar health` says once it is well; readiness may follow being online by seconds."""
    for _ in range(60):
        process = await asyncio.create_subprocess_exec(
            "danzar", "health", stdout=PIPE, stderr=STDOUT
        )
        said, _ = await process.communicate()
        if process.returncode == 0:
            return said.decode().strip()
        await asyncio.sleep(1)
    raise AssertionError(f"danzar health: {said.decode()}")


async def ask(url: str, question: str) -> str:
    """The bot's whole answer to a message in the first channel."""
    url = url.rstrip("/")
    async with (
        aiohttp.ClientSession(headers={"Origin": url}) as session,
        session.ws_connect(f"{url}/page/feed", max_msg_size=0) as feed,
    ):
        hello = (await feed.receive_json())["d"]
        body = {
            "user_id": hello["people"][0]["id"],
            "channel_id": hello["channels"][0]["id"],
            "content": f"<@{hello['bot']['id']}> {question}",
        }
        form = aiohttp.FormData(default_to_multipart=True)
        form.add_field("json", json.dumps(body))
        async with session.post(f"{url}/page/messages", data=form) as posted:
            posted.raise_for_status()
        async with asyncio.timeout(PATIENCE_S):
            return await whole_answer(feed, hello["bot"]["id"])


async def whole_answer(feed: aiohttp.ClientWebSocketResponse, bot: str) -> str:
    ours: set[str] = set()
    async for message in feed:
        event = json.loads(message.data)
        data = event["d"]
        if event["t"] == "MESSAGE_CREATE" and data["author"]["id"] == bot:
            ours.add(data["id"])
        if event["t"] in ("MESSAGE_CREATE", "MESSAGE_UPDATE") and data["id"] in ours:
            text = str(data.get("content", ""))
            if DONE.search(text):
                return text
    raise AssertionError("the feed ended")


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def rights() -> str:
    """The effective capabilities of this process: zeros are none."""
    return re.findall(r"CapEff:\s*(\w+)", Path("/proc/self/status").read_text())[0]


if __name__ == "__main__":
    say(f"user {os.getuid()}, capabilities {rights()}")
    sys.exit(asyncio.run(main(sys.argv[1:])))
