"""Look at the pictures of an API client's messages, as the bot does in a channel."""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from danzar.config.settings import Config
from danzar.core.asker import Asker
from danzar.errors import BadInput, BadUrl, DanzarError
from danzar.http.api_errors import ApiError, error_of
from danzar.http.data_url import is_data_url, read_data_url
from danzar.http.openai_chat_body import Message
from danzar.http.openai_prompt import PicturePlace, pictures_in, text_of
from danzar.http.picture_fetch import fetch_picture
from danzar.vision.facts import facts, measured_answer
from danzar.vision.observations import Observation
from danzar.vision.rules import low_limits
from danzar.vision.service import Seen

# A client sends a conversation's pictures again with every turn. What a model could not tell in a
# bad moment is asked anew after a while.
_KEPT = 256
_KEEP_S = 600.0
_NO_VISION = "pictures are not looked at here: vision is switched off"


class Looker(Protocol):
    """The part of ``danzar.vision.service.VisionService`` that looks at a file."""

    async def observe(self, data: bytes, asker: Asker = ...) -> Seen:
        """Decode an untrusted file and look at it."""
        ...


@dataclass(frozen=True, slots=True)
class PicturesSeen:
    """What the pictures show.

    Attributes:
        facts: Sentences by the number of their message; empty without pictures.
        told: One object for each picture, for the answer's ``danzar`` field.
        measured: The facts that the last message asks for; ``None``: it has no pictures, or asks
            for something else.
    """

    facts: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    told: tuple[dict[str, Any], ...] = ()
    measured: str | None = None


class PictureDesk:
    """Looks at pictures, and remembers what was seen in the latest ones."""

    def __init__(self, config: Config, looker: Looker | None) -> None:
        """Make the desk; ``looker`` is ``None`` where vision is switched off."""
        self._config = config
        self._looker = looker
        self._fields = config.active_profile.hud
        self._limits = low_limits(config.active_profile.rules)
        self._known: OrderedDict[bytes, tuple[float, Observation]] = OrderedDict()

    async def look(self, messages: Sequence[Message], asker: Asker) -> PicturesSeen:
        """What all pictures of a conversation show.

        Raises:
            ApiError: One of them can't be used (``param`` says which), or none can be looked at.
        """
        urls = pictures_in(messages, self._config.bot.pictures.max_per_message)
        if not urls:
            return PicturesSeen()
        if self._looker is None:
            raise ApiError(400, _NO_VISION, param=next(iter(urls)).param, code="no_vision")
        looks = await self._look_at_all(self._looker, urls, asker)
        return self._told(messages, looks)

    async def read(self, url: str, param: str) -> bytes:
        """The file of a picture.

        Raises:
            ApiError: 400; it can't be used.
        """
        limit = self._config.bot.pictures.max_bytes
        try:
            if is_data_url(url):
                return await asyncio.to_thread(read_data_url, url, limit)
            return await fetch_picture(url, self._config.bot.api.picture_hosts, limit)
        except DanzarError as error:
            raise refused_picture(error, param) from error

    async def _look_at_all(
        self, looker: Looker, urls: Mapping[PicturePlace, str], asker: Asker
    ) -> dict[PicturePlace, Observation]:
        """Look at them at once, so that the models get them in one batch."""
        async with asyncio.TaskGroup() as group:
            looking = {
                place: group.create_task(self._look_at(looker, url, place, asker))
                for place, url in urls.items()
            }
        looks = {place: task.result() for place, task in looking.items()}
        for look in looks.values():
            if isinstance(look, ApiError):
                raise look
        return {place: look for place, look in looks.items() if isinstance(look, Observation)}

    async def _look_at(
        self, looker: Looker, url: str, place: PicturePlace, asker: Asker
    ) -> Observation | ApiError:
        """What one picture shows; what is wrong with it is told when all were looked at."""
        try:
            data = await self.read(url, place.param)
            digest = (await asyncio.to_thread(hashlib.sha256, data)).digest()
            known = self._recall(digest)
            if known is None:
                known = (await looker.observe(data, asker)).observation
                self._remember(digest, known)
        except DanzarError as error:
            return refused_picture(error, place.param)
        return known

    def _recall(self, digest: bytes) -> Observation | None:
        seen_s, observation = self._known.get(digest, (0.0, None))
        return observation if time.monotonic() - seen_s < _KEEP_S else None

    def _remember(self, digest: bytes, observation: Observation) -> None:
        self._known.pop(digest, None)
        self._known[digest] = time.monotonic(), observation
        if len(self._known) > _KEPT:
            self._known.popitem(last=False)

    def _told(
        self, messages: Sequence[Message], looks: Mapping[PicturePlace, Observation]
    ) -> PicturesSeen:
        by_message: dict[int, tuple[str, ...]] = {}
        told: list[dict[str, Any]] = []
        for number, message in enumerate(messages):
            here = [look for place, look in looks.items() if place.message == number]
            for count, look in enumerate(here, start=1):
                sentences = facts(look, self._fields, self._limits, text_of(message))
                prefix = f"Picture {count}: " if len(here) > 1 else ""
                numbered = tuple(f"{prefix}{sentence}" for sentence in sentences)
                by_message[number] = (*by_message.get(number, ()), *numbered)
                told.append(_picture_json(number, look, sentences))
        last = len(messages) - 1
        measured = measured_answer(by_message.get(last, ()), text_of(messages[last]))
        return PicturesSeen(by_message, tuple(told), measured)


def refused_picture(error: DanzarError, param: str) -> ApiError:
    """The error of a picture: the client's where the file is bad, else as it is."""
    if isinstance(error, ApiError):
        return error
    if not isinstance(error, BadInput):
        return error_of(error)
    code = "invalid_image_url" if isinstance(error, BadUrl) else "invalid_image"
    return ApiError(400, f"the picture can't be used: {error}", param=param, code=code)


def _picture_json(message: int, look: Observation, sentences: Sequence[str]) -> dict[str, Any]:
    return {
        "message": message,
        "facts": list(sentences),
        "device": look.device,
        "notes": list(look.notes),
    }
