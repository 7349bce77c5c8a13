"""A model without a worker process, and the small things that tests about jobs share."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field

from danzar.core.asker import NOBODY, Asker
from danzar.inference import MakeRequest, OnPosition, Outcome, Placed, Progress
from danzar.jobs.contract import JobEvent, JobRequest, Jobs, JobView, StateCame
from danzar.workers.contract import (
    ChatMessage,
    Generate,
    Generated,
    GeneratedImages,
    GenerateImages,
    Picture,
    Request,
    StepDone,
    TextDelta,
)

PATIENCE_S = 60.0
PIXEL = Picture(1, 1, "rgb", b"\0\0\0")


def said(prompt: str) -> Generate:
    """A request that is answered with its own words."""
    return Generate(messages=(ChatMessage("user", prompt),))


def wish(prompt: str = "one two", **envelope) -> JobRequest:
    """A job for the model ``echo``."""
    return JobRequest(model=envelope.pop("model", "echo"), work=said(prompt), **envelope)


@dataclass
class EchoInference:
    """Answers ``Generate`` with its own words and ``GenerateImages`` with steps.

    Attributes:
        seconds: Of computing for each request.
        gate: Where it is closed, requests wait after their first part.
        gated: Which prompts the gate is for.
        gates: Of single prompts, instead of the gate.
        fail: Asked with prompt and start (from 1); an error that it returns is raised.
        begun: Prompts in the order of their starts.
        most: The most requests that ran at once.
    """

    seconds: float = 0.0
    gate: asyncio.Event | None = None
    gated: Callable[[str], bool] = lambda prompt: True
    gates: dict[str, asyncio.Event] = field(default_factory=dict)
    fail: Callable[[str, int], Exception | None] = lambda prompt, start: None
    begun: list[str] = field(default_factory=list)
    now: int = 0
    most: int = 0
    stopped: list[str] = field(default_factory=list)
    askers: list[Asker] = field(default_factory=list)

    async def stream(
        self,
        model: str,
        request: Request | MakeRequest,
        *,
        asker: Asker = NOBODY,
        on_position: OnPosition | None = None,
    ) -> AsyncGenerator[Progress]:
        placed = Placed(model, "cuda:0", simulated=True)
        if not isinstance(request, Generate | GenerateImages):
            raise TypeError(request)
        prompt = request.messages[-1].content if isinstance(request, Generate) else request.prompt
        self._begin(prompt, asker)
        done = False
        try:
            error = self.fail(prompt, self.begun.count(prompt))
            if error is not None:
                done = True
                raise error
            yield placed
            answer = self._words(prompt) if isinstance(request, Generate) else self._steps(request)
            async for event in answer:
                if isinstance(event, TextDelta | StepDone):
                    yield event
                else:
                    done = True
                    yield Outcome(event, placed, self.seconds, 0.0)
        finally:
            self.now -= 1
            if not done:
                self.stopped.append(prompt)

    def _begin(self, prompt: str, asker: Asker) -> None:
        self.begun.append(prompt)
        self.askers.append(asker)
        self.now += 1
        self.most = max(self.most, self.now)

    async def _words(self, prompt: str):
        words = prompt.split(" ")
        for word in words:
            yield TextDelta(f"{word} ")
            await self._compute(prompt)
        yield Generated("stop", 1, len(words))

    async def _steps(self, request: GenerateImages):
        steps = request.steps or 4
        for step in range(steps):
            yield StepDone(step + 1, steps)
            await self._compute(request.prompt)
        yield GeneratedImages((PIXEL,), request.seed or 0)

    async def _compute(self, prompt: str) -> None:
        await asyncio.sleep(self.seconds)
        gate = self.gates.get(prompt, self.gate if self.gated(prompt) else None)
        if gate is not None:
            await gate.wait()

    async def call(
        self, model: str, request: Request | MakeRequest, *, asker: Asker = NOBODY
    ) -> Outcome:
        outcome = None
        async for event in self.stream(model, request, asker=asker):
            outcome = event if isinstance(event, Outcome) else outcome
        assert outcome is not None
        return outcome

    def batch_size(self, model: str) -> int | None:
        return None


async def follow_all(jobs: Jobs, job_id: str) -> list[JobEvent]:
    """Everything that a follower sees, until the job has ended."""
    async with asyncio.timeout(PATIENCE_S):
        return [event async for event in jobs.follow(job_id)]


async def ended(jobs: Jobs, job_id: str) -> JobView:
    """The job when it has ended."""
    last = (await follow_all(jobs, job_id))[-1]
    assert isinstance(last, StateCame)
    return last.view


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.005)
