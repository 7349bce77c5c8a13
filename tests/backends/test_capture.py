"""Frames of real video files, folders and streams, whole and broken."""

import http.server
import itertools
import threading

import av
import numpy as np
import pytest
from PIL import Image

from danzar.backends import media
from danzar.errors import BadInput, BadVideo
from danzar.workers.contract import Capture, CaptureEnded, Frame, LoadSpec

FPS = 10


def make_video(path, seconds=4, size=(160, 120), faststart=True):
    rng = np.random.default_rng(0)
    options = {"movflags": "faststart"} if faststart else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("mpeg4", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for _ in range(seconds * FPS):
            pixels = rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return make_video(tmp_path_factory.mktemp("video") / "play.mp4")


def run(request, is_cancelled=lambda: False, **settings):
    spec = LoadSpec("media", "media", None, settings=settings)
    backend, _ = media.load(spec)
    return backend.run(request, is_cancelled)


def capture(kind, target, **options):
    options = {"processing_fps": FPS, "real_time": False} | options
    return Capture(kind, str(target), **options)


def test_every_frame_is_handed_over_and_then_the_end(video):
    *frames, end = run(capture("file", video))
    assert len(frames) == 40
    assert [frame.number for frame in frames] == list(range(40))
    assert frames[-1].at_s == pytest.approx(3.9)
    assert end == CaptureEnded("end", 40)


def test_fewer_frames_are_taken_evenly(video):
    *frames, end = run(capture("file", video, processing_fps=2))
    assert end.frames == len(frames) == 8
    assert [frame.at_s for frame in frames] == pytest.approx([n / 2 for n in range(8)])


def test_frames_are_scaled_to_the_longer_side(video):
    frame = next(run(capture("file", video, max_side=80)))
    assert (frame.picture.width, frame.picture.height) == (80, 60)
    assert len(frame.picture.data) == 80 * 60 * 3


def test_a_looping_file_goes_on_with_a_growing_clock(video):
    frames = list(itertools.islice(run(capture("file", video, loop=True)), 90))
    assert all(isinstance(frame, Frame) for frame in frames)
    times = [frame.at_s for frame in frames]
    assert times == sorted(times)
    assert times[-1] > 8


def test_a_cancelled_capture_ends_with_its_count(video):
    calls = itertools.count()
    *frames, end = run(capture("file", video, loop=True), lambda: next(calls) > 50)
    assert end.reason == "cancelled"
    assert end.frames == len(frames) > 0


def test_real_time_waits_for_the_clock_and_stops_waiting_when_cancelled(video):
    seen = []
    items = run(capture("file", video, processing_fps=1, real_time=True), lambda: len(seen) > 0)
    seen.extend(items)
    assert isinstance(seen[0], Frame)
    assert seen[-1] == CaptureEnded("cancelled", 1)


def test_a_truncated_video_gives_its_readable_frames_and_says_where_it_broke(video, tmp_path):
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    *frames, end = run(capture("file", cut))
    assert 5 < len(frames) < 40
    assert end.frames == len(frames)
    assert "breaks off after" in end.reason or "damaged" in end.reason


@pytest.mark.parametrize(
    ("name", "data"),
    [
        pytest.param("empty.mp4", b"", id="empty"),
        pytest.param("text.mp4", b"I am a video, honest. " * 50, id="text"),
        pytest.param(
            "list.mp4", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n", id="playlist"
        ),
        pytest.param("list.ffconcat", b"ffconcat version 1.0\nfile /etc/passwd\n", id="concat"),
    ],
)
def test_what_is_no_video_is_refused(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(BadVideo, match="No frame could be read"):
        list(run(capture("file", path)))


def test_a_video_cut_before_its_index_is_refused(tmp_path):
    whole = make_video(tmp_path / "late.mp4", seconds=1, faststart=False)
    whole.write_bytes(whole.read_bytes()[:3000])
    with pytest.raises(BadVideo):
        list(run(capture("file", whole)))


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(BadVideo, match="No such file"):
        list(run(capture("file", tmp_path / "nope.mp4")))


@pytest.mark.parametrize("fps", [0, -1, float("inf")])
def test_a_pace_that_is_none_is_refused(video, fps):
    with pytest.raises(BadInput, match="processing_fps"):
        list(run(capture("file", video, processing_fps=fps)))


def test_a_folder_is_read_by_name_and_what_is_no_picture_is_left_out(tmp_path):
    for number, colour in enumerate(("red", "green", "blue")):
        Image.new("RGB", (8, 8), colour).save(tmp_path / f"{number}.png")
    (tmp_path / "3.png").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("no picture either")
    *frames, end = run(capture("folder", tmp_path))
    assert [frame.picture.data[:3] for frame in frames] == [
        b"\xff\0\0",
        b"\0\x80\0",
        b"\0\0\xff",
    ]
    assert end == CaptureEnded("end", 3)


def test_an_empty_folder_is_told_also_when_it_should_loop(tmp_path):
    with pytest.raises(BadVideo, match="no readable picture"):
        list(run(capture("folder", tmp_path, loop=True)))


@pytest.fixture
def serve(video):
    """A web server that sends part of a video and then hangs up or falls silent."""
    data, servers, release = video.read_bytes(), [], threading.Event()

    def start(share, silent=False):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "video/mp4")
                self.end_headers()
                try:
                    self.wfile.write(data[: int(len(data) * share)])
                    if silent:
                        release.wait(20)
                except OSError:
                    pass

            def log_message(self, *args):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://user:hush@127.0.0.1:{server.server_port}/live.mp4"

    yield start
    release.set()
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_stream_that_dies_ends_the_capture_and_hides_the_password(serve):
    *frames, end = run(capture("stream", serve(0.5), processing_fps=100))
    assert frames
    assert end.reason not in ("end", "cancelled")
    assert "hush" not in end.reason


def test_a_stream_that_falls_silent_is_given_up(serve):
    address = serve(0.5, silent=True)
    *frames, end = run(
        capture("stream", address, processing_fps=100), open_timeout_s=5.0, read_timeout_s=0.5
    )
    assert end.frames == len(frames)
    assert "nothing came" in end.reason or "breaks off" in end.reason


def test_a_silent_stream_can_be_cancelled_at_once(serve):
    calls = itertools.count()
    items = run(capture("stream", serve(0.0, silent=True)), lambda: next(calls) > 3)
    assert list(items) == [CaptureEnded("cancelled", 0)]


def test_a_stream_that_no_one_offers_is_told_without_its_address():
    with pytest.raises(BadVideo) as caught:
        list(run(capture("stream", "http://user:hush@127.0.0.1:9/x.mp4")))
    assert "hush" not in str(caught.value)


def test_a_stream_may_not_name_local_files(video):
    with pytest.raises(BadVideo):
        list(run(capture("stream", f"file://{video}")))


def test_a_screen_that_is_not_there_is_told(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(BadVideo, match="screen"):
        list(run(capture("screen", "1")))


def test_a_camera_that_is_not_there_is_told():
    with pytest.raises(BadVideo):
        list(run(capture("camera", "63")))
