"""A spill is slow and misplaced; one of the two is none."""

import pytest

from danzar.core.spill import LoadedBytes, SpeedTrack
from danzar.units import GIB

WHOLE = LoadedBytes(8 * GIB, 8 * GIB, 0)
SHORT = LoadedBytes(8 * GIB, 6 * GIB, None)
GROWN = LoadedBytes(8 * GIB, None, 2 * GIB)


def told(loaded, speeds, usual=40.0):
    track = SpeedTrack(loaded, usual)
    return [track.note(speed) for speed in speeds][-1]


@pytest.mark.parametrize("loaded", [SHORT, GROWN])
def test_a_model_that_is_slow_since_its_load_and_not_where_it_was_booked_has_spilt(loaded):
    text = told(loaded, [6.0] * 5)
    assert "6.0 a second instead of 40.0" in text
    assert "2.0 GiB" in text or "6.0 GiB" in text


@pytest.mark.parametrize(
    ("loaded", "speeds", "usual"),
    [
        pytest.param(WHOLE, [6.0] * 9, 40.0, id="slow, and all of it in its place"),
        pytest.param(SHORT, [38.0] * 9, 40.0, id="misplaced, and as quick as ever"),
        pytest.param(SHORT, [6.0] * 9, None, id="nothing is known of earlier loads"),
        pytest.param(SHORT, [6.0] * 4, 40.0, id="too few answers"),
        pytest.param(SHORT, [40.0, 6.0, 40.0, 6.0, 40.0], 40.0, id="slow now and then"),
        pytest.param(LoadedBytes(8 * GIB, None, None), [6.0] * 9, 40.0, id="nothing is measured"),
    ],
)
def test_no_spill(loaded, speeds, usual):
    assert told(loaded, speeds, usual) is None


def test_a_load_in_order_teaches_what_is_usual_and_a_spilt_one_does_not():
    fine, spilt = SpeedTrack(WHOLE, 40.0), SpeedTrack(SHORT, 40.0)
    for _ in range(5):
        fine.note(50.0)
        spilt.note(5.0)
    assert fine.usual_per_s == 42.0
    assert spilt.usual_per_s == 40.0
