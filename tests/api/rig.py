"""The API with everything real but the queue: jobs that a test's own script carries out at once."""

import asyncio
import itertools
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from danzar.config.api import ApiSettings
from danzar.config.bot import BotConfig
from danzar.config.models import ModelEntry, ModelsConfig, RoleChoice
from danzar.config.settings import Config
from danzar.errors import DanzarError
from danzar.http.api import make_api
from danzar.http.api_keys import ApiKeys
from danzar.http.api_parts import ApiParts
from danzar.http.api_server import serve_api
from danzar.http.api_targets import local_targets
from danzar.inference_fake import ScriptedInference
from danzar.jobs.contract import (
    JobEvent,
    JobMissing,
    JobNotCompleted,
    JobOutput,
    JobRequest,
    JobState,
    JobView,
    PartCame,
    StateCame,
)
from danzar.workers.contract import (
    Generated,
    GeneratedImages,
    GenerateImages,
    Part,
    Picture,
    Result,
    StepDone,
    TextDelta,
)
from tests.gpu_memory.cards import gpu, memories

PNG = b"\x89PNG\r\n\x1a\n" + bytes(24)
MODELS = {
    "llama-ministral": ModelEntry(backend="echo", role="chat"),
    "stable-diffusion-turbo": ModelEntry(backend="diffusion", role="imagine", path="models/sd"),
    "yolo-nano": ModelEntry(backend="yolo", role="detect", path="models/yolo-nano.pt"),
    "media": ModelEntry(backend="media", role="media"),
}
USE = RoleChoice(chat="llama-ministral", detect=None, rank=None, read=None)
Step = Part | Result | asyncio.Event | DanzarError


def writes(*words: str) -> list[Step]:
    """The work of a model that answers with these words."""
    return [*(TextDelta(text=word) for word in words), Generated("stop", 5, len(words))]


def draws(request: GenerateImages) -> list[Step]:
    """The work of a model that draws as many pictures as were asked for."""
    picture = Picture(request.width, request.height, "png", PNG)
    made = GeneratedImages((picture,) * request.count, request.seed or 0)
    return [StepDone(1, 1, Picture(8, 8, "jpeg", b"\xff\xd8")), made]


