"""What a chart of cards over time is drawn from, as it crosses the process boundary."""

from typing import Literal

import msgspec

MarkKind = Literal["load", "unload", "evict", "yield", "failed", "lost"]


class ChartMark(msgspec.Struct, frozen=True):
    """Something that happened; ``at_s`` as in ``CardSeries``."""

    at_s: float
    kind: MarkKind
    text: str


class CardSeries(msgspec.Struct, frozen=True):
    """One card's past. The three series are equally long, oldest first.

    Attributes:
        title: As people know it (``cuda:0 · RTX 4070``).
        at_s: Seconds since 1970.
        used_bytes: In use by anyone; ``None`` where the driver did not say.
        own_bytes: The part of it that is Danzar's.
    """

    title: str
    simulated: bool
    total_bytes: int
    at_s: tuple[float, ...]
    used_bytes: tuple[int | None, ...]
    own_bytes: tuple[int, ...]
    marks: tuple[ChartMark, ...] = ()


class DrawChart(msgspec.Struct, frozen=True, tag="draw_chart"):
    """Draw cards over time; answered by ``DrawnChart``.

    Attributes:
        now_s: Right edge, seconds since 1970.
        span_s: From the left edge to the right one.
        warning_pct: Level of memory use at which people are warned.
        critical_pct: Level at which models make way; ``None`` where there is none.
        note: A line under the picture; empty for none.
    """

    cards: tuple[CardSeries, ...]
    now_s: float
    span_s: float
    warning_pct: float
    critical_pct: float | None = None
    note: str = ""


class DrawnChart(msgspec.Struct, frozen=True, tag="drawn_chart"):
    """The chart as a PNG file; sizes in pixels."""

    width: int
    height: int
    png: bytes
