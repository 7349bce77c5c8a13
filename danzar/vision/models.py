"""Typed questions to the models that ``models.yaml`` chose for vision's roles."""

import asyncio
from typing import TypeVar

from danzar.config.models import RoleChoice
from danzar.config.vision import VisionConfig
from danzar.core.asker import Asker
from danzar.errors import BackendFailed, ModelError
from danzar.inference import Inference, MakeRequest, Outcome, Placed
from danzar.vision.batcher import Answer, Reply
from danzar.workers.contract import (
    Annotate,
    AnnotatedPicture,
    Box,
    DecodedPicture,
    DecodePicture,
    Detect,
    DetectedBatch,
    DetectedObject,
    Picture,
    Rank,
    RankedBatch,
    RankedConcept,
    ReadLine,
    ReadText,
    Request,
    Result,
    TextBatch,
)

R = TypeVar("R", bound=Result)
# The first picture may have to wait until its model is loaded.
_MODEL_TIMEOUT_S = 180.0
_MEDIA_TIMEOUT_S = 60.0


class VisionModels:
    """Asks each role's model; every answer is checked for its kind and awaited with a timeout.

    All methods raise ``danzar.errors.DanzarError``: what the worker's side raised, or
    ``ModelError`` where the role is switched off.
    """

    def __init__(self, inference: Inference, roles: RoleChoice, settings: VisionConfig) -> None:
        self._inference = inference
        self._roles = roles
        self._settings = settings

    async def detect(
        self, pictures: tuple[Picture, ...], confidence: float, asker: Asker
    ) -> Reply[tuple[DetectedObject, ...]]:
        """Objects of the configured classes, down to ``confidence``, per picture."""
        _require(self._settings.yolo.enabled, "yolo.enabled is false in vision_config.yaml")
        classes = self._settings.yolo.classes

        def request(placed: Placed) -> Detect:
            return Detect(pictures, confidence, classes, placed.batch)

        outcome, result = await self._ask(
            "detect", self._roles.detect, request, DetectedBatch, asker
        )
        return Reply(result.pictures, outcome.placed, outcome.seconds)

    async def rank(
        self, pictures: tuple[Picture, ...], concepts: tuple[str, ...], asker: Asker
    ) -> Reply[tuple[RankedConcept, ...]]:
        """How well each concept fits, per picture."""
        _require(self._settings.clip.enabled, "clip.enabled is false in vision_config.yaml")

        def request(placed: Placed) -> Rank:
            return Rank(pictures, concepts, placed.batch)

        outcome, result = await self._ask("rank", self._roles.rank, request, RankedBatch, asker)
        return Reply(result.pictures, outcome.placed, outcome.seconds)

    def batch_size(self, model: str | None) -> int | None:
        """Pictures that a role's model computes at once now; ``None`` while it is not loaded."""
        return None if model is None else self._inference.batch_size(model)

    async def read(
        self, picture: Picture, regions: tuple[Box, ...], asker: Asker
    ) -> Answer[tuple[ReadLine, ...]]:
        """The text in the regions of one picture."""
        request = ReadText((picture,), regions)
        outcome, result = await self._ask("read", self._roles.read, request, TextBatch, asker)
        if len(result.pictures) != 1:
            raise BackendFailed(
                f"{outcome.placed.model} read {len(result.pictures)} pictures, not 1"
            )
        return Answer(result.pictures[0], outcome.placed, outcome.seconds, 1)

    async def decode(self, request: DecodePicture, asker: Asker) -> tuple[DecodedPicture, float]:
        """The upright picture, and the seconds it took."""
        outcome, result = await self._ask(
            "media", self._roles.media, request, DecodedPicture, asker
        )
        return result, outcome.seconds

    async def annotate(self, request: Annotate, asker: Asker) -> tuple[bytes, float]:
        """The JPEG file with boxes, and the seconds it took."""
        outcome, result = await self._ask(
            "media", self._roles.media, request, AnnotatedPicture, asker
        )
        return result.picture.data, outcome.seconds

    async def _ask(
        self,
        role: str,
        model: str | None,
        request: Request | MakeRequest,
        kind: type[R],
        asker: Asker,
    ) -> tuple[Outcome, R]:
        if model is None:
            raise ModelError(f"use.{role} is null in models.yaml")
        timeout_s = _MEDIA_TIMEOUT_S if role == "media" else _MODEL_TIMEOUT_S
        try:
            async with asyncio.timeout(timeout_s):
                outcome = await self._inference.call(model, request, asker=asker)
        except TimeoutError:
            raise BackendFailed(f"{model} gave no answer in {timeout_s:.0f} s") from None
        if not isinstance(outcome.result, kind):
            raise BackendFailed(f"{model} answered {type(outcome.result).__name__}")
        return outcome, outcome.result


def _require(condition: bool, why_not: str) -> None:
    if not condition:
        raise ModelError(why_not)
