"""What was read from parts of the display that look the same as before.

Reading text is the slowest look at a frame, and a game's numbers stand still most of the time. A
part counts as the same only if not one of its 32 x 32 cells differs visibly: in a part that is
little larger than its number a cell is smaller than a digit's stroke, so no other number passes,
while the noise of a video does. Larger parts are never recalled.
"""

from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from danzar.vision.batcher import Answer
from danzar.vision.change import Thumbnail, thumbnail
from danzar.workers.contract import Box, Picture, ReadLine

Lines = Answer[tuple[ReadLine, ...]]

_KEPT = 48
_VISIBLE = 0.1
_LARGEST_SIDE = 0.25


@dataclass(frozen=True, slots=True)
class _Entry:
    region: Box
    size: tuple[int, int]
    small: Thumbnail
    answer: Lines


class ReadMemory:
    """The last parts that were read, of all sources; bounded."""

    def __init__(self) -> None:
        self._entries: deque[_Entry] = deque(maxlen=_KEPT)

    def recall(self, picture: Picture, region: Box) -> Lines | None:
        """What was read from a part that looked like this one; it took no time now."""
        if not _is_fit(picture, region):
            return None
        small, size = thumbnail(picture, region), (picture.width, picture.height)
        for entry in reversed(self._entries):
            is_place = entry.region == region and entry.size == size
            if is_place and float(np.abs(entry.small - small).max()) < _VISIBLE:
                return replace(entry.answer, seconds=0.0)
        return None

    def remember(self, picture: Picture, region: Box, answer: Lines) -> None:
        """Keep what was read; the oldest goes."""
        if _is_fit(picture, region):
            size = (picture.width, picture.height)
            self._entries.append(_Entry(region, size, thumbnail(picture, region), answer))


def _is_fit(picture: Picture, region: Box) -> bool:
    sides = region[2] - region[0], region[3] - region[1]
    return picture.encoding == "rgb" and max(sides) <= _LARGEST_SIDE
