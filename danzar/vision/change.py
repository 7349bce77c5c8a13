"""Whether a frame differs enough from the last one that was looked at."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from danzar.workers.contract import Box, Picture

Thumbnail = npt.NDArray[np.float32]
_SIDE = 32
_SAMPLES_PER_CELL = 4
_WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
# A new digit changes its region by some hundredths and video noise by some thousandths, while the
# whole picture hardly notices either.
_REGION_FACTOR = 2.0


def thumbnail(picture: Picture, region: Box = _WHOLE) -> Thumbnail:
    """A grey ``32 x 32`` version of a region, 0 to 1. The picture must be plain RGB.

    Each cell is the mean of at most 16 pixels spread over it: cheap whatever the picture's size.
    """
    rows = np.frombuffer(picture.data, np.uint8).reshape(picture.height, picture.width, 3)
    xs = _spread(region[0], region[2], picture.width)
    ys = _spread(region[1], region[3], picture.height)
    samples = rows[ys[:, None], xs[None, :]]
    cells = samples.reshape(_SIDE, _SAMPLES_PER_CELL, _SIDE, _SAMPLES_PER_CELL * 3)
    sums = cells.sum(axis=(1, 3), dtype=np.uint32)
    small: Thumbnail = sums.astype(np.float32) / np.float32(255 * 3 * _SAMPLES_PER_CELL**2)
    return small


def difference(one: Thumbnail, other: Thumbnail) -> float:
    """Mean difference, 0 (the same) to 1 (black against white)."""
    return float(np.abs(one - other).mean())


@dataclass(slots=True)
class ChangeGate:
    """Lets a frame through if it changed, or if none went through for ``force_s``.

    Compares with the last frame that went through, not with the one before: slow changes add up.

    Attributes:
        threshold: Mean difference (0 to 1) under which a frame is unchanged.
        force_s: Seconds after which even an unchanged frame goes through.
        regions: Parts that are compared on their own too: a number on the display may change while
            the picture as a whole stays the same.
    """

    threshold: float
    force_s: float
    regions: Sequence[Box] = ()
    _passed: list[Thumbnail] = field(default_factory=list)
    _passed_at_s: float | None = None

    def admits(self, picture: Picture, now_s: float) -> bool:
        """Whether this frame is to be looked at; one that is not plain RGB always is."""
        small = self._thumbnails(picture)
        if self._is_unchanged(small) and not self._is_due(now_s):
            return False
        self._passed = small
        self._passed_at_s = now_s
        return True

    def _thumbnails(self, picture: Picture) -> list[Thumbnail]:
        if picture.encoding != "rgb":
            return []
        return [thumbnail(picture, region) for region in (_WHOLE, *self.regions)]

    def _is_unchanged(self, small: list[Thumbnail]) -> bool:
        if not small or not self._passed:
            return False
        whole, *parts = map(difference, small, self._passed)
        return whole < self.threshold and all(
            part < _REGION_FACTOR * self.threshold for part in parts
        )

    def _is_due(self, now_s: float) -> bool:
        return self._passed_at_s is None or now_s - self._passed_at_s >= self.force_s


def _spread(start: float, end: float, length: int) -> npt.NDArray[np.intp]:
    """Positions of samples between two fractions of a side of ``length`` pixels."""
    last = length - 1
    return np.linspace(start * last, end * last, _SIDE * _SAMPLES_PER_CELL).astype(np.intp)
