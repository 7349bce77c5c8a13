"""Sizes of pictures: how people write them, which shapes are offered, larger and smaller. Pure."""

import math
import re
from typing import NamedTuple

from danzar.errors import BadInput

SIDE_STEP = 8
MIN_SIDE = 32
# Models paint best at sides that their networks halve several times without a rest; those that
# make videos take no others.
_FINE_STEP, _SHAPE_STEP = 16, 64
_GROWTH = 1.5
_WRITTEN = re.compile(r"(\d{1,6})(?:\s*[x\u00d7*]\s*(\d{1,6}))?(?:\s*px)?", re.IGNORECASE)
_RATIOS = {"square": 1.0, "portrait": 2 / 3, "landscape": 3 / 2, "tall": 9 / 16, "wide": 16 / 9}


class Size(NamedTuple):
    """Width and height, pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


def parse_size(text: str, base: Size) -> Size:
    """The size in ``768x512``, ``512`` or a shape such as ``portrait``.

    A shape has about as many pixels as ``base``, which the model makes where nothing is said.

    Raises:
        BadInput: It is no size.
    """
    word = text.strip().casefold()
    found = shapes(base).get(word)
    if found is not None:
        return found
    match = _WRITTEN.fullmatch(word)
    if match is None:
        names = ", ".join(_RATIOS)
        raise BadInput(f"“{text[:40]}” is no size; write it as 768x512, 512, or {names}")
    return Size(int(match[1]), int(match[2] or match[1]))


def check_size(size: Size, max_side: int) -> None:
    """Refuse a size that no picture may have.

    Raises:
        BadInput: It is too small, too large, or not in steps of 8 pixels.
    """
    if not all(MIN_SIDE <= side <= max_side for side in size):
        raise BadInput(f"{size} is no size that I make: each side has {MIN_SIDE} to {max_side} px")
    if any(side % SIDE_STEP for side in size):
        nearest = Size(*(_nearest(side, max_side) for side in size))
        raise BadInput(
            f"{size} can't be made: both sides must be multiples of {SIDE_STEP}; try {nearest}"
        )


def shapes(base: Size) -> dict[str, Size]:
    """What is offered by name, each with nearly as many pixels as ``base`` and never more."""
    pixels = base.width * base.height
    step = _SHAPE_STEP if min(base) >= 4 * _SHAPE_STEP else _FINE_STEP
    return {
        name: Size(
            _floored(math.sqrt(pixels * ratio), step), _floored(math.sqrt(pixels / ratio), step)
        )
        for name, ratio in _RATIOS.items()
    }


def larger(size: Size, max_side: int, max_pixels: int | None = None) -> Size | None:
    """The same shape with sides half as long again; ``None``: that is more than allowed."""
    grown = _scaled(size, _GROWTH)
    too_many = max_pixels is not None and grown.width * grown.height > max_pixels
    return None if too_many or max(grown) > max_side else grown


def smaller(size: Size) -> Size | None:
    """The same shape with sides two thirds as long; ``None``: there is nothing smaller."""
    shrunk = _scaled(size, 1 / _GROWTH)
    return shrunk if shrunk != size and min(shrunk) >= MIN_SIDE else None


def _scaled(size: Size, factor: float) -> Size:
    return Size(*(max(_FINE_STEP, round(side * factor / _FINE_STEP) * _FINE_STEP) for side in size))


def _floored(side: float, step: int) -> int:
    # A side that is a multiple already must stay one, whatever the root's last digit is.
    return max(MIN_SIDE, int(side + 1e-6) // step * step)


def _nearest(side: int, max_side: int) -> int:
    stepped = max(MIN_SIDE, round(side / SIDE_STEP) * SIDE_STEP)
    return min(stepped, max_side // SIDE_STEP * SIDE_STEP)
