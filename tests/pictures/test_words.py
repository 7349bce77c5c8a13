"""What people write, and which sizes they mean."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from danzar.config.imagine import ImagineSettings
from danzar.errors import BadInput
from danzar.pictures.asked import Asked, images, read_asked, video
from danzar.pictures.limits import blocked_word, check_request
from danzar.pictures.sizes import Size, larger, parse_size, shapes, smaller
from danzar.workers.contract import GenerateImages

BASE = Size(512, 512)
NOTHING = Asked("")
SIDES = st.integers(4, 128).map(lambda n: 16 * n)


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ("a castle", Asked("a castle")),
        ("  a   castle\nat night ", Asked("a castle at night")),
        ("a castle --seed 7 --size 768x512", Asked("a castle", size="768x512", seed=7)),
        ("a castle --no people, text --steps 5", Asked("a castle", "people, text", steps=5)),
        ("--seed=7 a castle", Asked("a castle", seed=7)),
        ("a \u2014seed 7 castle", Asked("a castle", seed=7)),
        ("an ice-cold non--stop party", Asked("an ice-cold non--stop party")),
        ("a dash \u2014 here", Asked("a dash \u2014 here")),
        ("a dragon --seconds 2.5s", Asked("a dragon", seconds=2.5)),
    ],
)
def test_words_become_a_prompt_and_its_options(words, asked):
    assert read_asked(words, NOTHING) == asked


def test_options_in_the_words_count_more_than_those_of_the_slash_command():
    given_ = Asked("", "people", "512", 1, 2, 3)
    assert read_asked("a --seed 9", given_) == Asked("a", "people", "512", 9, 2, 3)


@pytest.mark.parametrize("words", ["a --what 1", "a --seed", "a --seed x", "a --steps 1.5"])
def test_what_is_no_option_is_refused(words):
    with pytest.raises(BadInput):
        read_asked(words, NOTHING)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(BadInput):
        assert "  " not in read_asked(text, NOTHING).prompt


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("768x512", (768, 512)),
        ("768\u00d7512", (768, 512)),
        (" 768 X 512 px", (768, 512)),
        ("640", (640, 640)),
        ("Portrait", (384, 576)),
    ],
)
def test_sizes_can_be_written_in_many_ways(text, size):
    assert parse_size(text, BASE) == size


@given(SIDES, SIDES)
def test_shapes_never_have_more_pixels_than_the_model_makes(width, height):
    for size in shapes(Size(width, height)).values():
        assert size.width * size.height <= width * height or min(size) == 32
        assert size.width % 16 == size.height % 16 == 0


@given(SIDES, SIDES)
def test_larger_and_smaller_keep_the_shape_and_the_steps_of_sixteen(width, height):
    for size in (larger(Size(width, height), 10_000), smaller(Size(width, height))):
        if size is not None:
            assert size.width % 16 == size.height % 16 == 0
            assert abs(size.width / size.height - width / height) < 0.35 * width / height


def test_larger_stops_at_what_the_model_has_room_for():
    assert larger(BASE, 2048, 768 * 768) == (768, 768)
    assert larger(BASE, 2048, 700 * 700) is None
    assert larger(BASE, 700) is None


def test_the_length_of_a_video_becomes_frames_that_video_models_count_in():
    request = video(Asked("a dragon", seconds=2.0), Size(832, 480))
    assert (request.frames, request.fps, request.width) == (33, 16, 832)


@pytest.mark.parametrize(("most", "frames"), [(None, 33), (81, 33), (12, 9), (9, 9), (1, 1)])
def test_a_video_of_no_said_length_is_no_longer_than_the_model_makes(most, frames):
    assert video(Asked("a dragon"), Size(64, 64), most).frames == frames


def test_what_is_not_said_is_left_to_the_model():
    assert images(Asked("a"), BASE) == GenerateImages("a", width=512, height=512)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("GORE!", "gore"),
        ("\uff27\uff2f\uff32\uff25 everywhere", "gore"),
        ("a gorely place", None),
        ("de la mort", "la mort"),
    ],
)
def test_blocked_words_are_found_whole_and_in_any_form(text, found):
    assert blocked_word(text, ("gore", "la mort", " ")) == found


def test_the_limits_allow_what_the_settings_say():
    limits = ImagineSettings(max_side=512, max_steps=10, max_count=1)
    check_request(GenerateImages("a", width=512, height=64, steps=10), limits)
    for wrong in (
        GenerateImages("a", width=520),
        GenerateImages("a", steps=11),
        GenerateImages("a", count=2),
        GenerateImages("a", seed=2**32),
        GenerateImages(" "),
        GenerateImages("a", negative_prompt="x" * 1001),
    ):
        with pytest.raises(BadInput):
            check_request(wrong, limits)
