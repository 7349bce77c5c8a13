"""What a benchmark asks the vision models: requests as people's pictures make them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from danzar.config.settings import Config
from danzar.core.asker import Asker, RequestClass
from danzar.inference import Inference, Placed
from danzar.workers.contract import DecodedPicture, DecodePicture, Detect, Picture, Rank, Request

Ask = Callable[[tuple[Picture, ...], Placed], Request]
_FILE = "assets/frames/several-enemies.png"
_WIDTH, _HEIGHT = 640, 480


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture, and what people are told that it is."""

    picture: Picture
    name: str


async def sample_picture(inference: Inference, config: Config) -> Sample:
    """The game frame that ships with Danzar; a plain gradient where it is not there.

    Raises:
        danzar.errors.DanzarError: The frame could not be decoded.
    """
    file, media = config.root / _FILE, config.models.use.media
    if not file.is_file():
        return Sample(_gradient(), f"a generated picture, {_WIDTH} x {_HEIGHT}")
    data = await asyncio.to_thread(file.read_bytes)
    limits = config.bot.pictures
    request = DecodePicture(data, limits.max_pixels, limits.max_side)
    outcome = await inference.call(media, request, asker=Asker(RequestClass.JOB))
    if not isinstance(outcome.result, DecodedPicture):
        return Sample(_gradient(), f"a generated picture, {_WIDTH} x {_HEIGHT}")
    return Sample(outcome.result.picture, _FILE)


def asks_of(config: Config) -> dict[str, Ask]:
    """The vision models in use by name, and how each is asked about pictures."""
    use, vision = config.models.use, config.vision
    concepts = tuple(config.active_profile.concepts) or ("a game",)

    def detect(pictures: tuple[Picture, ...], placed: Placed) -> Request:
        yolo = vision.yolo
        return Detect(pictures, yolo.confidence_threshold, yolo.classes, placed.batch)

    def rank(pictures: tuple[Picture, ...], placed: Placed) -> Request:
        return Rank(pictures, concepts, placed.batch)

    asks: dict[str, Ask] = {}
    if use.detect is not None and vision.yolo.enabled:
        asks[use.detect] = detect
    if use.rank is not None and vision.clip.enabled:
        asks[use.rank] = rank
    return asks


def _gradient() -> Picture:
    row = bytes(value for x in range(_WIDTH) for value in (x % 256, x // 3 % 256, 128))
    return Picture(_WIDTH, _HEIGHT, "rgb", row * _HEIGHT)
