"""Pictures as arrays, for the backends that compute on them."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from danzar.errors import BadPicture
from danzar.workers.contract import Picture

Pixels = npt.NDArray[np.uint8]
CHANNELS = 3


def to_array(picture: Picture) -> Pixels:
    """The picture as ``(height, width, 3)`` RGB; read-only where nothing had to be copied.

    Raises:
        BadPicture: The data does not fit the size, or is no picture.
    """
    if picture.encoding == "rgb":
        return _view_rgb(picture)
    return np.asarray(to_image(picture))


def to_image(picture: Picture) -> Image.Image:
    """The picture as Pillow has it, in RGB; same errors as ``to_array``."""
    if picture.encoding == "rgb":
        return Image.fromarray(_view_rgb(picture))
    try:
        return Image.open(io.BytesIO(picture.data)).convert("RGB")
    except (OSError, ValueError, SyntaxError) as exc:
        raise BadPicture(f"The {picture.encoding} picture is damaged: {exc}") from exc


def from_image(image: Image.Image) -> Picture:
    """An RGB image as a picture."""
    return Picture(image.width, image.height, "rgb", image.tobytes())


def _view_rgb(picture: Picture) -> Pixels:
    needed = picture.width * picture.height * CHANNELS
    if needed <= 0 or len(picture.data) != needed:
        raise BadPicture(
            f"The picture says {picture.width} x {picture.height}, which takes {needed} bytes, but "
            f"it has {len(picture.data)}."
        )
    flat = np.frombuffer(picture.data, np.uint8)
    return flat.reshape(picture.height, picture.width, CHANNELS)
