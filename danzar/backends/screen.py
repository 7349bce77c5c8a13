"""The screen, by mss."""

import time
from collections.abc import Callable, Iterator

import mss
from mss.exception import ScreenShotError
from PIL import Image

from danzar.backends.pictures import from_image
from danzar.backends.shots import Shot, Shots, SourceBroke
from danzar.workers.contract import Capture, Picture

_NAP_S = 0.03


def read_screen(request: Capture, is_cancelled: Callable[[], bool]) -> Shots:
    """Shots of one monitor (1 is the first, 0 all of them) at the pace asked for."""
    try:
        with mss.MSS() as screens:
            monitor = _choose(screens.monitors, request.target)
            began_s = time.monotonic()
            for number in _ticks(request.processing_fps, is_cancelled):
                grabbed = screens.grab(monitor)
                at_s = max(time.monotonic() - began_s, number / request.processing_fps)
                image = Image.frombytes("RGB", grabbed.size, grabbed.rgb)
                yield Shot(at_s, lambda side, image=image: _scale(image, side))  # type: ignore[misc]
    except ScreenShotError as exc:
        raise SourceBroke(f"the screen can't be read: {exc}") from exc


def _ticks(fps: float, is_cancelled: Callable[[], bool]) -> Iterator[int]:
    number, due_s = 0, time.monotonic()
    while not is_cancelled():
        left_s = due_s - time.monotonic()
        if left_s > 0:
            time.sleep(min(left_s, _NAP_S))
            continue
        yield number
        number, due_s = number + 1, max(due_s + 1 / fps, time.monotonic())


def _choose(monitors: list[dict[str, int]], target: str) -> dict[str, int]:
    number = int(target) if target.isdigit() else 1
    if number >= len(monitors):
        raise SourceBroke(f"there is no monitor {number}; there are {len(monitors) - 1}")
    return monitors[number]


def _scale(image: Image.Image, max_side: int) -> Picture:
    image.thumbnail((max_side, max_side), Image.Resampling.BILINEAR)
    return from_image(image)
