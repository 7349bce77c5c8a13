"""Look at a picture with every vision model at once, and say what was seen."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Generic, TypeVar

from danzar.broker.rules import queue_rules
from danzar.config.profile import HudField, HudName, SeenCondition
from danzar.config.settings import Config
from danzar.core.asker import Asker, RequestClass
from danzar.core.queue import QueueRules
from danzar.errors import BadPicture, DanzarError, ModelError
from danzar.inference import Inference
from danzar.units import format_size
from danzar.vision.assemble import Readings, Scale, assemble, boxes_to_draw, to_lines
from danzar.vision.batcher import Answer, Batcher, Reply
from danzar.vision.gate import FairGate
from danzar.vision.geometry import widened
from danzar.vision.hud import lies_in, read_hud
from danzar.vision.models import VisionModels
from danzar.vision.observations import Observation
from danzar.vision.read_memory import Lines, ReadMemory
from danzar.vision.stages import ANNOTATE, DECODE, DETECT, RANK, READ
from danzar.workers.contract import (
    Annotate,
    Box,
    DecodedPicture,
    DecodePicture,
    DetectedObject,
    Picture,
    RankedConcept,
    ReadLine,
)

A = TypeVar("A")
_WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
# Each holds up to max_side squared x 3 bytes in the bot's process.
_PICTURES_AT_ONCE = 4
_HEALTH_BAR = "health_bar"
# Who looks where the caller does not say: somebody's picture.
SOMEBODY = Asker(RequestClass.VISION)
_NOT_DRAWN = "The boxes could not be drawn on the picture."


@dataclass(frozen=True, slots=True)
class Seen:
    """One person's picture, looked at.

    Attributes:
        picture: The upright decoded picture, scaled down to ``pictures.max_side``.
        annotated_jpeg: The picture with boxes; ``None`` where drawing failed (a note says so).
    """

    observation: Observation
    picture: Picture
    annotated_jpeg: bytes | None


@dataclass(frozen=True, slots=True)
class _Stage(Generic[A]):
    """One model's look: an answer, a note that says why there is none, or neither: not asked."""

    answer: Answer[A] | None = None
    note: str | None = None


