"""An ``Inference`` that plays scripts instead of asking models: for tests of everything above it.

inference = ScriptedInference()
inference.on("chat", Generate, says("Hello", " there"))
inference.on("yolo", Detect, [DetectedBatch(pictures=((),))])
inference.on("chat", Generate, [Position(2), Hold(event), *says("late")])
inference.on("chat", Generate, [TextDelta(text="Hal"), WorkerDied("the worker died")])
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from danzar.core.asker import NOBODY, Asker
from danzar.errors import ModelMissing
from danzar.inference import MakeRequest, OnPosition, Outcome, Placed, Progress, QueuePlace
from danzar.workers.contract import Generated, Part, Request, Result, TextDelta


@dataclass(frozen=True, slots=True)
class Position:
    """Report this place in the queue to ``on_position``."""

    position: int


@dataclass(frozen=True, slots=True)
class Hold:
    """Go on only when the event is set."""

    event: asyncio.Event


@dataclass(frozen=True, slots=True)
class Pause:
    """Go on after this many seconds of the event loop's time."""

    seconds: float


Step = Part | Result | Position | Hold | Pause | Placed | Exception
Script = Sequence[Step] | Callable[[Request], Sequence[Step]]


def says(*pieces: str, finish_reason: Literal["stop", "length"] = "stop") -> list[Step]:
    """The script of a chat model that answers with these pieces of text."""
    deltas: list[Step] = [TextDelta(text=piece) for piece in pieces]
    end = Generated(finish_reason, prompt_tokens=10, completion_tokens=len(pieces))
    return [*deltas, end]


class ScriptedInference:
    """Plays each model's scripts in turn; the last one is played again and again.

    Attributes:
        asked: Every request with its model, in order.
        askers: Who asked them, in the same order.
        closed_early: Requests whose generator was closed or cancelled before its result.
        placed: What each request is told about its place (with the model's name filled in),
            unless its script has a ``Placed`` of its own. ``Placed`` comes before the first
            part, result or error that follows ``Position``, ``Hold`` and ``Pause`` steps.
        seconds: What each ``Outcome`` says.
    """

    def __init__(self, placed: Placed | None = None, *, seconds: float = 0.5) -> None:
        self.placed = placed or Placed(model="", device="cpu", simulated=False)
        self.seconds = seconds
        self.waited_s = 0.0
        self.asked: list[tuple[str, Request]] = []
        self.askers: list[Asker] = []
        self.closed_early: list[Request] = []
        self._scripts: dict[tuple[str, type], list[Script]] = defaultdict(list)

    def on(self, model: str, kind: type, *scripts: Script) -> None:
        """Add what ``model`` does with its next requests of this kind, one script each."""
        self._scripts[model, kind].extend(scripts)

    def requests(self, kind: type) -> list[Request]:
        """Every request of this kind so far."""
        return [request for _, request in self.asked if isinstance(request, kind)]

    async def stream(
        self,
        model: str,
        request: Request | MakeRequest,
        *,
        asker: Asker = NOBODY,
        on_position: OnPosition | None = None,
    ) -> AsyncGenerator[Progress]:
        """Play the next script of this model for this kind of request.

        Raises:
            ModelMissing: There is no script for it.
        """
        request = request(self._place(model)) if callable(request) else request
        self.asked.append((model, request))
        self.askers.append(asker)
        finished = False
        try:
            async for progress in self._play(model, self._next(model, request), on_position):
                finished = isinstance(progress, Outcome)
                yield progress
        except (GeneratorExit, asyncio.CancelledError):
            if not finished:
                self.closed_early.append(request)
            raise

    def batch_size(self, model: str) -> int | None:
        """Not known: batches stay as configured."""
        return None

    async def call(
        self, model: str, request: Request | MakeRequest, *, asker: Asker = NOBODY
    ) -> Outcome:
        """Play the next script and return its result."""
        async for progress in self.stream(model, request, asker=asker):
            if isinstance(progress, Outcome):
                return progress
        raise AssertionError(f"the script of {model} for {type(request).__name__} has no result")

    def _next(self, model: str, request: Request) -> Sequence[Step]:
        scripts = self._scripts[model, type(request)]
        if not scripts:
            raise ModelMissing(f"no script for {type(request).__name__} on {model!r}")
        script = scripts.pop(0) if len(scripts) > 1 else scripts[0]
        return script(request) if callable(script) else script

    async def _play(
        self, model: str, script: Sequence[Step], on_position: OnPosition | None
    ) -> AsyncGenerator[Progress]:
        placed: Placed | None = None
        for step in script:
            match step:
                case Position(position):
                    if on_position is not None:
                        on_position(QueuePlace(position))
                case Hold(event):
                    await event.wait()
                case Pause(seconds):
                    await asyncio.sleep(seconds)
                case Exception():
                    raise step
                case Placed():
                    placed = step
                    yield placed
                case _:
                    if placed is None:
                        placed = self._place(model)
                        yield placed
                    yield self._progress(step, placed)

    def _place(self, model: str) -> Placed:
        place = self.placed
        return replace(place, model=place.model or model)

    def _progress(self, step: Part | Result, placed: Placed) -> Progress:
        if isinstance(step, Part):
            return step
        return Outcome(step, placed, seconds=self.seconds, waited_s=self.waited_s)
