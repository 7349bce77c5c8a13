"""What people and programs do to Danzar during a soak, each in its own rhythm."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from itertools import cycle, product
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.soak_api import Programs
from benchmarks.soak_page import Json, Page, buttons
from benchmarks.soak_samples import append
from danzar.logs.ring import KEEP_LINES

OPERATOR, GUEST = 0, 1
_PATIENCE_S = 240.0
_COMMAND_S = 90.0
_GAME_S = 60.0
_WATCH_S = 45.0
_JITTER = 0.5
_CANCELLED_JOBS = 0.1
_STOPPED_CHATS = 0.08

_WHAT = ("a dragon", "the sea", "a knight", "old maps", "rockets", "a lost key", "two robots")
_ASKED = ("Tell me about {}.", "What is special about {}?", "Write three sentences about {}.")
_PLACES = ((OPERATOR, "general"), (GUEST, "general"), (OPERATOR, "direct-0"), (GUEST, "direct-1"))
_TALK, _DIRECT = ("general", "game-night", "alerts"), ((OPERATOR, "direct-0"), (GUEST, "direct-1"))
# As many as a channel of the local Discord keeps, and a little more.
_FILL = 220
_WORDS = "Nobody is asked anything here; people talk to each other."
_COMMANDS = (
    "!gpu status",
    "!gpu models",
    "!gpu history",
    "!gpu plan yolo-nano",
    "!gpu why smollm2",
    "!gpu prefetch",
    "!gpu graph",
    "!gpu log",
    "!gpu optimizer",
    "!queue",
    "!watch status",
    "!help",
)
# A worker ends with its last model: rarely, so that each lives long enough to be judged.
_LET_GO = (*("yolo-nano", "clip-doom") * 2, "ocr", "yolo-nano", "clip-doom", "smollm2")
Outcome = tuple[str, str]
Act = Callable[[], Awaitable[Outcome]]


class Load:
    """Does everything until told to stop, and notes what became of each."""

    def __init__(
        self, page: Page, programs: Programs, frames: list[Path], file: Path, seed: int
    ) -> None:
        """Nothing is done before ``run``; ``file`` gets one line for each act."""
        self._page = page
        self._programs = programs
        self._file = file
        self._random = random.Random(seed)
        self._frames = cycle(frames)
        self._places = cycle(_PLACES)
        self._commands = cycle(_COMMANDS)
        self._let_go = cycle(_LET_GO)
        self._reset = cycle(_PLACES)
        self._speaks = asyncio.Lock()
        self._over = asyncio.Event()
        self._began_s = time.monotonic()

    async def fill(self) -> None:
        """Fill what keeps the newest messages and lines, as the local Discord and the bot do.

        After hours they are full. Filling up in the middle of the soak would look like a leak.
        """
        for _ in range(KEEP_LINES):  # each a line of the log, which the page shows
            if not self._over.is_set():
                await self._programs.completion("Hello", tokens=1)
        for place, _ in product(_TALK, range(_FILL)):
            if not self._over.is_set():
                await self._page.post(GUEST, place, _WORDS, next(self._frames))
        for (person, place), _ in product(_DIRECT, range(_FILL // 2)):
            if not self._over.is_set():
                await self._say("!queue", person, place)

    def acts(self) -> dict[str, tuple[float, Act]]:
        """Everything that is done: how often at rate 1, seconds, and how."""
        return {
            "chat": (8.0, self.chat),
            "picture": (25.0, self.picture),
            "job": (10.0, self.job),
            "completion": (25.0, self.completion),
            "command": (12.0, self.command),
            "typing": (20.0, self.typing),
            "watch": (150.0, self.watch),
            "let go": (500.0, self.let_a_model_go),
            "reset": (60.0, self.reset),
            "game, chat's card": (900.0, partial(self.game, 0)),
            "game, vision's card": (2400.0, partial(self.game, 1)),
        }

    async def run(self, rate: float) -> None:
        """Keep on until told to end; what has begun by then is finished."""
        async with asyncio.TaskGroup() as tasks:
            for name, (every_s, act) in self.acts().items():
                tasks.create_task(self._repeat(name, every_s / rate, act))

    def end(self) -> None:
        """Begin nothing more, and wait no longer than needed."""
        self._over.set()

    async def chat(self) -> Outcome:
        """A question; a few are stopped while they are answered."""
        person, place = next(self._places)
        asked = self._random.choice(_ASKED).format(self._random.choice(_WHAT))
        sent = await self._page.post(person, place, f"<@{self._page.bot}> {asked}")
        if self._random.random() < _STOPPED_CHATS:
            await self._stop(person, sent)
        return await self._page.answered(sent, _PATIENCE_S)

    async def picture(self) -> Outcome:
        """A picture of a game, and a question about it."""
        text = f"<@{self._page.bot}> What do you see?"
        sent = await self._page.post(OPERATOR, "game-night", text, next(self._frames))
        return await self._page.answered(sent, _PATIENCE_S)

    async def job(self) -> Outcome:
        """A job; some are cancelled at once."""
        prompt = f"Write about {self._random.choice(_WHAT)}."
        cancel = self._random.random() < _CANCELLED_JOBS
        return await self._programs.job(prompt, _PATIENCE_S * 3, cancel=cancel)

    async def completion(self) -> Outcome:
        """A program that speaks OpenAI's dialect."""
        return await self._programs.completion(f"Explain {self._random.choice(_WHAT)}.")

    async def command(self) -> Outcome:
        """One of the commands that show something."""
        _, outcome = await self._say(next(self._commands))
        return outcome

    async def typing(self) -> Outcome:
        """A sign that somebody is about to ask."""
        await self._page.type_in(*self._random.choice(_PLACES))
        return "answered", ""

    async def watch(self) -> Outcome:
        """The sample clip is watched for a while."""
        _, started = await self._say("!watch start sample")
        await self._pause(_WATCH_S)
        _, stopped = await self._say("!watch stop")
        return started if started[0] != "answered" else stopped

    async def let_a_model_go(self) -> Outcome:
        """A model is unloaded by a person, and comes back when it is asked for."""
        message, outcome = await self._say(f"!gpu unload {next(self._let_go)}")
        if message is None:
            return outcome
        return await self._confirmed(message)

    async def reset(self) -> Outcome:
        """One place's conversation is forgotten."""
        person, place = next(self._reset)
        _, outcome = await self._say("!reset", person, place)
        return outcome

    async def game(self, card: int) -> Outcome:
        """A simulated game takes a whole card, and ends."""
        _, began = await self._say(f"!gpu game 11.8GB {card}")
        await self._pause(_GAME_S)
        _, ended = await self._say(f"!gpu game 0 {card}")
        return began if began[0] != "answered" else ended

    async def _say(
        self, text: str, person: int = OPERATOR, place: str = "game-night"
    ) -> tuple[Json | None, Outcome]:
        """A command, one at a time, so that answers can be told apart."""
        async with self._speaks:
            since = self._page.now()
            sent = await self._page.post(person, place, text)
            until_s = time.monotonic() + _COMMAND_S
            while time.monotonic() < until_s:
                message = self._page.next_in(place, since, sent)
                if message is not None:
                    return message, ("answered", _text(message))
                await asyncio.sleep(0.1)
        return None, ("lost", text)

    async def _stop(self, person: int, sent: str) -> None:
        """Press Stop as soon as it is there; an answer may be quicker."""
        until_s = time.monotonic() + _COMMAND_S
        while time.monotonic() < until_s:
            message = self._page.answer_to(sent)
            if message is not None and "Stop" in (found := buttons(message)):
                await self._page.press(person, message, found["Stop"])
                return
            if message is not None and "Regenerate" in buttons(message):
                return
            await asyncio.sleep(0.1)

    async def _confirmed(self, message: Json) -> Outcome:
        """What came of a wish whose button is pressed whenever it can be.

        It is there again when things have changed between the question and the press.
        """
        if not _wishes(message):
            return "refused", _text(message)
        until_s = time.monotonic() + _COMMAND_S
        while time.monotonic() < until_s:
            is_under_way = "Under way" in _text(message)
            if not _wishes(message) and not is_under_way:
                return "answered", _text(message)
            if _wishes(message) and not is_under_way:
                await self._page.press(OPERATOR, message, _wishes(message)[0])
            await asyncio.sleep(1.0)
        return "lost", _text(message)

    async def _repeat(self, name: str, every_s: float, act: Act) -> None:
        while not self._over.is_set():
            await self._pause(every_s * self._random.uniform(1 - _JITTER, 1 + _JITTER))
            if not self._over.is_set():
                await self._note(name, act)

    async def _pause(self, for_s: float) -> None:
        """Wait, but not beyond the end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(for_s):
                await self._over.wait()

    async def _note(self, name: str, act: Act) -> None:
        began_s = time.monotonic()
        try:
            outcome, text = await act()
        except (aiohttp.ClientError, TimeoutError, KeyError) as exc:
            outcome, text = "error", f"{type(exc).__name__}: {exc}"
        line = {
            "at_s": round(began_s - self._began_s, 1),
            "act": name,
            "outcome": outcome,
            "took_s": round(time.monotonic() - began_s, 2),
            "text": text[-300:],
        }
        await asyncio.to_thread(append, self._file, line)


def _wishes(message: Json) -> list[str]:
    """The buttons under a wish that do it."""
    return [found for label, found in buttons(message).items() if label != "Cancel"]


def _text(message: dict[str, Any]) -> str:
    embeds = message.get("embeds") or ()
    parts = [message.get("content") or ""]
    parts += [f"{e.get('title') or ''} {e.get('description') or ''}" for e in embeds]
    return "\n".join(parts).strip()