@dataclass
class _Job:
    view: JobView
    request: JobRequest
    events: list[JobEvent] = field(default_factory=list)
    output: JobOutput | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class ScriptedJobs:
    """The ``Jobs`` protocol in memory. ``script`` says what a request's work does.

    Attributes:
        trouble: Raised by every call, where it is set.
    """

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self._tasks = tasks
        self._jobs: dict[str, _Job] = {}
        self._numbers = itertools.count(1)
        self._work: dict[str, asyncio.Task[None]] = {}
        self.script: Callable[[JobRequest], Sequence[Step]] = _answer
        self.trouble: DanzarError | None = None
        self.waiting_now: dict[str, int] = defaultdict(int)

    async def submit(self, request: JobRequest) -> JobView:
        self._fail()
        job_id = f"job{next(self._numbers):04}"
        view = JobView(
            job_id,
            request.model,
            JobState.QUEUED,
            time.time(),
            priority=request.priority,
            owner=request.owner,
            position=1,
        )
        self._jobs[job_id] = _Job(view, request)
        self._work[job_id] = self._tasks.create_task(self._run(self._jobs[job_id]))
        return view

    async def view(self, job_id: str) -> JobView:
        self._fail()
        return self._find(job_id).view

    async def output(self, job_id: str) -> JobOutput:
        job = self._find(job_id)
        if job.output is None:
            raise JobNotCompleted(f"job {job_id} is {job.view.state}", job.view)
        return job.output

    async def cancel(self, job_id: str, reason: str) -> JobView:
        job = self._find(job_id)
        if not job.view.state.ended:
            self._work[job_id].cancel()
            self._change(job, state=JobState.CANCELLED, error=reason, ended_at=time.time())
        return job.view

    async def follow(self, job_id: str) -> AsyncGenerator[JobEvent]:
        job = self._find(job_id)
        seen = 0
        yield StateCame(job.view)
        while not job.view.state.ended or seen < len(job.events):
            if seen == len(job.events):
                job.changed.clear()
                await job.changed.wait()
            for event in job.events[seen:]:
                seen += 1
                yield event

    async def waiting(self) -> dict[str, int]:
        self._fail()
        return self.waiting_now

    async def unfinished(self, owner: str | None) -> int:
        mine = [job for job in self._jobs.values() if job.view.owner == owner]
        return sum(not job.view.state.ended for job in mine)

    async def recent(self, limit: int = 50) -> tuple[JobView, ...]:
        return tuple(job.view for job in reversed(self._jobs.values()))[:limit]

    async def known_models(self) -> frozenset[str]:
        return frozenset()

    def request(self, job_id: str) -> JobRequest:
        """What was asked for."""
        return self._find(job_id).request

    def _fail(self) -> None:
        if self.trouble is not None:
            raise self.trouble

    def _find(self, job_id: str) -> _Job:
        if job_id not in self._jobs:
            raise JobMissing(f"there is no job {job_id!r}")
        return self._jobs[job_id]

    async def _run(self, job: _Job) -> None:
        self._change(job, state=JobState.RUNNING, started_at=time.time(), attempt=1, position=None)
        text = ""
        for step in self.script(job.request):
            match step:
                case asyncio.Event():
                    await step.wait()
                case DanzarError():
                    self._change(job, state=JobState.FAILED, error=str(step), ended_at=time.time())
                    return
                case TextDelta() | StepDone():
                    text += step.text if isinstance(step, TextDelta) else ""
                    self._tell(job, PartCame(step, 1))
                case _:
                    job.output = JobOutput(text, step)
        self._change(job, state=JobState.COMPLETED, ended_at=time.time(), device="cuda:0")

    def _change(self, job: _Job, **changes: object) -> None:
        job.view = msgspec.structs.replace(job.view, **changes)
        self._tell(job, StateCame(job.view))

    def _tell(self, job: _Job, event: JobEvent) -> None:
        job.events.append(event)
        job.changed.set()


def _answer(request: JobRequest) -> Sequence[Step]:
    if isinstance(request.work, GenerateImages):
        return draws(request.work)
    return writes("Quantum computing ", "uses ", "qubits.")


@dataclass(frozen=True)
class Rig:
    """The parts, with their own types; ``url`` where they are served."""

    parts: ApiParts
    jobs: ScriptedJobs
    inference: ScriptedInference
    keys: ApiKeys
    url: str = ""


def config_of(root: Path, **api: object) -> Config:
    """Settings with the seed's two models."""
    models = ModelsConfig(models=MODELS, use=USE)
    return Config(root=root, bot=BotConfig(api=ApiSettings(**{"port": 0, **api})), models=models)


@asynccontextmanager
async def open_rig(folder: Path, **api: object) -> AsyncIterator[Rig]:
    """The parts, unserved."""
    config = config_of(folder, **api)
    async with ApiKeys.open(folder / "api_keys.db") as keys, asyncio.TaskGroup() as tasks:
        jobs, inference = ScriptedJobs(tasks), ScriptedInference()
        parts = ApiParts(
            inference=inference,
            jobs=jobs,
            config=config,
            keys=keys,
            models=tuple,
            devices=lambda: memories(gpu(0, 4.0), gpu(1, 9.0)),
            targets=lambda: local_targets(config.models),
        )
        yield Rig(parts, jobs, inference, keys)
        for task in jobs._work.values():
            task.cancel()


@asynccontextmanager
async def serve_rig(folder: Path, **api: object) -> AsyncIterator[Rig]:
    """The same on a real socket."""
    async with (
        open_rig(folder, **api) as rig,
        serve_api(make_api(rig.parts), rig.parts.settings, rig.parts.closing) as url,
    ):
        yield Rig(rig.parts, rig.jobs, rig.inference, rig.keys, url)
