"""Everything done to pictures and video without a model; no stranger's file is opened elsewhere.

Thread-safe: it may be loaded with several slots, so that pictures are decoded while sources run.
"""

from collections.abc import Callable, Iterator

import msgspec

from danzar.backends.annotate import annotate
from danzar.backends.capture import capture
from danzar.backends.picture_files import decode_picture
from danzar.backends.settings import read_settings
from danzar.errors import BadInput
from danzar.heap import map_large_blocks
from danzar.workers.chart import DrawChart
from danzar.workers.contract import (
    Annotate,
    Backend,
    Capture,
    DecodePicture,
    LoadReport,
    LoadSpec,
    Part,
    Request,
    Result,
)


class MediaSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the media engine.

    Attributes:
        open_timeout_s: Longest wait for a stream to begin.
        read_timeout_s: Longest wait for a stream's next data; then it counts as dead.
    """

    open_timeout_s: float = 10.0
    read_timeout_s: float = 10.0


class MediaBackend:
    """Decodes, annotates, captures and draws charts."""

    def __init__(self, settings: MediaSettings) -> None:
        self._timeouts_s = (settings.open_timeout_s, settings.read_timeout_s)

    def run(self, request: Request, is_cancelled: Callable[[], bool]) -> Iterator[Part | Result]:
        """See ``Backend.run``."""
        match request:
            case DecodePicture():
                yield decode_picture(request)
            case Annotate():
                yield annotate(request)
            case DrawChart():
                # Imported on first use: matplotlib takes a second, and most workers never draw.
                from danzar.backends.chart import draw_chart

                yield draw_chart(request)
            case Capture():
                yield from capture(request, is_cancelled, self._timeouts_s)
            case _:
                raise BadInput(f"The media engine can't answer {type(request).__name__}.")

    def close(self) -> None:
        """See ``Backend.close``."""


def load(spec: LoadSpec) -> tuple[Backend, LoadReport]:
    """See ``LoadBackend``."""
    # Pictures and frames: kept in a heap, they would leave holes of megabytes there.
    map_large_blocks()
    return MediaBackend(read_settings(spec, MediaSettings)), LoadReport(None, {"engine": "media"})
