"""Boxes between a scaled picture and its original. Pure."""

from danzar.vision.observations import IntBox
from danzar.workers.contract import Box


def scale_box(box: Box, factor_x: float, factor_y: float, width: int, height: int) -> IntBox:
    """Give a box in whole pixels of the original, inside it.

    Args:
        box: In pixels of the scaled picture.
        factor_x: Original width over the scaled picture's width.
        factor_y: The same for the height.
        width: Of the original.
        height: Of the original.
    """
    x1, y1, x2, y2 = box
    return (
        _clamp(x1 * factor_x, width),
        _clamp(y1 * factor_y, height),
        _clamp(x2 * factor_x, width),
        _clamp(y2 * factor_y, height),
    )


def overlap(one: IntBox, other: IntBox) -> float:
    """Shared area over the smaller box's area, 0 to 1."""
    smaller = min(area(one), area(other))
    return shared_area(one, other) / smaller if smaller > 0 else 0.0


def shared_area(one: Box, other: Box) -> float:
    """Square pixels that both boxes cover."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)


def area(box: Box) -> float:
    """Square pixels of a box."""
    return (box[2] - box[0]) * (box[3] - box[1])


def widened(box: IntBox, width: int, height: int) -> Box:
    """The box with a tenth of its width around it, as fractions of a picture of this size."""
    margin = 0.1 * (box[2] - box[0])
    return (
        max(0.0, (box[0] - margin) / width),
        max(0.0, (box[1] - margin) / height),
        min(1.0, (box[2] + margin) / width),
        min(1.0, (box[3] + margin) / height),
    )


def _clamp(value: float, limit: int) -> int:
    return max(0, min(limit, round(value)))