class VisionService:
    """The vision models as one: ``async with VisionService(inference, config) as vision: ...``."""

    def __init__(self, inference: Inference, config: Config) -> None:
        self._config = config
        self._profile = config.active_profile
        self._regions: tuple[Box, ...] = tuple(f.region for f in self._profile.hud.values())
        self._models = VisionModels(inference, config.models.use, config.vision)
        watch = config.bot.watch
        roles, size_of = config.models.use, self._models.batch_size
        self._detector = Batcher(
            self._detect,
            size=watch.batch_size,
            wait_s=watch.batch_wait_s,
            size_now=lambda: size_of(roles.detect),
        )
        self._ranker = Batcher(
            self._rank,
            size=watch.batch_size,
            wait_s=watch.batch_wait_s,
            size_now=lambda: size_of(roles.rank),
        )
        self.set_queue_rules(queue_rules(config))
        self._memory = ReadMemory()
        self._places = FairGate(_PICTURES_AT_ONCE)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "VisionService":
        """Start the batchers."""
        group = await self._stack.enter_async_context(asyncio.TaskGroup())
        for run in (self._detector.run(), self._ranker.run()):
            task = group.create_task(run, name="vision-batcher")
            self._stack.callback(task.cancel)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Cancel what still runs."""
        # Not told of the body's error: it goes on as it is, not in an ExceptionGroup.
        await self._stack.aclose()

    def set_queue_rules(self, rules: QueueRules) -> None:
        """Put waiting pictures in order by these rules from now on."""
        self._detector.set_rules(rules)
        self._ranker.set_rules(rules)

    @asynccontextmanager
    async def regular(self) -> AsyncIterator[None]:
        """Inside, one more caller looks at frames again and again: batches wait for it."""
        async with self._detector.regular(), self._ranker.regular():
            yield

    async def observe(self, data: bytes, asker: Asker = SOMEBODY) -> Seen:
        """Decode an untrusted file and look at it, for whom ``asker`` says.

        Raises:
            danzar.errors.BadPicture: The file is no picture, or too large.
            danzar.errors.DanzarError: No vision model could look at it.
        """
        self._check_size(data)
        async with self._places.enter(asker):
            decoded, decode_s = await self._decode(data, asker)
            scale = Scale(decoded.picture, decoded.original_width, decoded.original_height)
            read = self._models.read(decoded.picture, (*self._regions, _WHOLE), asker)
            raw = await self._look_again(scale, await self._look(scale, read, asker), asker)
            observation = self.tell(replace(raw, seconds={DECODE: decode_s, **raw.seconds}))
            return await self._with_boxes(decoded.picture, observation, asker)

    async def observe_frame(self, picture: Picture, asker: Asker = SOMEBODY) -> Observation:
        """Look at a frame that is decoded already; OCR reads the display's regions only.

        Holds everything that a rule may ask about, however unsure: ``tell`` drops what people are
        not told.

        Raises:
            danzar.errors.DanzarError: No vision model could look at it.
        """
        scale = Scale(picture, picture.width, picture.height)
        read = self._read_display(picture, asker) if self._regions else None
        return await self._look_again(scale, await self._look(scale, read, asker), asker)

    def tell(self, observation: Observation) -> Observation:
        """The observation without what is below the thresholds of ``vision_config.yaml``."""
        yolo, clip = self._config.vision.yolo, self._config.vision.clip
        sure = (d for d in observation.detections if d.confidence >= yolo.confidence_threshold)
        fitting = (i for i in observation.insights if i.score >= clip.confidence_threshold)
        return replace(
            observation, detections=tuple(sure), insights=tuple(fitting)[: clip.max_insights]
        )

    async def annotate(
        self, picture: Picture, observation: Observation, asker: Asker = SOMEBODY
    ) -> tuple[bytes | None, float]:
        """The picture with its boxes as a JPEG file (``None``: drawing failed), and the seconds."""
        request = Annotate(picture, boxes_to_draw(observation, picture))
        try:
            return await self._models.annotate(request, asker)
        except DanzarError:
            return None, 0.0

    def _check_size(self, data: bytes) -> None:
        limit = self._config.bot.pictures.max_bytes
        if not data:
            raise BadPicture("the file is empty; post it again")
        if len(data) > limit:
            raise BadPicture(
                f"the file has {format_size(len(data))}, and at most {format_size(limit)} are "
                "accepted; post a smaller one"
            )

    async def _decode(self, data: bytes, asker: Asker) -> tuple[DecodedPicture, float]:
        limits = self._config.bot.pictures
        request = DecodePicture(data, limits.max_pixels, limits.max_side)
        return await self._models.decode(request, asker)

    async def _with_boxes(self, picture: Picture, observation: Observation, asker: Asker) -> Seen:
        jpeg, annotate_s = await self.annotate(picture, observation, asker)
        if jpeg is None:
            notes = (*observation.notes, _NOT_DRAWN)
            return Seen(replace(observation, notes=notes), picture, None)
        seconds = {**observation.seconds, ANNOTATE: annotate_s}
        return Seen(replace(observation, seconds=seconds), picture, jpeg)

    async def _look(self, scale: Scale, read: Awaitable[Lines] | None, asker: Asker) -> Observation:
        picture = scale.picture
        fit = self._ranker.ask(picture, asker) if self._profile.concepts else None
        async with asyncio.TaskGroup() as group:
            found_by = self._detector.ask(picture, asker)
            finding = group.create_task(_stage("Object detection", found_by))
            fitting = group.create_task(_stage("Scene ranking", fit))
            reading = group.create_task(_stage("Text reading", read))
        found, fits, lines = finding.result(), fitting.result(), reading.result()
        notes = [stage.note for stage in (found, fits, lines) if stage.note is not None]
        if not (found.answer or fits.answer or lines.answer):
            raise ModelError("No vision model could look at the picture. " + " ".join(notes))
        readings = Readings(
            {DETECT: found.answer, RANK: fits.answer, READ: lines.answer},
            found.answer.value if found.answer else (),
            fits.answer.value if fits.answer else (),
            lines.answer.value if lines.answer else (),
        )
        return assemble(scale, readings, self._profile.hud, notes)

    async def _read_display(self, picture: Picture, asker: Asker) -> Lines:
        """Read the display, except regions that look as they did when they were read before."""
        known = {region: self._memory.recall(picture, region) for region in self._regions}
        recalled = [answer for answer in known.values() if answer is not None]
        missing = tuple(region for region, answer in known.items() if answer is None)
        if not missing:
            return replace(recalled[0], value=_joined(recalled))
        read = await self._models.read(picture, missing, asker)
        for region in missing:
            inside = tuple(
                line
                for line in read.value
                if lies_in(line.box, region, picture.width, picture.height)
            )
            self._memory.remember(picture, region, replace(read, value=inside))
        return replace(read, value=_joined([read, *recalled]))

    async def _look_again(self, scale: Scale, seen: Observation, asker: Asker) -> Observation:
        """Read the health where the detector found its bar, if the profile's region has none.

        Other picture formats and display sizes have it elsewhere than the profile says.
        """
        field = self._profile.hud.get("health")
        bar = next((d for d in seen.detections if d.label == _HEALTH_BAR), None)
        if field is None or bar is None or seen.hud.health is not None or READ not in seen.seconds:
            return seen
        region = widened(bar.box, seen.width, seen.height)
        reading = self._models.read(scale.picture, (region,), asker)
        read = await _stage("Reading the health bar", reading)
        if read.answer is None:
            return seen
        lines = to_lines(scale, read.answer.value)
        moved: dict[HudName, HudField] = {"health": field.model_copy(update={"region": region})}
        health = read_hud(lines, moved, seen.width, seen.height).health
        seconds = {**seen.seconds, READ: seen.seconds[READ] + read.answer.seconds}
        return replace(seen, hud=replace(seen.hud, health=health), seconds=seconds)

    async def _detect(
        self, pictures: tuple[Picture, ...], asker: Asker
    ) -> Reply[tuple[DetectedObject, ...]]:
        # Rules may ask for less than people are told, and both share one request.
        conditions = (rule.when for rule in self._profile.rules)
        asked = (when.confidence for when in conditions if isinstance(when, SeenCondition))
        lowest = min((self._config.vision.yolo.confidence_threshold, *asked))
        return await self._models.detect(pictures, lowest, asker)

    async def _rank(
        self, pictures: tuple[Picture, ...], asker: Asker
    ) -> Reply[tuple[RankedConcept, ...]]:
        return await self._models.rank(pictures, self._profile.concepts, asker)


def _joined(answers: Sequence[Lines]) -> tuple[ReadLine, ...]:
    return tuple(line for answer in answers for line in answer.value)


async def _stage(name: str, look: Awaitable[Answer[A]] | None) -> _Stage[A]:
    if look is None:
        return _Stage()
    try:
        return _Stage(await look)
    except DanzarError as error:
        return _Stage(note=f"{name} is missing: {error}")
