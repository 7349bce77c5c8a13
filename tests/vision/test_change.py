import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from danzar.vision.change import ChangeGate, difference, thumbnail
from danzar.workers.contract import Picture
from tests.vision.worlds import grey_picture


def picture_of(rows):
    return Picture(rows.shape[1], rows.shape[0], "rgb", rows.tobytes())


def test_the_same_frame_goes_through_once():
    gate = ChangeGate(0.004, 5.0)
    assert gate.admits(grey_picture(), 0.0)
    assert not gate.admits(grey_picture(), 1.0)


def test_a_still_picture_is_forced_through_in_the_end():
    gate = ChangeGate(0.004, 5.0)
    admitted = [gate.admits(grey_picture(), float(second)) for second in range(11)]
    assert [second for second, let in enumerate(admitted) if let] == [0, 5, 10]


def test_slow_changes_add_up():
    gate = ChangeGate(0.01, 1000.0)
    admitted = [gate.admits(grey_picture(100 + step), float(step)) for step in range(9)]
    assert [step for step, let in enumerate(admitted) if let] == [0, 3, 6]


def test_a_new_digit_in_a_region_is_a_change_though_the_picture_hardly_is():
    rows = np.full((480, 640, 3), 90, np.uint8)
    changed = rows.copy()
    changed[446:462, 100:110] = 255
    region = (0.1, 0.9, 0.25, 1.0)
    assert not _second_goes_through(ChangeGate(0.004, 99.0), rows, changed)
    assert _second_goes_through(ChangeGate(0.004, 99.0, [region]), rows, changed)


def test_a_frame_that_is_not_plain_rgb_always_goes_through():
    gate = ChangeGate(0.004, 5.0)
    jpeg = Picture(64, 48, "jpeg", b"...")
    assert gate.admits(jpeg, 0.0)
    assert gate.admits(jpeg, 0.1)


@given(st.integers(1, 80), st.integers(1, 80), st.integers(0, 255))
def test_any_size_has_a_thumbnail_of_the_same_shape(width, height, level):
    small = thumbnail(grey_picture(level, width, height))
    assert small.shape == (32, 32)
    assert abs(float(small.mean()) - level / 255) < 0.01


def test_difference_goes_from_the_same_to_black_against_white():
    black, white = thumbnail(grey_picture(0)), thumbnail(grey_picture(255))
    assert difference(black, black) == 0.0
    assert difference(black, white) == 1.0


def _second_goes_through(gate, first, second):
    gate.admits(picture_of(first), 0.0)
    return gate.admits(picture_of(second), 1.0)
