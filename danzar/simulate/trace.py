"""What happens to a simulated world from outside, in order of time. Pure values."""

from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import Meta

from danzar.core.asker import RequestClass
from danzar.core.prediction_hints import HintKind

AtSeconds = Annotated[float, Meta(ge=0)]


class _Line(msgspec.Struct, frozen=True, tag_field="kind", forbid_unknown_fields=True):
    """One line; ``at_s`` counts from the trace's beginning."""

    at_s: AtSeconds


class Ask(_Line, frozen=True, tag="ask"):
    """Someone asks a model.

    ``seconds`` is how long it computes with all of the model on GPUs; ``None``: as described.
    ``request_class`` is what it is for; ``None``: chat for chat models, vision for the others.
    ``person`` is who asks; ``None``: nobody in particular.
    """

    model: str
    seconds: Annotated[float, Meta(gt=0)] | None = None
    request_class: RequestClass | None = None
    person: str | None = None


class Turn(_Line, frozen=True, tag="turn"):
    """A person asks something that takes several models: each stage begins after the one before.

    The models of one stage are asked at once; the last stage's answer is what the person sees.
    """

    stages: Annotated[
        tuple[Annotated[tuple[str, ...], Meta(min_length=1)], ...], Meta(min_length=1)
    ]


class Hint(_Line, frozen=True, tag="hint"):
    """Somebody types, uploads, wants to watch, or joins a voice channel."""

    model: str
    sign: HintKind


class Foreign(_Line, frozen=True, tag="foreign"):
    """Other programs hold this much of a card from now on, or all that they get of it."""

    device: str
    size_bytes: Annotated[int, Meta(ge=0)]


class Lose(_Line, frozen=True, tag="lose"):
    """The model's worker process dies, if it lives."""

    model: str


class RunOut(_Line, frozen=True, tag="run_out"):
    """The model's next request to end runs out of memory instead."""

    model: str


Line = Ask | Turn | Hint | Foreign | Lose | RunOut
Trace = tuple[Line, ...]


def models_of(line: Line) -> tuple[str, ...]:
    """The models that a line names."""
    if isinstance(line, Turn):
        return tuple(name for stage in line.stages for name in stage)
    model: str | None = getattr(line, "model", None)
    return () if model is None else (model,)


def in_order(lines: Iterable[Line]) -> Trace:
    """The lines by time; those of one moment as they came."""
    return tuple(sorted(lines, key=lambda line: line.at_s))


def encode(trace: Trace) -> bytes:
    """The trace as JSON lines."""
    return b"".join(msgspec.json.encode(line) + b"\n" for line in trace)
