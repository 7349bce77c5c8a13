"""Pictures and videos through the real decoder and the real text reader, in real workers."""

import asyncio
import http.server
import io
import json
import threading
import zlib
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

import av
import numpy as np
import psutil
import pytest
import pytest_asyncio
from PIL import Image

from danzar.config.bot import BotConfig
from danzar.config.models import ModelsConfig, RoleChoice
from danzar.config.profile import Profile
from danzar.config.settings import Config
from danzar.config.vision import VisionConfig
from danzar.errors import BadPicture
from danzar.vision.service import VisionService
from danzar.vision.watch import Alert, Ended, WatchService
from danzar.workers.contract import LoadSpec
from tests.vision.real import real_workers

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_scope="module")]

FRAMES = Path(__file__).parents[2] / "assets" / "frames"
TRUTH = json.loads((FRAMES / "truth.json").read_text())
PROFILE = Profile.model_validate(
    {
        "title": "Doom",
        "hud": {
            "health": {"region": [0.14, 0.84, 0.33, 1.0], "pattern": r"(\d{1,3})\s*%"},
            "armor": {"region": [0.55, 0.84, 0.74, 1.0], "pattern": r"(\d{1,3})\s*%"},
        },
        "rules": [
            {
                "name": "health low",
                "when": {"kind": "hud_below", "field": "health", "below": 40},
                "frames": 2,
                "message": "Health is low!",
            }
        ],
    }
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def workers():
    media = LoadSpec("media", "media", None, slots=6)
    async with real_workers(media, LoadSpec("ocr", "ocr", None)) as inference:
        yield inference


def config_of(root, **watch):
    roles = RoleChoice(chat=None, detect=None, rank=None, read="ocr", media="media")
    return Config(
        root=root,
        bot=BotConfig.model_validate({"profiles": {"doom": PROFILE}, "watch": watch}),
        vision=VisionConfig.model_validate({"clip": {"processing_fps": 10}}),
        models=ModelsConfig(use=roles),
    )


@pytest_asyncio.fixture(loop_scope="module")
async def vision(workers, tmp_path):
    async with VisionService(workers, config_of(tmp_path)) as service:
        yield service


@pytest.mark.parametrize("name", sorted(TRUTH))
async def test_the_numbers_on_real_frames_are_read_right(vision, name):
    seen = await vision.observe((FRAMES / name).read_bytes())
    assert seen.observation.hud.health == TRUTH[name]["health"]
    assert seen.observation.hud.armor == TRUTH[name]["armor"]
    assert Image.open(io.BytesIO(seen.annotated_jpeg)).size == (640, 480)
    assert "use.detect is null" in seen.observation.notes[0]


async def test_a_large_picture_is_read_in_its_own_pixels(vision):
    with Image.open(FRAMES / "low-health.png") as small:
        large = small.resize((2560, 1920), Image.Resampling.NEAREST)
    data = io.BytesIO()
    large.save(data, "PNG")
    observed = (await vision.observe(data.getvalue())).observation
    assert (observed.width, observed.height) == (2560, 1920)
    assert observed.hud.health == 20
    (health,) = [line for line in observed.text if line.text == "20%"]
    assert 94 * 4 - 40 <= health.box[0] <= health.box[2] <= 210 * 4 + 40


def encoded(mode="RGB", kind="PNG", **options):
    data = io.BytesIO()
    Image.new(mode, (64, 48)).save(data, kind, **options)
    return data.getvalue()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"just text, named .png", "no picture"),
        ((FRAMES / "boss.png").read_bytes()[:9000], "damaged or cut off"),
        (encoded()[:30], "picture"),
    ],
)
async def test_what_is_no_picture_is_refused_with_a_clear_line(vision, data, said):
    with pytest.raises(BadPicture, match=said):
        await vision.observe(data)


async def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(vision):
    header = bytearray(encoded())
    header[16:24] = (20_000).to_bytes(4, "big") * 2
    header[29:33] = zlib.crc32(bytes(header[12:29])).to_bytes(4, "big")
    with pytest.raises(BadPicture, match="20,000 x 20,000"):
        await vision.observe(bytes(header))


@pytest.mark.parametrize(
    "data",
    [encoded("CMYK", "JPEG"), encoded("I;16"), encoded("RGBA"), encoded("P", "GIF"), encoded("1")],
)
async def test_unusual_pictures_are_looked_at(vision, data):
    seen = await vision.observe(data)
    assert seen.observation.width == 64


def write_clip(path, names, seconds_each=1.0, rate=10):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        for name in names:
            with Image.open(FRAMES / name) as image:
                pixels = np.asarray(image.convert("RGB"))
            for _ in range(round(seconds_each * rate)):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode(None))


