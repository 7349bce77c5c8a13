"""Untrusted picture files into upright 8-bit RGB. Nothing is decoded before its size is known."""

import io
import struct
import zlib
from typing import Final

import numpy as np
from PIL import Image, ImageOps

from danzar.backends.pictures import from_image
from danzar.errors import BadPicture
from danzar.workers.contract import DecodedPicture, DecodePicture

# Not all that Pillow knows: EPS, for one, runs another program.
FORMATS: Final = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "MPO")
_DAMAGED: Final = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    OverflowError,
    struct.error,
    zlib.error,
)
_BACKGROUND: Final = (255, 255, 255)

# Our own limit, with its numbers in the message, stands in for Pillow's.
Image.MAX_IMAGE_PIXELS = None


def decode_picture(request: DecodePicture) -> DecodedPicture:
    """The file as a picture that is no larger than asked; of an animation, the first frame.

    Raises:
        BadPicture: It is no picture, damaged, or larger than ``max_pixels``.
    """
    image = _open(request)
    try:
        frames = getattr(image, "n_frames", 1)
        image.seek(0)
        upright, width, height = _decode(image, request.max_side)
    except _DAMAGED as exc:
        raise BadPicture(
            f"The {image.format} file ({len(request.data):,} bytes) is damaged or cut off: {exc}"
        ) from exc
    except MemoryError as exc:
        raise BadPicture(
            f"The picture of {image.width:,} x {image.height:,} pixels needs more memory than the "
            "worker may use. Send a smaller one."
        ) from exc
    return DecodedPicture(from_image(upright), width, height, frames)


def _open(request: DecodePicture) -> Image.Image:
    if not request.data:
        raise BadPicture("The file is empty.")
    try:
        image = Image.open(io.BytesIO(request.data), formats=FORMATS)
    except _DAMAGED as exc:
        raise BadPicture(
            "The file is no picture of a known kind (PNG, JPEG, GIF, WebP, BMP, TIFF, AVIF), "
            "whatever its name says."
        ) from exc
    pixels = image.width * image.height
    if pixels > request.max_pixels:
        raise BadPicture(
            f"The picture has {image.width:,} x {image.height:,} = {pixels:,} pixels; at most "
            f"{request.max_pixels:,} are allowed. Send a smaller one."
        )
    return image


def _decode(image: Image.Image, max_side: int) -> tuple[Image.Image, int, int]:
    """The upright, scaled picture and its upright size before scaling."""
    turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    width, height = (image.height, image.width) if turned else image.size
    image.draft("RGB", (max_side, max_side))  # JPEG can be decoded at a fraction of its size
    rgb = _to_rgb(ImageOps.exif_transpose(image))
    if max(rgb.size) > max_side:
        rgb.thumbnail((max_side, max_side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return rgb, width, height


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        image = _to_8_bit(image)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        flat = Image.new("RGBA", layer.size, (*_BACKGROUND, 255))
        return Image.alpha_composite(flat, layer).convert("RGB")
    return image.convert("RGB")


def _to_8_bit(image: Image.Image) -> Image.Image:
    """Grey of more than 8 bits: 16 by their range, others by their own darkest and lightest."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float64))
    low, high = (0.0, 65535.0) if image.mode.startswith("I;16") else (values.min(), values.max())
    span = max(high - low, 1e-9)
    return Image.fromarray(((values - low) * (255.0 / span)).clip(0, 255).astype(np.uint8))
