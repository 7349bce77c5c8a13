"""Every kind of picture becomes upright 8-bit RGB; everything else is refused with a reason."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from danzar.backends.annotate import annotate
from danzar.backends.picture_files import decode_picture
from danzar.backends.pictures import from_image, to_array
from danzar.errors import BadPicture
from danzar.workers.contract import Annotate, BoxLabel, DecodePicture, Picture


def encode(image, kind="PNG", **options):
    output = io.BytesIO()
    image.save(output, kind, **options)
    return output.getvalue()


def decode(data, max_pixels=10_000_000, max_side=2000):
    return decode_picture(DecodePicture(data, max_pixels, max_side))


def gradient(width=64, height=48):
    x = np.linspace(0, 255, width, dtype=np.uint8)
    return Image.fromarray(np.stack([np.tile(x, (height, 1))] * 3, axis=-1))


def huge_png(width, height):
    """A header that promises far more than the file holds."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = b""
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")):
        crc = struct.pack(">I", zlib.crc32(kind + body))
        chunks += struct.pack(">I", len(body)) + kind + body + crc
    return b"\x89PNG\r\n\x1a\n" + chunks


def sixteen_bit_png():
    return encode(Image.fromarray(np.linspace(0, 65535, 64 * 48).astype(np.uint16).reshape(48, 64)))


GOOD = {
    "jpeg": encode(gradient(), "JPEG"),
    "cmyk jpeg": encode(gradient().convert("CMYK"), "JPEG"),
    "16-bit grey png": sixteen_bit_png(),
    "palette png": encode(gradient().convert("P")),
    "palette with transparency": encode(gradient().convert("P"), transparency=0),
    "png with alpha": encode(gradient().convert("RGBA")),
    "grey with alpha": encode(gradient().convert("LA")),
    "one-bit": encode(gradient().convert("1")),
    "bmp": encode(gradient(), "BMP"),
    "webp": encode(gradient(), "WEBP"),
    "float tiff": encode(gradient().convert("F"), "TIFF"),
}


@pytest.mark.parametrize("data", GOOD.values(), ids=GOOD)
def test_every_kind_of_picture_becomes_rgb_and_keeps_its_look(data):
    decoded = decode(data)
    assert (decoded.picture.width, decoded.picture.height) == (64, 48)
    pixels = to_array(decoded.picture)
    assert pixels.shape == (48, 64, 3)
    # Dark on one side and bright on the other, as it was drawn.
    assert pixels.std() > 30
    assert pixels[-1, -5:].mean() > pixels[0, 5:10].mean()


BAD = {
    "an empty file": (b"", "is empty"),
    "text named .png": (b"hello, I am a picture", "no picture of a known kind"),
    "a cut png": (encode(gradient(500, 500).rotate(20))[:800], "damaged or cut off"),
    "a cut jpeg": (encode(gradient(500, 500), "JPEG")[:2000], "damaged or cut off"),
    "a cut gif": (encode(gradient(500, 500).rotate(9), "GIF")[:1500], "damaged or cut off"),
    "a header without a body": (encode(gradient())[:33], "damaged or cut off|no picture"),
    "a bomb": (huge_png(20_000, 20_000), r"20,000 x 20,000 = 400,000,000 pixels; at most 10,000,0"),
    "a lying header": (huge_png(1000, 1000), "damaged or cut off"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no picture of a known"),
}


@pytest.mark.parametrize(("data", "match"), BAD.values(), ids=BAD)
def test_what_is_no_sound_picture_is_refused_with_the_reason(data, match):
    with pytest.raises(BadPicture, match=match):
        decode(data)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow remarks on what it meets
@given(st.sampled_from(sorted(GOOD)), st.data())
def test_damaged_bytes_are_decoded_or_refused_but_nothing_else(kind, data):
    raw = bytearray(GOOD[kind])
    for _ in range(data.draw(st.integers(1, 5))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        decoded = decode(bytes(raw), max_pixels=100_000)
    except BadPicture:
        return
    assert to_array(decoded.picture).size > 0


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_and_the_original_size_is_upright(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.new("RGB", (60, 40))
    decoded = decode(encode(image, "JPEG", exif=exif), max_side=30)
    upright = (40, 60) if orientation >= 5 else (60, 40)
    assert (decoded.original_width, decoded.original_height) == upright
    assert (decoded.picture.width > decoded.picture.height) == (upright[0] > upright[1])
    assert max(decoded.picture.width, decoded.picture.height) <= 30


def test_of_an_animation_the_first_frame_is_taken_and_the_frames_counted():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    decoded = decode(encode(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert decoded.frames == 3
    assert to_array(decoded.picture)[0, 0].tolist() == [255, 0, 0]


def test_a_large_picture_is_scaled_and_tells_its_original_size():
    decoded = decode(encode(gradient(1600, 400), "JPEG"), max_side=200)
    assert (decoded.picture.width, decoded.picture.height) == (200, 50)
    assert (decoded.original_width, decoded.original_height) == (1600, 400)


def test_transparency_is_shown_on_white():
    decoded = decode(encode(Image.new("RGBA", (4, 4), (255, 0, 0, 0))))
    assert to_array(decoded.picture)[0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    "picture",
    [
        pytest.param(Picture(10, 10, "rgb", b"short"), id="too few bytes"),
        pytest.param(Picture(0, 0, "rgb", b""), id="no size"),
        pytest.param(Picture(10, 10, "jpeg", b"no jpeg"), id="no jpeg"),
    ],
)
def test_a_picture_that_is_not_what_it_says_is_refused(picture):
    with pytest.raises(BadPicture):
        to_array(picture)


@pytest.mark.parametrize("size", [(16, 16), (640, 480), (3000, 200)])
def test_boxes_are_drawn_inside_the_picture_wherever_they_point(size):
    plain = from_image(Image.new("RGB", size, (0, 0, 0)))
    boxes = (
        BoxLabel((2, 2, size[0] / 2, size[1] / 2), "enemy 91%", "enemy"),
        BoxLabel((-50, -50, size[0] + 50, size[1] + 50), "a label that is far too long " * 9, "x"),
        BoxLabel((9, 9, 1, 1), "", "y"),
    )
    annotated = annotate(Annotate(plain, boxes)).picture
    assert annotated.encoding == "jpeg"
    assert (annotated.width, annotated.height) == size
    assert to_array(annotated).max() > 100


def test_labels_have_their_own_colours_and_keep_them():
    def colour(label):
        plain = from_image(Image.new("RGB", (200, 200)))
        drawn = annotate(Annotate(plain, (BoxLabel((50, 50, 150, 150), "", label),))).picture
        return to_array(drawn)[100, 50].tolist()

    assert colour("enemy") == colour("enemy")
    assert len({tuple(colour(f"label{n}")) for n in range(20)}) > 3
