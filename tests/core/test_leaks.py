"""Leaks are found, and what only looks like one is none."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.memory_traces import LeakPlan, trace
from danzar.core.leaks import LeakTrack

MB = 1_000_000
NOTHING = frozenset[str]()
MODEL = frozenset({"yolo", "yolo@8"})


def minutes_until_found(samples, from_s):
    track = LeakTrack()
    for sample in samples:
        if track.add(sample.at_s, sample.used_bytes, sample.hosts) and sample.at_s > from_s:
            return (sample.at_s - from_s) / 60
    return None


def follow(levels, *, step_s=5, hosts=MODEL):
    track = LeakTrack()
    return any(track.add(n * step_s, level, hosts) for n, level in enumerate(levels))


def test_fifty_megabytes_a_minute_are_found_within_ten_nearly_whatever_else_happens():
    """A large step down or a batch change in just these minutes hides a leak a little longer."""
    plan = LeakPlan(50 * MB, 3600.0)
    found = [
        minutes_until_found(trace(seed, hours=1.5, leak=plan), 3600.0) or 99 for seed in range(20)
    ]
    assert sum(minutes <= 10 for minutes in found) >= 18
    assert max(found) <= 15


def test_leaks_under_sawteeth_of_any_height_and_period_are_found_but_for_one_in_a_hundred():
    noise = random.Random(7)
    missed = sum(not is_found_in_ten_minutes(noise) for _ in range(200))
    # A tooth that is nearly as long as the readings are apart looks like a wave of minutes.
    assert missed <= 3


def is_found_in_ten_minutes(noise):
    base, height = noise.randint(100, 4000), noise.randint(0, 200)
    period_s, start_s = noise.uniform(5, 60), noise.uniform(0, 300)

    def level(at_s):
        leaked = max(0.0, at_s - start_s) * 50 / 60
        return round((base + leaked + height * ((at_s / period_s) % 1)) * MB)

    return follow([level(n * 5) for n in range(int(start_s) // 5 + 120)])


@given(
    steps=st.lists(st.tuples(st.integers(0, 700), st.integers(-300, 300)), max_size=4),
    seed=st.integers(0, 99),
)
@settings(max_examples=25)
def test_a_few_steps_in_an_hour_are_no_leak(steps, seed):
    noise = random.Random(seed)

    def level(number):
        moved = sum(size for at, size in steps if at <= number)
        return round((2000 + moved + noise.gauss(0, 5)) * MB)

    assert not follow([level(n) for n in range(720)])


def test_a_slow_leak_is_found_later():
    plan = LeakPlan(10 * MB, 0.0)
    found = minutes_until_found(trace(3, hours=4, leak=plan), 0.0)
    assert found is not None
    assert 15 < found < 120


@pytest.mark.parametrize("seed", [3, 4])
def test_a_day_of_loads_batches_steps_and_sawteeth_raises_no_alarm(seed):
    assert minutes_until_found(trace(seed), -1.0) is None


def test_what_a_load_takes_is_no_leak_and_what_an_unload_leaves_behind_is_one():
    """A model that comes and goes each two minutes, and returns 100 MB less than it took."""

    def run(left_behind):
        track, at_s, kept, found = LeakTrack(), 0.0, 0, False
        for _ in range(160):
            for hosts, size in ((NOTHING, 0), (frozenset({"m"}), 800 * MB)):
                for _ in range(36):
                    found |= track.add(at_s, 1000 * MB + kept + size, hosts) is not None
                    at_s += 5
            kept += left_behind
        return found

    assert not run(0)
    assert run(100 * MB)


def test_a_leak_that_ends_is_over_after_its_window():
    track = LeakTrack()
    levels = [1000 + 5 * n for n in range(200)] + [2000] * 200
    seen = [track.add(n * 5, level * MB, MODEL) for n, level in enumerate(levels)]
    assert seen[199] is not None
    assert 50 < seen[199].bytes_per_min / MB < 70
    assert seen[-1] is None
