"""What happens to a simulated world from outside, in order of time. Pure values."""

from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import Meta

AtSeconds = Annotated[float, Meta(ge=0)]


class _Line(msgspec.Struct, frozen=True, tag_field="kind", forbid_unknown_fields=True):
    """One line; ``at_s`` counts from the trace's beginning."""

    at_s: AtSeconds


class Ask(_Line, frozen=True, tag="ask"):
    """Someone asks a model.

    ``seconds`` is how long it computes with all of the model on GPUs; ``None``: as described.
    """

    model: str
    seconds: Annotated[float, Meta(gt=0)] | None = None


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


Line = Ask | Foreign | Lose | RunOut
Trace = tuple[Line, ...]


def in_order(lines: Iterable[Line]) -> Trace:
    """The lines by time; those of one moment as they came."""
    return tuple(sorted(lines, key=lambda line: line.at_s))


def encode(trace: Trace) -> bytes:
    """The trace as JSON lines."""
    return b"".join(msgspec.json.encode(line) + b"\n" for line in trace)
