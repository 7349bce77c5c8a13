"""Make pictures and videos from words: whose model does it, whether it fits, and the files."""

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal

import msgspec

from danzar.config.settings import Config
from danzar.core.asker import Asker, RequestClass
from danzar.errors import BackendFailed, DanzarError, ModelMissing
from danzar.inference import Inference, MakeRequest, OnPosition, Outcome, Placed, Progress
from danzar.jobs.contract import Jobs
from danzar.models.files import resolve
from danzar.pictures.limits import MAX_SEED, PictureRequest, check_request
from danzar.pictures.made import Made, file_words, files_of, steps_of_each
from danzar.pictures.remote import stream_job
from danzar.pictures.room import Decision, Preflight, Record, Run, decide
from danzar.pictures.sizes import Size
from danzar.resources.generations import generation_limits
from danzar.workers.contract import (
    GeneratedImages,
    GeneratedVideo,
    GenerateImages,
    GenerateVideo,
    StepDone,
)

log = logging.getLogger(__name__)

Kind = Literal["imagine", "video"]
_KINDS: Mapping[type[PictureRequest], Kind] = {GenerateImages: "imagine", GenerateVideo: "video"}
# What models make where their settings say nothing.
_BASE_SIZE: Mapping[Kind, Size] = {"imagine": Size(512, 512), "video": Size(832, 480)}
_NAMES: Mapping[Kind, str] = {"imagine": "pictures", "video": "videos"}
_ROOM_POLL_S = 10.0
# So many previews of one picture are offered to whoever shows them.
_PREVIEWS = 10
_DEFAULT_STEPS = 20
_ELSEWHERE_NOTE = "another machine makes it, as there is too little room here"
SOMEBODY = Asker(RequestClass.PICTURE)

