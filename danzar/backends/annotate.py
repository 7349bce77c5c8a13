"""Boxes and their labels drawn on a picture, readable at its size."""

import io
import zlib
from typing import Final

from PIL import ImageDraw, ImageFont

from danzar.backends.pictures import to_image
from danzar.workers.contract import Annotate, AnnotatedPicture, Box, BoxLabel, Picture

Colour = tuple[int, int, int]

# Told apart by the colour-blind too (Okabe and Ito), each with the text colour that reads on it.
_PALETTE: Final[tuple[tuple[Colour, Colour], ...]] = (
    ((230, 159, 0), (0, 0, 0)),
    ((86, 180, 233), (0, 0, 0)),
    ((0, 158, 115), (255, 255, 255)),
    ((240, 228, 66), (0, 0, 0)),
    ((0, 114, 178), (255, 255, 255)),
    ((213, 94, 0), (255, 255, 255)),
    ((204, 121, 167), (0, 0, 0)),
)
_SIDE_PER_LINE: Final = 320
_SIDE_PER_LETTER: Final = 42
_SMALLEST_LINE: Final = 2
_SMALLEST_LETTER: Final = 11
_PADDING: Final = 3
_QUALITY: Final = 88


def annotate(request: Annotate) -> AnnotatedPicture:
    """The picture with its boxes, as a JPEG.

    Raises:
        BadPicture: The picture can't be read.
    """
    image = to_image(request.picture)
    draw = ImageDraw.Draw(image)
    side = max(image.size)
    font = ImageFont.load_default(max(_SMALLEST_LETTER, side // _SIDE_PER_LETTER))
    line = max(_SMALLEST_LINE, side // _SIDE_PER_LINE)
    # Small boxes last, so that a large one does not cover their labels.
    for each in sorted(request.boxes, key=lambda each: -_area(each.box)):
        _draw(draw, each, font, line, image.size)
    output = io.BytesIO()
    image.save(output, "JPEG", quality=_QUALITY)
    return AnnotatedPicture(Picture(image.width, image.height, "jpeg", output.getvalue()))


def _draw(
    draw: ImageDraw.ImageDraw,
    each: BoxLabel,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    line: int,
    size: tuple[int, int],
) -> None:
    colour, ink = _PALETTE[zlib.crc32(each.label.encode()) % len(_PALETTE)]
    box = _inside(each.box, size)
    draw.rectangle(box, outline=colour, width=line)
    if not each.text:
        return
    left, top, right, bottom = draw.textbbox((0, 0), each.text, font=font)
    width, height = right - left + 2 * _PADDING, bottom - top + 2 * _PADDING
    x = max(0.0, min(box[0], size[0] - width))
    y = box[1] - height if box[1] >= height else min(box[1], size[1] - height)
    draw.rectangle((x, y, x + width, y + height), fill=colour)
    draw.text((x + _PADDING - left, y + _PADDING - top), each.text, fill=ink, font=font)


def _inside(box: Box, size: tuple[int, int]) -> Box:
    """The box with its corners in order and inside the picture."""
    width, height = size
    xs = sorted(min(max(x, 0.0), width - 1.0) for x in (box[0], box[2]))
    ys = sorted(min(max(y, 0.0), height - 1.0) for y in (box[1], box[3]))
    return xs[0], ys[0], xs[1], ys[1]


def _area(box: Box) -> float:
    return abs((box[2] - box[0]) * (box[3] - box[1]))
