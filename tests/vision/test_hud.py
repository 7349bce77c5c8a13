import pytest
from hypothesis import given
from hypothesis import strategies as st

from danzar.config.profile import HudField
from danzar.vision.hud import normalise_digits, read_hud
from danzar.vision.observations import Hud, TextLine

HEALTH = HudField(region=(0.2, 0.8, 0.5, 1.0), pattern=r"(\d{1,3})", maximum=200)
INSIDE = (300, 850, 400, 950)
OUTSIDE = (800, 100, 900, 200)


def line(text, box=INSIDE, confidence=0.9):
    return TextLine(text, confidence, box)


def health(*lines, field=HEALTH):
    return read_hud(lines, {"health": field}, 1000, 1000).health


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("7%", 7),
        ("34", 34),
        ("100 %", 100),
        ("1O0%", 100),
        ("l00%", 100),
        ("O%", 0),
        ("IO", 10),
        ("HEALTH 56", 56),
        ("S6%", 56),
        ("HEALTH", None),
        ("Solo", None),
        ("%", None),
        ("", None),
        ("999", None),
    ],
)
def test_a_number_is_read_through_the_confusions_of_ocr(text, number):
    assert health(line(text)) == number


def test_a_line_outside_the_region_does_not_count():
    assert health(line("34", box=OUTSIDE)) is None


def test_the_surest_line_that_holds_a_number_wins():
    assert health(line("12", confidence=0.6), line("34", confidence=0.8), line("%")) == 34


def test_a_number_out_of_range_is_not_seen():
    assert health(line("150"), field=HEALTH.model_copy(update={"maximum": 100})) is None


def test_an_optional_group_that_took_no_part_is_not_seen():
    assert health(line("HP"), field=HEALTH.model_copy(update={"pattern": r"HP(\d+)?"})) is None


def test_fields_that_the_profile_does_not_have_stay_unknown():
    assert read_hud([line("34")], {"health": HEALTH}, 1000, 1000) == Hud(health=34)


@given(st.text(max_size=30))
def test_any_text_gives_a_number_in_range_or_none(text):
    number = health(line(text))
    assert number is None or 0 <= number <= 200


@given(st.integers(0, 200))
def test_every_number_survives_its_own_normalisation(number):
    assert normalise_digits(f"{number}%") == f"{number}%"
    assert health(line(f"{number}%")) == number


@given(st.text(alphabet="abcdefhjkmnpqrtuvwxy ", max_size=20))
def test_words_without_look_alikes_are_left_alone(text):
    assert normalise_digits(text) == text


def test_two_numbers_that_were_read_as_one_line_are_not_taken_for_the_health():
    merged = line("150%", box=(100, 850, 400, 950), confidence=1.0)
    assert health(merged) is None
    assert health(merged, line("50%", confidence=0.9)) == 50


def test_a_line_that_reaches_a_little_out_of_the_region_counts():
    assert health(line("34%", box=(190, 790, 400, 950))) == 34


def test_an_empty_box_is_nowhere():
    assert health(line("34", box=(300, 900, 300, 900))) is None
