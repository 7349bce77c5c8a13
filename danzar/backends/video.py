"""Video files, streams and cameras, by PyAV (FFmpeg)."""

import contextlib
import functools
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import av
import numpy as np
from av.container import InputContainer

from danzar.backends.shots import Shot, Shots, SourceBroke, SourceEnded, Timeouts
from danzar.workers.contract import Picture

_MOST_PIXELS: Final = 8192 * 8192
_BAD_PACKETS_IN_A_ROW: Final = 50
_MISSING_END_S: Final = 0.5
_CHECK_S: Final = 0.05
_FAILURES: Final = (av.error.FFmpegError, OSError, ValueError)
# A "video" from a stranger may be a playlist that names other files: only real video is opened.
_FILE_OPTIONS: Final = {
    "protocol_whitelist": "file",
    "format_whitelist": "matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,avi,gif,mpegts,mpeg,mpegvideo,"
    "ogg,flv,asf,h264,hevc,ivf,apng,y4m,yuv4mpegpipe,webp_pipe",
}
# The address was checked against the owner's list, and nothing may lead on from it: no redirect,
# and no playlist (HLS, DASH, SDP), which names further addresses.
_STREAM_OPTIONS: Final = {
    "format_whitelist": f"{_FILE_OPTIONS['format_whitelist']},rtsp,rtp,mjpeg,mpjpeg,live_flv",
    "max_redirects": "0",
    "protocol_whitelist": "http,https,tcp,tls,udp,rtp,rtsp,rtsps,rtmp,rtmps,crypto",
    "rtsp_transport": "tcp",
}
_CAMERA_FORMATS: Final = {"linux": "v4l2", "win32": "dshow", "darwin": "avfoundation"}


def read_file(path: str) -> Shots:
    """The frames of a file, as fast as they are taken."""
    return _read(lambda: av.open(path, options=dict(_FILE_OPTIONS)))


def read_stream(address: str, is_cancelled: Callable[[], bool], timeouts_s: Timeouts) -> Shots:
    """The newest frame of a stream, whenever one is asked for."""

    def open_stream() -> InputContainer:
        return av.open(address, options=dict(_STREAM_OPTIONS), timeout=timeouts_s)

    return _newest(lambda: _read(open_stream), is_cancelled)


def read_camera(target: str, is_cancelled: Callable[[], bool], timeouts_s: Timeouts) -> Shots:
    """The newest frame of a camera, by its number (Linux, macOS) or name (Windows)."""
    kind = _CAMERA_FORMATS.get(sys.platform, "v4l2")

    def open_camera() -> InputContainer:
        return av.open(_camera_address(target), format=kind, timeout=timeouts_s)

    return _newest(lambda: _read(open_camera), is_cancelled)


def _camera_address(target: str) -> str:
    if sys.platform == "linux" and target.isdigit():
        return f"/dev/video{target}"
    return f"video={target}" if sys.platform == "win32" else target


def _read(open_container: Callable[[], InputContainer]) -> Shots:
    try:
        container = open_container()
    except _FAILURES as exc:
        raise SourceBroke(_explain(exc)) from exc
    with container:
        if len(container.streams.video) == 0:
            raise SourceBroke("it has sound or data, but no picture")
        context = container.streams.video[0].codec_context
        if context.width * context.height > _MOST_PIXELS:
            raise SourceBroke(f"{context.width} x {context.height} pixels are too many")
        yield from _decode(container)


def _decode(container: InputContainer) -> Shots:
    """Frames until the end; tells a file that was cut off from one that is over."""
    first_s: float | None = None
    at_s = 0.0
    for number, frame in enumerate(_frames(container)):
        time_s = number / _rate(container) if frame.pts is None else frame.time
        first_s = time_s if first_s is None else first_s
        at_s = time_s - first_s
        yield Shot(at_s, functools.partial(_to_picture, frame))
    length_s = (container.duration or 0) / av.time_base
    if first_s is None:
        raise SourceBroke("it holds no readable frame")
    if length_s - at_s > _MISSING_END_S + 2 / _rate(container):
        raise SourceBroke(f"it breaks off after {at_s:.1f} s of {length_s:.1f} s")
    raise SourceEnded("end")


def _frames(container: InputContainer) -> Iterator[av.VideoFrame]:
    """Decoded frames; damaged packets are skipped, unless they are all that comes."""
    bad = 0
    packets = container.demux(video=0)
    while True:
        try:
            packet = next(packets)
            frames = packet.decode()
        except StopIteration:
            return
        except av.error.InvalidDataError as exc:
            bad += 1
            if bad >= _BAD_PACKETS_IN_A_ROW:
                raise SourceBroke(_explain(exc)) from exc
            continue
        except _FAILURES as exc:
            raise SourceBroke(_explain(exc)) from exc
        bad = 0
        yield from frames


def _newest(make_shots: Callable[[], Shots], is_cancelled: Callable[[], bool]) -> Shots:
    """Read in an own thread: slow consumers see what is now, and a dead line blocks no one."""
    reader = _Reader(make_shots)
    try:
        while not is_cancelled():
            shot = reader.take(_CHECK_S)
            if shot is not None:
                yield shot
    finally:
        reader.stop()


class _Reader:
    """Keeps the newest shot of a live source."""

    def __init__(self, make_shots: Callable[[], Shots]) -> None:
        self._make_shots = make_shots
        self._changed = threading.Condition()
        self._shot: Shot | None = None
        self._end: Exception | None = None
        self._stopped = False
        threading.Thread(target=self._run, name="live-source", daemon=True).start()

    def take(self, timeout_s: float) -> Shot | None:
        """The newest shot not taken yet; ``None`` if none came in time.

        Raises:
            SourceEnded: It is over.
            SourceBroke: It broke.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._shot is not None or self._end, timeout_s)
            shot, self._shot = self._shot, None
            if shot is None and self._end is not None:
                raise self._end
            return shot

    def stop(self) -> None:
        """The thread ends with its next frame, or when its read times out."""
        self._stopped = True

    def _run(self) -> None:
        try:
            with contextlib.closing(self._make_shots()) as shots:
                for shot in shots:
                    if self._stopped:
                        return
                    self._put(shot, None)
        except Exception as exc:  # noqa: BLE001 - handed to the consumer
            self._put(None, exc)

    def _put(self, shot: Shot | None, end: Exception | None) -> None:
        with self._changed:
            self._shot = shot or self._shot
            self._end = end
            self._changed.notify()


def _to_picture(frame: av.VideoFrame, max_side: int) -> Picture:
    scale = min(1.0, max_side / max(frame.width, frame.height))
    width, height = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
    pixels: Any = frame.reformat(width, height, "rgb24").to_ndarray()
    upright = np.rot90(pixels, frame.rotation // 90) if frame.rotation % 360 else pixels
    return Picture(upright.shape[1], upright.shape[0], "rgb", upright.tobytes())


def _rate(container: InputContainer) -> float:
    return float(container.streams.video[0].average_rate or 25)


def _explain(error: Exception) -> str:
    """Why, without the address: FFmpeg's own text would repeat it, password and all."""
    if isinstance(error, av.error.ExitError):
        return "nothing came within the time allowed"
    if isinstance(error, av.error.InvalidDataError):
        return "it is damaged, cut off, or no video"
    return getattr(error, "strerror", None) or type(error).__name__
