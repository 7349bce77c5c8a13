"""People at the local Discord: they post, type, use commands, press buttons, and read answers."""

import asyncio
import json
import re
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

import aiohttp

Json = dict[str, Any]

DONE = re.compile(r"^-# .*(cuda:\d|cpu).* · \d+(\.\d+)? s", re.MULTILINE)
STOPPED = re.compile(r"^-# stopped", re.MULTILINE)
_CURSOR = "▌"
_WAITING = "⏳"
_KEPT_MESSAGES = 500
_SETTLED_S = 25.0
_LOOK_S = 0.1


class Page:
    """What a browser would hold: who is there, and the newest messages."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url
        self.places: dict[str, str] = {}
        self.people: list[str] = []
        self.bot = ""
        self.alerts = 0
        self.edits = 0
        self._messages: OrderedDict[str, Json] = OrderedDict()
        self._count = 0

    async def follow(self) -> None:
        """Read what happens until cancelled; a feed that closes is opened again."""
        while True:
            try:
                async with self._session.ws_connect(
                    f"{self._url}/page/feed", max_msg_size=0, heartbeat=30
                ) as feed:
                    async for message in feed:
                        event = json.loads(message.data)
                        self._note(event["t"], event["d"])
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(1)

    async def ready(self) -> None:
        """Wait for the feed's greeting."""
        while not self.places:
            await asyncio.sleep(_LOOK_S)

    async def post(self, person: int, place: str, text: str, picture: Path | None = None) -> str:
        """Post as a person; the message's id."""
        body = {
            "user_id": self.people[person],
            "channel_id": self.places[place],
            "content": text,
        }
        form = aiohttp.FormData(default_to_multipart=True)
        form.add_field("json", json.dumps(body))
        if picture is not None:
            data = await asyncio.to_thread(picture.read_bytes)
            form.add_field("files[0]", data, filename=picture.name, content_type="image/png")
        answer = await self._send("messages", form)
        return str(answer["id"])

    async def type_in(self, person: int, place: str) -> None:
        """Be seen typing."""
        await self._act("typing", user_id=self.people[person], channel_id=self.places[place])

    async def press(self, person: int, message: Json, custom_id: str) -> None:
        """Press a button under a message."""
        await self._act(
            "component",
            user_id=self.people[person],
            channel_id=message["channel_id"],
            message_id=message["id"],
            custom_id=custom_id,
        )

    def answer_to(self, message_id: str) -> Json | None:
        """The bot's last message that replies to this one."""
        for message in reversed(self._messages.values()):
            if reference(message) == message_id:
                return message
        return None

    def now(self) -> int:
        """How many messages have come; for ``next_in``."""
        return self._count

    def next_in(self, place: str, since: int, command_id: str) -> Json | None:
        """The bot's first message there since, that replies to no one else."""
        for message in self._messages.values():
            if (
                message["number"] > since
                and message["channel_id"] == self.places[place]
                and reference(message) in (None, command_id)
            ):
                return message
        return None

    async def answered(self, message_id: str, patience_s: float) -> tuple[str, str]:
        """What became of a question: answered, stopped, refused or lost; and the last text."""
        until_s = time.monotonic() + patience_s
        text, changed_s = "", time.monotonic()
        while time.monotonic() < until_s:
            message = self.answer_to(message_id)
            if message is not None and message["content"] != text:
                text, changed_s = message["content"], time.monotonic()
            outcome = outcome_of(text, time.monotonic() - changed_s)
            if outcome is not None:
                return outcome, text
            await asyncio.sleep(_LOOK_S)
        return "lost", text

    def _note(self, kind: str, data: Json) -> None:
        if kind == "hello":
            self._greet(data)
        elif kind in ("MESSAGE_CREATE", "MESSAGE_UPDATE"):
            self._keep(kind, data)

    def _greet(self, data: Json) -> None:
        self.people = [p["id"] for p in sorted(data["people"], key=lambda p: not p["operator"])]
        self.bot = data["bot"]["id"]
        places = {c["name"]: c["id"] for c in data["channels"]}
        direct = {f"direct-{self.people.index(d['person_id'])}": d["id"] for d in data["direct"]}
        self.places = places | direct

    def _keep(self, kind: str, data: Json) -> None:
        if kind == "MESSAGE_UPDATE":
            self.edits += 1
            known = self._messages.get(data["id"])
            if known is not None:
                known.update(data)
            return
        if data["author"]["id"] != self.bot:
            return
        self.alerts += data["channel_id"] == self.places.get("alerts")
        self._count += 1
        self._messages[data["id"]] = {**data, "number": self._count}
        while len(self._messages) > _KEPT_MESSAGES:
            self._messages.popitem(last=False)

    async def _act(self, what: str, **body: Any) -> Json:
        form = aiohttp.FormData(default_to_multipart=True)
        form.add_field("json", json.dumps(body))
        return await self._send(what, form)

    async def _send(self, what: str, form: aiohttp.FormData) -> Json:
        async with self._session.post(f"{self._url}/page/{what}", data=form) as response:
            response.raise_for_status()
            answer: Json = await response.json()
            return answer


def reference(message: Json) -> str | None:
    """Which message this one replies to."""
    found = (message.get("message_reference") or {}).get("message_id")
    return None if found is None else str(found)


def outcome_of(text: str, unchanged_s: float) -> str | None:
    """How an answer ended, from its text; ``None`` while it may still grow. Pure."""
    if STOPPED.search(text):
        return "stopped"
    if DONE.search(text):
        return "answered"
    grows = not text or _CURSOR in text or text.startswith(_WAITING)
    return None if grows or unchanged_s < _SETTLED_S else "refused"


def buttons(message: Json) -> dict[str, str]:
    """The ``custom_id`` of each button that can be pressed, by its label."""
    found = (b for row in message.get("components") or () for b in row.get("components") or ())
    return {
        b.get("label") or "": b["custom_id"]
        for b in found
        if b.get("custom_id") and not b.get("disabled")
    }
