"""Pictures and videos as files."""

import io
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
import numpy.typing as npt
from PIL import Image

from danzar.workers.contract import Picture

_QUALITY: Final = {"crf": "20", "preset": "medium"}

Frame = npt.NDArray[np.uint8]


def png(frame: Frame) -> Picture:
    """One picture, ``(rows, columns, 3)``, as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "PNG")
    return Picture(frame.shape[1], frame.shape[0], "png", file.getvalue())


def mp4(frames: Iterable[Frame], width: int, height: int, fps: int) -> bytes:
    """A video as an MP4 file that players begin to show before all of it is there.

    Its index is moved to the front at the end, for which FFmpeg opens the file again by its name.
    """
    with tempfile.TemporaryDirectory(prefix="danzar-video-") as folder:
        path = Path(folder) / "video.mp4"
        with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
            stream: Any = container.add_stream("libx264", rate=fps, options=dict(_QUALITY))
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())
        return path.read_bytes()
