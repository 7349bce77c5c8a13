"""PNG files, the words in them, and how far a picture is."""

import io

from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from danzar.pictures.made import file_words, files_of
from danzar.pictures.png import as_file, size_of, with_words, words_in
from danzar.pictures.progress import after, bar
from danzar.workers.contract import GeneratedImages, GenerateImages, Picture

RED = Picture(3, 2, "rgb", bytes([255, 0, 0]) * 6)


def test_raw_pixels_become_a_png_that_others_can_read():
    data, ending = as_file(RED)
    with Image.open(io.BytesIO(data)) as picture:
        picture.load()
        assert (picture.size, picture.mode, ending) == ((3, 2), "RGB", "png")
        assert picture.getpixel((2, 1)) == (255, 0, 0)
    assert size_of(data) == (3, 2)


def test_an_encoded_picture_stays_as_it_is():
    assert as_file(Picture(1, 1, "jpeg", b"jpeg")) == (b"jpeg", "jpg")


@given(st.text(max_size=300))
def test_words_in_a_png_can_be_read_by_us_and_by_others(text):
    data = with_words(as_file(RED)[0], {"parameters": text})
    expected = text.replace("\0", "").encode("utf-8", "replace").decode()
    assert words_in(data) == {"parameters": expected}
    with Image.open(io.BytesIO(data)) as picture:
        picture.load()
        assert picture.text["parameters"] == expected


def test_what_is_no_png_gets_no_words():
    assert with_words(b"jpeg", {"a": "b"}) == b"jpeg"


def test_each_picture_of_a_request_has_its_own_seed_in_it():
    request = GenerateImages("a {castle}", "people", guidance=7.5, width=3, height=2)
    png = Picture(3, 2, "png", as_file(RED)[0])
    words = file_words(request, "sd", 20)
    files = files_of(GeneratedImages((png, png), 5), words, 5)
    assert [file.seed for file in files] == [5, 6]
    assert words_in(files[1].data)["parameters"] == (
        "a {castle}\nNegative prompt: people\n"
        "Steps: 20, CFG scale: 7.5, Seed: 6, Size: 3x2, Model: sd"
    )


def test_the_time_left_follows_from_the_steps_after_the_first():
    steps = after(None, 1, 10, 100.0)
    assert steps.left_s is None
    for n in (2, 3, 4):
        steps = after(steps, n, 10, 100.0 + 2 * (n - 1))
    assert steps.left_s == 12.0
    assert bar(steps) == "█████░░░░░░░"


def test_a_request_that_is_begun_anew_begins_its_progress_anew():
    steps = after(after(None, 5, 10, 1.0), 1, 10, 50.0)
    assert (steps.done, steps.first_s) == (1, 50.0)
