"""Texts that a chat model writes for API clients, whole or in chunks."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Protocol

from danzar.chat.service import FACTS_TEMPERATURE
from danzar.config.bot import ChatSettings
from danzar.errors import BackendFailed, Cancelled
from danzar.http.api_parts import ApiParts
from danzar.http.openai_answers import DanzarFacts, Finish, facts_of, usage_of
from danzar.http.openai_ask import Wish, ask
from danzar.http.openai_chat_body import Sampling
from danzar.http.openai_fields import texts_of
from danzar.http.openai_pictures import PicturesSeen
from danzar.inference import Outcome, Placed
from danzar.workers.contract import Generated, TextDelta

Json = dict[str, Any]
# More than any context has: the worker cuts it to what is left there.
REST_OF_CONTEXT = 1 << 24
_SEEDS = (1 << 32) - 1


@dataclass(slots=True)
class Asked:
    """One question on its way to its answer.

    Attributes:
        id: Of the answer.
        lead: What stands before the model's own words.
        placed: Where it runs, once that is known.
    """

    wish: Wish
    id: str
    lead: str = ""
    pictures: PicturesSeen = field(default_factory=PicturesSeen)
    created: int = field(default_factory=lambda: int(time.time()))
    placed: Placed | None = None

    def facts(self, outcome: Outcome) -> DanzarFacts:
        """The answer's ``danzar``."""
        return facts_of(outcome.placed, outcome, pictures=list(self.pictures.told) or None)


class Shape(Protocol):
    """How one endpoint's chunks look."""

    def opening(self, asked: Asked) -> Json | None:
        """What comes before the words."""
        ...

    def chunk(self, asked: Asked, text: str, reason: Finish | None) -> Json:
        """Some words, or the reason why there are no more."""
        ...


def sampling_of(body: Sampling, common: ChatSettings, *, facts: bool = False) -> Json:
    """How words are chosen: as the client says, else as the bot does.

    Args:
        body: What the client says.
        common: ``chat`` of ``bot_config.yaml``.
        facts: The answer is about what was measured, which is to be repeated, not varied.
    """
    usual = min(common.temperature, FACTS_TEMPERATURE) if facts else common.temperature
    return {
        "temperature": _given(body.temperature, usual),
        "top_p": _given(body.top_p, common.top_p),
        "repeat_penalty": _given(body.repeat_penalty, common.repeat_penalty),
        "presence_penalty": _given(body.presence_penalty, 0.0),
        "frequency_penalty": _given(body.frequency_penalty, 0.0),
        "seed": None if body.seed is None else body.seed % _SEEDS,
        "stop": tuple(text for text in texts_of(body.stop) if text),
    }


def wants_usage(body: Sampling) -> bool:
    """Whether the stream ends with the counts of tokens."""
    return body.stream_options is not None and bool(body.stream_options.include_usage)


async def whole_text(parts: ApiParts, asked: Asked) -> tuple[str, Outcome]:
    """The text in one piece, and how it ended.

    Raises:
        danzar.errors.DanzarError: With a message for the client.
    """
    pieces = [asked.lead]
    async with aclosing(ask(parts, asked.wish)) as steps:
        async for step in steps:
            if isinstance(step, TextDelta):
                pieces.append(step.text)
            elif isinstance(step, Outcome):
                return "".join(pieces), step
    raise BackendFailed(f"{asked.wish.model} ended without a result")


async def text_chunks(
    parts: ApiParts, asked: Asked, shape: Shape, *, with_usage: bool
) -> AsyncGenerator[Json]:
    """The answer in chunks; the first one comes with the first words.

    Raises:
        danzar.errors.DanzarError: With a message for the client.
    """
    opening = shape.opening(asked)
    async with aclosing(ask(parts, asked.wish)) as steps:
        async for step in steps:
            if isinstance(step, Placed):
                asked.placed = step
                continue
            if opening is not None:
                yield _with_place(opening, asked)
                opening = None
                if asked.lead:
                    yield shape.chunk(asked, asked.lead, None)
            if isinstance(step, TextDelta):
                yield shape.chunk(asked, step.text, None)
            elif isinstance(step, Outcome):
                for chunk in _ending(asked, shape, step, with_usage=with_usage):
                    yield chunk


def ended(outcome: Outcome) -> tuple[Generated, Finish]:
    """The result of a text, and why it ended.

    Raises:
        Cancelled: Somebody stopped it.
        BackendFailed: It is no text.
    """
    result = outcome.result
    if not isinstance(result, Generated):
        raise BackendFailed(f"{outcome.placed.model} answered with {type(result).__name__}")
    if result.finish_reason == "cancelled":
        raise Cancelled("The answer was stopped before its end.")
    return result, result.finish_reason


def _with_place(chunk: Json, asked: Asked) -> Json:
    if asked.placed is None:
        return chunk
    return {**chunk, "danzar": facts_of(asked.placed).model_dump(exclude_none=True)}


def _ending(asked: Asked, shape: Shape, outcome: Outcome, *, with_usage: bool) -> list[Json]:
    result, reason = ended(outcome)
    last = shape.chunk(asked, "", reason)
    last["danzar"] = asked.facts(outcome).model_dump(exclude_none=True)
    if not with_usage:
        return [last]
    return [last, {**last, "choices": [], "usage": usage_of(result).model_dump()}]


def _given(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value
