import pytest
from hypothesis import given
from hypothesis import strategies as st

from danzar.core.pressure import Level, Pressure, PressureRules, next_pressure
from danzar.units import GIB

RULES = PressureRules(warning_pct=90.0, clear_pct=85.0, low_free_bytes=1 * GIB)
TOTAL = 100 * GIB


def follow(frees_gib: list[float | None], rules: PressureRules = RULES) -> list[Pressure]:
    states: list[Pressure] = []
    for at_s, free in enumerate(frees_gib):
        free_bytes = None if free is None else round(free * GIB)
        before = states[-1] if states else None
        states.append(next_pressure(before, free_bytes, TOTAL, rules, float(at_s)))
    return states


@pytest.mark.parametrize(
    ("free_gib", "level"),
    [
        pytest.param(50, Level.NORMAL, id="half full"),
        pytest.param(10, Level.NORMAL, id="exactly on the warning is not above it"),
        pytest.param(9.9, Level.WARNING, id="above the warning"),
        pytest.param(1, Level.WARNING, id="exactly the low limit"),
        pytest.param(0.9, Level.CRITICAL, id="below the low limit"),
        pytest.param(None, Level.NORMAL, id="unknown is no pressure"),
    ],
)
def test_a_first_measurement_gives_its_level(free_gib, level):
    assert follow([free_gib])[-1].level is level


def test_a_warning_lasts_until_use_is_below_the_clear_mark():
    states = follow([5, 12, 15, 15.1])
    levels = [s.level for s in states]
    assert levels == [Level.WARNING, Level.WARNING, Level.WARNING, Level.NORMAL]
    assert states[2].since_s == 0.0
    assert states[2].lasted_s(2.0) == 2.0
    assert states[3].since_s == 3.0


def test_critical_eases_only_past_the_gap():
    levels = [s.level for s in follow([0.5, 1.5, 5.9, 6.0])]
    assert levels == [Level.CRITICAL, Level.CRITICAL, Level.CRITICAL, Level.WARNING]


def test_the_peak_is_kept_until_all_is_clear():
    peaks = [s.peak_pct for s in follow([5, 3, 8, 50])]
    assert peaks == [95.0, 97.0, 97.0, None]


def test_an_unknown_figure_changes_nothing():
    states = follow([5, None, None])
    assert states[1] is states[0]
    assert states[2] is states[0]


def test_a_device_smaller_than_the_low_limit_is_judged_by_its_share():
    small = PressureRules(90.0, 85.0, 200 * GIB)
    assert follow([50], small)[-1].level is Level.NORMAL
    assert follow([5], small)[-1].level is Level.WARNING


@given(st.lists(st.floats(10, 15), min_size=2, max_size=30))
def test_inside_the_gap_the_level_never_changes(frees):
    for start in (5.0, 50.0):
        states = follow([start, *frees])
        assert {s.level for s in states} == {states[0].level}


@given(st.lists(st.none() | st.floats(0, 100), max_size=30))
def test_a_level_is_never_newer_than_now_and_its_peak_is_a_share(frees):
    for at_s, state in enumerate(follow(frees)):
        assert 0 <= state.since_s <= at_s
        assert state.peak_pct is None or 0 <= state.peak_pct <= 100
        assert (state.peak_pct is None) is (state.level is Level.NORMAL)


SEED_LEVELS = PressureRules(75.0, 70.0, 0, critical_pct=85.0, oom_pct=95.0, hold_s=2.0)


def levels_over(used_pcts, rules=SEED_LEVELS):
    pressure, seen = None, []
    for second, used_pct in enumerate(used_pcts):
        free = round(GIB * (100 - used_pct))
        pressure = next_pressure(pressure, free, 100 * GIB, rules, float(second))
        seen.append(pressure.level)
    return seen


@pytest.mark.parametrize(
    ("used_pct", "level"),
    [
        pytest.param(75.0, Level.NORMAL, id="on the mark is not above it"),
        pytest.param(80.0, Level.WARNING, id="warning"),
        pytest.param(90.0, Level.CRITICAL, id="critical"),
        pytest.param(96.0, Level.OOM, id="out of memory"),
    ],
)
def test_each_mark_is_a_level_once_it_has_lasted(used_pct, level):
    assert levels_over([used_pct] * 3)[-1] is level


def test_a_spike_that_is_shorter_than_the_hold_is_no_level():
    assert set(levels_over([50, 96, 96, 50, 96, 96, 50])) == {Level.NORMAL}


def test_a_level_is_left_only_once_the_use_is_past_its_mark_by_the_gap():
    seen = levels_over([90, 90, 90, 82, 79, 72, 69])
    assert seen[2:] == [
        Level.CRITICAL,
        Level.CRITICAL,
        Level.WARNING,
        Level.WARNING,
        Level.NORMAL,
    ]
