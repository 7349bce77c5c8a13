"""What a batch of pictures takes of memory and time, as measured. Pure.

Both depend on how many pixels are computed at once, whatever pictures they belong to: a curve is a
list of measured points over that number. Between two points it is a line; below the first one, the
first one's figure, which is never too small; above the last one, the steeper of the last line and
the line from nothing. Bytes never fall as batches grow.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

# Seconds vary from batch to batch: a new figure moves the known one by this share, and one that is
# this many times as long counts as no longer than that.
_NEW_SHARE = 0.25
_OUTLIER = 3.0
_MOST_POINTS = 64


@dataclass(frozen=True, slots=True)
class BatchPoint:
    """One measured batch.

    Attributes:
        batch: Pictures that were computed at once.
        pixels: Of each picture, after it was scaled for the model.
        activation_bytes: What it took beyond the weights, at its peak; ``None`` unknown.
        seconds: How long it took; ``None`` unknown.
    """

    batch: int
    pixels: int
    activation_bytes: int | None = None
    seconds: float | None = None

    @property
    def total_pixels(self) -> int:
        """Of all its pictures."""
        return self.batch * self.pixels


@dataclass(frozen=True)
class BatchCurve:
    """All that was measured of one model on one kind of device; by size, at most 64 points."""

    points: tuple[BatchPoint, ...] = ()

    @cached_property
    def pixels(self) -> int | None:
        """Of the largest picture that was seen; ``None`` where nothing was measured."""
        return max((p.pixels for p in self.points), default=None)

    def sizes(self) -> frozenset[int]:
        """Batches of which both memory and time are known."""
        return frozenset(
            p.batch for p in self.points if p.activation_bytes is not None and p.seconds is not None
        )

    def with_points(self, points: Iterable[BatchPoint]) -> "BatchCurve":
        """The curve after these measurements: the most memory, the usual time."""
        known = {(p.batch, p.pixels): p for p in self.points}
        for point in points:
            key = (point.batch, point.pixels)
            known[key] = _merged(known[key], point) if key in known else point
        ordered = sorted(known.values(), key=lambda p: (p.total_pixels, p.batch))
        return BatchCurve(tuple(ordered[:_MOST_POINTS]))

    def bytes_at(self, batch: int, pixels: int | None = None) -> int | None:
        """What the activations of a batch take at their peak; ``None`` unknown.

        ``pixels`` of each picture; ``None`` takes the largest that was seen.
        """
        found = _read(self._bytes, batch * (pixels or self.pixels or 0))
        return None if found is None else round(found)

    def seconds_at(self, batch: int, pixels: int | None = None) -> float | None:
        """How long a batch takes; ``None`` unknown."""
        return _read(self._seconds, batch * (pixels or self.pixels or 0))

    @cached_property
    def _bytes(self) -> list[tuple[int, float]]:
        rows = ((p.total_pixels, p.activation_bytes) for p in self.points)
        return _rising((x, float(y)) for x, y in rows if y is not None)

    @cached_property
    def _seconds(self) -> list[tuple[int, float]]:
        rows = ((p.total_pixels, p.seconds) for p in self.points)
        return _rising((x, y) for x, y in rows if y is not None)

    def pictures_per_s(self, batch: int) -> float | None:
        """Throughput of a batch; ``None`` unknown."""
        seconds = self.seconds_at(batch)
        return batch / seconds if seconds else None


def _merged(known: BatchPoint, new: BatchPoint) -> BatchPoint:
    sizes = [x for x in (known.activation_bytes, new.activation_bytes) if x is not None]
    seconds = new.seconds if known.seconds is None else known.seconds
    if known.seconds is not None and new.seconds is not None:
        counted = min(new.seconds, known.seconds * _OUTLIER)
        seconds = known.seconds + _NEW_SHARE * (counted - known.seconds)
    return BatchPoint(known.batch, known.pixels, max(sizes, default=None), seconds)


def _read(rising: list[tuple[int, float]], x: int) -> float | None:
    """The curve through these points at ``x``."""
    if not rising or x <= 0:
        return None
    if x <= rising[0][0]:
        return rising[0][1]
    for (x0, y0), (x1, y1) in itertools.pairwise(rising):
        if x <= x1:
            return y0 + (y1 - y0) * (x - x0) / (x1 - x0)
    last_x, last_y = rising[-1]
    steepest = last_y / last_x
    if len(rising) > 1:
        steepest = max(steepest, (last_y - rising[-2][1]) / (last_x - rising[-2][0]))
    return last_y + steepest * (x - last_x)


def _rising(points: Iterable[tuple[int, float]]) -> list[tuple[int, float]]:
    rows: list[tuple[int, float]] = []
    for x, y in sorted(points):
        top = max(y, rows[-1][1]) if rows else y
        if rows and rows[-1][0] == x:
            rows[-1] = (x, top)
        else:
            rows.append((x, top))
    return rows
