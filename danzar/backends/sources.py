"""Opens the source that a capture names."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Final

from danzar.backends import video
from danzar.backends.picture_files import decode_picture
from danzar.backends.shots import Shot, Shots, SourceBroke, SourceEnded, Timeouts
from danzar.errors import BadPicture
from danzar.workers.contract import Capture, DecodePicture, Picture

_PICTURE_SUFFIXES: Final = frozenset(
    (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".avif")
)
_MOST_PIXELS: Final = 64_000_000


def open_source(request: Capture, is_cancelled: Callable[[], bool], timeouts_s: Timeouts) -> Shots:
    """The source's frames.

    Raises:
        SourceEnded: After the last one.
        SourceBroke: It can't be opened, or broke off.
    """
    match request.kind:
        case "file":
            return _repeat(lambda: video.read_file(request.target), request)
        case "folder":
            return _repeat(lambda: _read_folder(request), request)
        case "stream":
            return video.read_stream(request.target, is_cancelled, timeouts_s)
        case "camera":
            return video.read_camera(request.target, is_cancelled, timeouts_s)
        case "screen":
            return _read_screen(request, is_cancelled)


def _repeat(make_shots: Callable[[], Shots], request: Capture) -> Shots:
    """Once, or again and again with a clock that goes on."""
    offset_s = 0.0
    while True:
        last_s = 0.0
        try:
            for shot in make_shots():
                last_s = shot.at_s
                yield Shot(offset_s + shot.at_s, shot.picture)
        except SourceEnded:
            if not request.loop:
                raise
        offset_s += last_s + 1 / request.processing_fps


def _read_folder(request: Capture) -> Shots:
    """The folder's pictures by name, one per period; files that are no pictures are left out."""
    try:
        paths = sorted(
            p for p in Path(request.target).iterdir() if p.suffix.lower() in _PICTURE_SUFFIXES
        )
    except OSError as exc:
        raise SourceBroke(exc.strerror or "the folder can't be read") from exc
    count = itertools.count()
    for path in paths:
        picture = _load(path, request.max_side)
        if picture is not None:
            yield Shot(next(count) / request.processing_fps, lambda _, made=picture: made)  # type: ignore[misc]
    if next(count) == 0:
        raise SourceBroke("the folder holds no readable picture")
    raise SourceEnded("end")


def _load(path: Path, max_side: int) -> Picture | None:
    try:
        return decode_picture(DecodePicture(path.read_bytes(), _MOST_PIXELS, max_side)).picture
    except (BadPicture, OSError):
        return None


def _read_screen(request: Capture, is_cancelled: Callable[[], bool]) -> Shots:
    from danzar.backends.screen import read_screen  # needs a display's libraries

    return read_screen(request, is_cancelled)
