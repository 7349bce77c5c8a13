"""What strangers send: each gets a clear answer, and nothing else is disturbed."""

import io
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from tests.e2e.conftest import ROOT
from tests.e2e.page import DONE

pytestmark = [pytest.mark.browser, pytest.mark.model, pytest.mark.process, pytest.mark.timeout(600)]

FRAME = ROOT / "assets" / "frames" / "low-health.png"


def saved(picture: Image.Image, kind: str, **options) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def frame() -> Image.Image:
    return Image.open(FRAME).convert("RGB")


def huge_png_header(side: int) -> bytes:
    """A PNG that claims side x side pixels; a decoder that believes it takes gigabytes."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    checked = struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    data = b"IDAT" + zlib.compress(bytes(1000))
    body = struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
    end = struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
    return b"\x89PNG\r\n\x1a\n" + checked + body + end


def rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(frame().rotate(90, expand=True), "JPEG", exif=exif)


REFUSED = [
    pytest.param("empty.png", b"", r"empty|nothing", id="an empty file"),
    pytest.param("cut.png", FRAME.read_bytes()[:4000], r"damaged|cut|incomplete|trunc", id="cut"),
    pytest.param(
        "text.png",
        b"I am no picture at all.\n" * 9,
        r"no picture|not a picture|is none|unknown",
        id="text",
    ),
    pytest.param("huge.png", huge_png_header(20_000), r"pixels|20,?000", id="20,000 x 20,000"),
]
ACCEPTED = [
    pytest.param(
        "two.gif",
        saved(frame(), "GIF", save_all=True, append_images=[Image.new("RGB", (640, 480))]),
        id="an animated GIF",
    ),
    pytest.param("cmyk.jpg", saved(frame().convert("CMYK"), "JPEG"), id="CMYK"),
    pytest.param("deep.png", saved(frame().convert("L").convert("I;16"), "PNG"), id="16 bit"),
    pytest.param("turned.jpg", rotated(), id="turned by EXIF"),
]


def post(page, *files, text="@Danzar what do you see?"):
    page.open("game-night")
    before = page.answers().count()
    page.page.get_by_test_id("file-input").set_input_files(list(files))
    page.page.get_by_test_id("ticket").first.wait_for()
    page.send(text)
    return before


def upload(name: str, data: bytes) -> dict:
    return {"name": name, "mimeType": "image/png", "buffer": data}


@pytest.mark.parametrize(("name", "data", "why"), REFUSED)
def test_a_file_that_is_no_good_picture_is_refused_with_the_reason(page, name, data, why):
    before = post(page, upload(name, data))
    text = page.wait_for_text(why, since=before)
    assert name in text
    assert "Traceback" not in text


@pytest.mark.parametrize(("name", "data"), ACCEPTED)
def test_an_unusual_picture_is_looked_at(page, name, data):
    before = post(page, upload(name, data))
    text = page.wait_for_text(DONE, since=before)
    assert "Seen" in text
    assert page.picture_size(page.answers().nth(before)) == (640, 480)


def test_a_bad_picture_does_not_spoil_the_good_one_beside_it(page):
    good = upload("good.png", FRAME.read_bytes())
    before = post(page, upload("bad.png", b"nonsense"), good, text="@Danzar is my health low?")
    text = page.wait_for_text(r"Health.{0,20}20.*" + DONE, since=before)
    assert "bad.png" in text


def test_of_ten_pictures_the_first_are_looked_at_and_the_others_named(page):
    files = [upload(f"p{n}.png", FRAME.read_bytes()) for n in range(10)]
    before = post(page, *files)
    text = page.wait_for_text(DONE, since=before)
    assert "p9.png" in text


def test_fifty_megabytes_are_refused_before_they_are_downloaded(page, tmp_path: Path):
    large = tmp_path / "large.png"
    large.write_bytes(FRAME.read_bytes() + bytes(50 * 1024 * 1024))
    before = post(page, str(large))
    text = page.wait_for_text(r"50\.\d MiB", since=before)
    assert "large.png" in text


@pytest.mark.parametrize(
    "source",
    [
        "http://127.0.0.1:22/x",
        "http://192.168.0.1/live",
        "rtsp://[::1]/a",
        "/etc/passwd",
        "http://2130706433/",
    ],
)
def test_a_source_that_the_owner_did_not_allow_is_refused(page, source):
    page.open("game-night")
    before = page.answers().count()
    page.send(f"!watch start {source}")
    text = page.wait_for_text(r"allow|unusual way", since=before)
    assert "Watching" not in text


def test_a_message_of_only_mentions_gets_a_friendly_line(page):
    page.open("game-night")
    before = page.answers().count()
    page.send("@Danzar ")
    text = page.wait_for_text(r"ask|help", since=before)
    assert "Error" not in text