PictureEvent = Placed | StepDone | Made


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of one model.

    Attributes:
        base: What it makes where nothing is said.
        max_pixels: The most that it is configured for; ``None`` unknown.
        max_frames: The same for a video.
    """

    base: Size
    max_pixels: int | None = None
    max_frames: int | None = None

    def allow(self, request: PictureRequest) -> bool:
        """Whether the model is configured for as much, as far as that is known."""
        pixels = request.width * request.height
        if self.max_pixels is not None and pixels > self.max_pixels:
            return False
        frames = request.frames if isinstance(request, GenerateVideo) else 1
        return self.max_frames is None or frames <= self.max_frames


@dataclass(frozen=True, slots=True)
class Parts:
    """What pictures are made with.

    Attributes:
        jobs: The queue, for models that only another machine has; ``None``: there is none.
        elsewhere: A model of a role that some other machine serves just now; ``None``: none does.
        preflight: Whether a request fits; ``None``: the planner alone decides.
        fitted: The request as it is sent to its worker, cut to what was booked for it.
        record: Learns from a run that ended.
    """

    inference: Inference
    jobs: Jobs | None = None
    elsewhere: Callable[[str], str | None] = lambda _: None
    preflight: Preflight | None = None
    fitted: Callable[[PictureRequest], PictureRequest | MakeRequest] = lambda request: request
    record: Record | None = None

    async def learn(self, run: Run, outcome: Outcome) -> None:
        """Know more about the next one's time; what can't be learned is told in the log."""
        if self.record is None or run.plan is None:
            return
        try:
            await self.record(run.plan, outcome)
        except DanzarError as exc:
            log.warning("nothing was learned from a generation: %s", exc)


class PictureService:
    """Makes pictures and videos; touches no file and keeps nothing of what it makes."""

    def __init__(self, parts: Parts, config: Config) -> None:
        self._parts = parts
        self._config = config

    @property
    def parts(self) -> Parts:
        """What pictures are made with."""
        return self._parts

    async def sizes(self, kind: Kind) -> Sizes:
        """What the model makes where a person says nothing, and at most."""
        name = self._role(kind)
        try:
            limits = await asyncio.to_thread(generation_limits, self._config, name or "")
        except DanzarError:  # it is told when something is asked for
            return Sizes(_BASE_SIZE[kind])
        base = Size(limits.width, limits.height)
        return Sizes(base, limits.max_pixels, limits.max_frames)

    def check(self, request: PictureRequest) -> None:
        """Refuse what nobody could make, or may ask for.

        Raises:
            danzar.errors.ModelMissing: No model of this kind is chosen, here or elsewhere.
            danzar.errors.BadInput: It is beyond the owner's limits.
        """
        self._source(_KINDS[type(request)])
        check_request(request, self._config.bot.imagine)

    async def decide(self, request: PictureRequest) -> Decision:
        """Whether it fits as things stand, here or elsewhere, and what would have to change.

        Raises:
            danzar.errors.DanzarError: The request can't be understood.
        """
        kind = _KINDS[type(request)]
        model, local = self._source(kind)
        if not local:
            return Run(request, elsewhere=model)
        if self._parts.preflight is None:
            return Run(request)
        plan = await self._parts.preflight(model, request)
        is_within = (await self.sizes(kind)).allow(request)
        decision = decide(plan, request, is_within_model=is_within)
        if isinstance(decision, Run) or (other := self._elsewhere(kind)) is None:
            return decision
        return Run(request, (_ELSEWHERE_NOTE,), elsewhere=other)

    async def wait_for_room(self, request: PictureRequest) -> Run | None:
        """Wait until it fits with no loss that shows; ``None``: that took too long."""
        try:
            async with asyncio.timeout(self._config.bot.imagine.wait_for_room_s):
                # The room is other programs' doing: nothing tells when it is back.
                while not isinstance(found := await self.decide(request), Run):  # noqa: ASYNC110
                    await asyncio.sleep(_ROOM_POLL_S)
        except TimeoutError:
            return None
        return found

    async def make(
        self, run: Run, asker: Asker = SOMEBODY, on_position: OnPosition | None = None
    ) -> AsyncGenerator[PictureEvent]:
        """Make it: where it runs, each step, and what was made.

        Closing the generator stops the computing.

        Raises:
            danzar.errors.DanzarError: With a message for the person who asked.
        """
        request = self._ready(run.request)
        steps: int | None = None
        async with aclosing(self._stream(run, request, asker, on_position)) as events:
            async for event in events:
                match event:
                    case Placed():
                        yield event
                    case StepDone():
                        steps = event.steps
                        yield event
                    case Outcome():
                        await self._parts.learn(run, event)
                        yield self._made(run, request, event, steps)
                    case _:
                        pass

    def _stream(
        self, run: Run, request: PictureRequest, asker: Asker, on_position: OnPosition | None
    ) -> AsyncGenerator[Progress]:
        if run.elsewhere is not None and self._parts.jobs is not None:
            return stream_job(self._parts.jobs, run.elsewhere, request, asker, on_position)
        model, _ = self._source(_KINDS[type(request)])
        fitted = self._parts.fitted(request)
        return self._parts.inference.stream(model, fitted, asker=asker, on_position=on_position)

    def _source(self, kind: Kind) -> tuple[str, bool]:
        """The model, and whether this machine is to make it.

        Raises:
            ModelMissing: Nobody has one.
            danzar.errors.ModelRefused: Its path leads out of the project's folder.
        """
        name = self._role(kind)
        if name is not None and self._is_here(name):
            return name, True
        elsewhere = self._elsewhere(kind)
        if elsewhere is not None:
            return elsewhere, False
        if name is not None:
            resolve(name, self._config)
        raise ModelMissing(self._how_to_choose(kind))

    def _elsewhere(self, kind: Kind) -> str | None:
        return None if self._parts.jobs is None else self._parts.elsewhere(kind)

    def _role(self, kind: Kind) -> str | None:
        use = self._config.models.use
        return use.imagine if kind == "imagine" else use.video

    def _is_here(self, name: str) -> bool:
        try:
            resolve(name, self._config)
        except DanzarError:
            return False
        return True

    def _how_to_choose(self, kind: Kind) -> str:
        models = self._config.models.models
        listed = [name for name, entry in models.items() if entry.role == kind]
        start = f"I can't make {_NAMES[kind]} yet: no model is chosen for it."
        if not listed:
            return f"{start} Its owner lists one with `role: {kind}` in models.yaml."
        first = listed[0]
        get = f"put its files at `{models[first].path}`"
        if models[first].url is not None:
            get = f"type `danzar models pull {first}`"
        more = f" (or {', '.join(listed[1:])})" if len(listed) > 1 else ""
        return (
            f"{start} On my machine, choose `{first}`{more}: {get}, set `use.{kind}: {first}` in "
            "config/models.yaml, and start me again. docs/pictures.md has the rest."
        )

    def _ready(self, request: PictureRequest) -> PictureRequest:
        """With a seed, so that whoever runs it, once more or elsewhere, makes the same."""
        changes: dict[str, int] = {}
        if request.seed is None:
            changes["seed"] = secrets.randbelow(MAX_SEED + 1)
        previews = self._config.bot.imagine.preview_interval_s is not None
        if isinstance(request, GenerateImages) and previews:
            changes["preview_every"] = max(1, (request.steps or _DEFAULT_STEPS) // _PREVIEWS)
        return msgspec.structs.replace(request, **changes)

    def _made(self, run: Run, request: PictureRequest, end: Outcome, steps: int | None) -> Made:
        result = end.result
        if not isinstance(result, GeneratedImages | GeneratedVideo):
            raise BackendFailed(f"{end.placed.model} answered with a {type(result).__name__}")
        width, height = _size_of(result, request)
        done = msgspec.structs.replace(request, width=width, height=height, seed=result.seed)
        each = steps_of_each(done, steps)
        told = self._config.bot.imagine.metadata
        words = file_words(done, end.placed.model, each) if told else None
        return Made(
            request=done,
            width=width,
            height=height,
            steps=each,
            files=files_of(result, words, result.seed),
            placed=end.placed,
            seconds=end.seconds,
            waited_s=end.waited_s,
            notes=run.notes,
        )


def _size_of(result: GeneratedImages | GeneratedVideo, request: PictureRequest) -> Size:
    if isinstance(result, GeneratedVideo):
        return Size(result.width, result.height)
    first = result.pictures[0] if result.pictures else request
    return Size(first.width, first.height)