@asynccontextmanager
async def watching(workers, root, source, **watch):
    """A watch of ``source``, and the events that it raises."""
    config = config_of(root, **watch)
    events: asyncio.Queue = asyncio.Queue()
    async with (
        VisionService(workers, config) as vision,
        WatchService(workers, vision, config) as watches,
    ):
        await watches.start(source, events.put)
        yield watches, events


async def next_event(events, kind):
    async with asyncio.timeout(60):
        while not isinstance(event := await events.get(), kind):
            pass
        return event


async def test_a_watch_on_a_clip_raises_an_alert_with_no_one_asking(workers, tmp_path):
    write_clip(tmp_path / "clip.mp4", ["enemy.png", "low-health.png"], seconds_each=3.0)
    async with watching(workers, tmp_path, "clip", sources={"clip": "clip.mp4"}) as (
        watches,
        events,
    ):
        alert = await next_event(events, Alert)
        ended = await next_event(events, Ended)
        (status,) = watches.status()
    assert (alert.rule, alert.reading) == ("health low", "health 20, below 40")
    assert 3.0 <= alert.at_s <= 6.0
    assert Image.open(io.BytesIO(alert.frame_jpeg)).size == (640, 480)
    assert ended.reason == "the source has come to its end"
    assert status.skipped > status.processed > 0
    assert status.alerts == 1


async def test_a_clip_that_was_cut_off_ends_with_its_reason(workers, tmp_path):
    write_clip(tmp_path / "whole.mp4", ["enemy.png"])
    (tmp_path / "clip.mp4").write_bytes((tmp_path / "whole.mp4").read_bytes()[:2000])
    async with watching(workers, tmp_path, "clip", sources={"clip": "clip.mp4"}) as (_, events):
        ended = await next_event(events, Ended)
    assert ended.reason.startswith("No frame could be read")


async def test_a_folder_of_frames_can_be_watched(workers, tmp_path):
    sources = {"frames": str(FRAMES)}
    async with watching(workers, tmp_path, "frames", sources=sources) as (watches, events):
        await next_event(events, Ended)
        (status,) = watches.status()
    # It goes at its pace, as a camera does: a busy machine leaves some out.
    assert status.ended
    assert 0 < status.processed <= status.seen <= len(TRUTH)


async def test_a_reader_that_is_killed_ends_the_watch_with_its_reason(tmp_path):
    write_clip(tmp_path / "clip.mp4", ["enemy.png"], seconds_each=60.0, rate=5)
    media, ocr = LoadSpec("media", "media", None, slots=6), LoadSpec("ocr", "ocr", None)
    async with real_workers(media, ocr) as inference:
        sources = {"clip": "clip.mp4"}
        async with watching(inference, tmp_path, "clip", sources=sources) as (watches, events):
            async with asyncio.timeout(60):
                while watches.status()[0].processed == 0:
                    await asyncio.sleep(0.01)
            psutil.Process(inference.workers["media"].pid).kill()
            ended = await next_event(events, Ended)
    assert "SIGKILL" in ended.reason or "ended" in ended.reason


class Dying(http.server.BaseHTTPRequestHandler):
    """Sends the beginning of a stream and hangs up."""

    data = b""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "video/mp2t")
        self.end_headers()
        self.wfile.write(self.data)

    def log_message(self, *args):
        pass


async def test_a_stream_that_dies_ends_the_watch_and_is_told(workers, tmp_path):
    write_clip(tmp_path / "clip.ts", ["enemy.png", "low-health.png"])
    whole = (tmp_path / "clip.ts").read_bytes()
    Dying.data = whole[: len(whole) * 2 // 3]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Dying) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host = f"127.0.0.1:{server.server_port}"
        source = f"http://{host}/live"
        async with watching(workers, tmp_path, source, allow_hosts=[host]) as (watches, events):
            ended = await next_event(events, Ended)
            (status,) = watches.status()
        server.shutdown()
    assert status.seen > 0
    assert status.ended == ended.reason
    assert ended.reason.startswith("the source failed: ")


class Redirecting(http.server.BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_GET(self):
        self.asked.append(self.path)
        self.send_response(302)
        self.send_header("Location", "/inside-the-network")
        self.end_headers()

    def log_message(self, *args):
        pass


async def test_an_allowed_address_can_not_lead_to_another_one(workers, tmp_path):
    Redirecting.asked.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Redirecting) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host = f"127.0.0.1:{server.server_port}"
        source = f"http://me:geheim@{host}/live"
        async with watching(workers, tmp_path, source, allow_hosts=[host]) as (watches, events):
            ended = await next_event(events, Ended)
            (status,) = watches.status()
        server.shutdown()
    assert Redirecting.asked == ["/live"]
    assert "geheim" not in ended.reason + ended.source + status.source
