"""Frames of a source at the pace asked for, until it ends, breaks or is cancelled."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Final

from danzar.backends.shots import Shots, SourceBroke, SourceEnded, Timeouts
from danzar.backends.sources import open_source
from danzar.errors import BadInput, BadVideo
from danzar.workers.contract import Capture, CaptureEnded, Frame, Part, Result

_NAP_S: Final = 0.03
_LIVE: Final = ("stream", "screen", "camera")


class _Pace:
    """Which frames to hand over, and when."""

    def __init__(self, request: Capture) -> None:
        self._period_s = 1 / request.processing_fps
        self._by_clock = request.real_time and request.kind not in _LIVE
        self._began_s: float | None = None
        self._due_s = 0.0

    def wants(self, at_s: float) -> bool:
        """Whether the frame at this time of the source is one to hand over."""
        if self._began_s is None:  # opening took its time; the clock starts with the first frame
            self._began_s = time.monotonic() - at_s
        late = self._by_clock and at_s < self._elapsed_s() - self._period_s
        if at_s + 1e-6 < self._due_s or late:
            return False
        # On a grid, so that a late frame does not delay all later ones; but never two at once.
        self._due_s = max(self._due_s + self._period_s, at_s + self._period_s / 2)
        return True

    def wait_s(self, at_s: float) -> float:
        """Seconds until the frame's turn by the source's own clock."""
        return at_s - self._elapsed_s() if self._by_clock else 0.0

    def _elapsed_s(self) -> float:
        return 0.0 if self._began_s is None else time.monotonic() - self._began_s


def capture(
    request: Capture, is_cancelled: Callable[[], bool], timeouts_s: Timeouts
) -> Iterator[Part | Result]:
    """Yield frames, then one ``CaptureEnded``.

    Raises:
        BadInput: The pace is no pace.
        BadVideo: Not one frame could be read.
    """
    if not 0 < request.processing_fps <= 1000:  # noqa: PLR2004 - no camera is faster
        raise BadInput(f"processing_fps is {request.processing_fps:g}; it must be above 0.")
    frames = 0
    reason = "cancelled"
    try:
        for shot in _paced(request, is_cancelled, timeouts_s):
            yield Frame(shot.picture(request.max_side), shot.at_s, frames)
            frames += 1
    except SourceEnded as end:
        reason = str(end)
    except SourceBroke as broken:
        if frames == 0:
            raise BadVideo(f"No frame could be read: {broken}") from broken
        reason = str(broken)
    yield CaptureEnded(reason, frames)


def _paced(request: Capture, is_cancelled: Callable[[], bool], timeouts_s: Timeouts) -> Shots:
    """The frames to hand over, each at its time; ends without an exception when cancelled."""
    pace = _Pace(request)
    with contextlib.closing(open_source(request, is_cancelled, timeouts_s)) as shots:
        for shot in shots:
            if is_cancelled():
                return
            if pace.wants(shot.at_s):
                if not sleep_unless(is_cancelled, pace.wait_s(shot.at_s)):
                    return
                yield shot


def sleep_unless(is_cancelled: Callable[[], bool], seconds: float) -> bool:
    """Sleep; False at once where the request is cancelled meanwhile."""
    until_s = time.monotonic() + seconds
    while (left_s := until_s - time.monotonic()) > 0:
        if is_cancelled():
            return False
        time.sleep(min(left_s, _NAP_S))
    return not is_cancelled()
