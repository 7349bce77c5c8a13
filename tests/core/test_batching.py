"""The batch size: what fits, what is worth it, and how rarely it changes."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from danzar.core.batch_curve import BatchCurve, BatchPoint
from danzar.core.batching import (
    BatchInputs,
    BatchRules,
    BatchState,
    Strategy,
    after_running_out,
    next_batch,
    optimal_batch,
)
from danzar.units import GIB, MIB

PX = 640 * 640


def curve(seconds_each=0.02, fixed_s=0.06, bytes_each=100 * MIB):
    """A device with a fixed cost per batch: larger batches pay, ever less."""
    points = [
        BatchPoint(b, PX, b * bytes_each, fixed_s + b * seconds_each) for b in (1, 2, 4, 8, 16)
    ]
    return BatchCurve().with_points(points)


def seen(held=8, room=10 * GIB, hard=None, **more):
    known = more.pop("curve", curve())
    return BatchInputs(
        curve=known,
        held_bytes=known.bytes_at(held),
        room_bytes=room,
        hard_room_bytes=room + GIB if hard is None and room is not None else hard,
        **more,
    )


RULES = BatchRules(latency_s=10.0)


def test_between_two_measured_batches_the_curve_is_a_line_and_beyond_the_last_it_is_no_flatter():
    known = BatchCurve().with_points(
        [BatchPoint(2, PX, 200, 1.0), BatchPoint(4, PX, 300, 1.5), BatchPoint(8, PX, 700, 3.5)]
    )
    assert known.bytes_at(3) == 250
    assert known.bytes_at(1) == 200, "below the first point its figure is the bound"
    assert known.bytes_at(16) == 1500
    assert known.bytes_at(8, PX // 2) == 300, "four whole pictures and eight halves are the same"
    assert known.seconds_at(2) == 1.0


def test_a_batch_that_once_took_more_is_booked_with_that():
    known = BatchCurve().with_points([BatchPoint(4, PX, 500, 1.0)])
    known = known.with_points([BatchPoint(4, PX, 300, 2.0)])
    assert known.bytes_at(4) == 500
    assert 1.0 < known.seconds_at(4) < 2.0, "seconds follow slowly"


def test_nothing_is_known_of_an_empty_curve():
    assert BatchCurve().bytes_at(4) is None
    assert BatchCurve().pictures_per_s(4) is None


def test_the_optimum_is_at_the_knee_and_not_as_large_as_fits():
    flat = curve(seconds_each=0.1, fixed_s=0.004)
    best = optimal_batch(flat, RULES, 10 * GIB)
    assert best.size == 2
    assert best.limit == 16
    steep = curve(seconds_each=0.01, fixed_s=1.0)
    assert optimal_batch(steep, RULES, 10 * GIB).size == 16


def test_the_optimum_fits_into_memory_and_answers_in_time():
    steep = curve(seconds_each=0.01, fixed_s=1.0)
    assert optimal_batch(steep, RULES, 500 * MIB).size == 5
    assert optimal_batch(steep, BatchRules(latency_s=1.05), 10 * GIB).size == 5
    assert optimal_batch(steep, RULES, 0).size == 1, "the smallest, where nothing fits"


@pytest.mark.parametrize(
    ("strategy", "size"),
    [
        (Strategy.CONSERVATIVE, 7),
        (Strategy.BALANCED, 10),
        (Strategy.AGGRESSIVE, 12),
    ],
)
def test_a_strategy_multiplies_the_optimum(strategy, size):
    steep = curve(seconds_each=0.0, fixed_s=1.0)
    rules = BatchRules(strategy=strategy, max_batch=16, latency_s=10.0)
    # Room for 12: the optimum without a strategy would be 12, the knee makes it 10.
    knee = BatchCurve().with_points(
        [*steep.points, BatchPoint(10, PX, 1000 * MIB, 1.0), BatchPoint(12, PX, 1200 * MIB, 1.2)]
    )
    inputs = seen(held=1, room=1100 * MIB, curve=knee)
    state, _ = next_batch(BatchState(1, 0.0), inputs, rules, 100.0)
    state, why = next_batch(state, inputs, rules, 200.0)
    assert state.size == size
    assert why


def test_aggressive_never_takes_more_than_fits():
    steep = curve(seconds_each=0.0, fixed_s=1.0)
    rules = BatchRules(strategy=Strategy.AGGRESSIVE, latency_s=10.0)
    inputs = seen(held=1, room=900 * MIB, curve=steep)
    state, _ = next_batch(BatchState(1, 0.0), inputs, rules, 100.0)
    state, _ = next_batch(state, inputs, rules, 200.0)
    assert state.size == 10


def test_adaptive_is_bold_while_requests_wait_and_careful_while_the_card_is_busy():
    steep = curve(seconds_each=0.0, fixed_s=1.0)
    rules = BatchRules(strategy=Strategy.ADAPTIVE, latency_s=10.0)

    def grown(**load):
        # The optimum is 8: 10 fit, and more than 8 gain nothing.
        flat = BatchCurve().with_points([*steep.points[:4], BatchPoint(10, PX, 1000 * MIB, 1.25)])
        inputs = seen(held=1, room=900 * MIB, curve=flat, **load)
        state, _ = next_batch(BatchState(1, 0.0), inputs, rules, 100.0)
        return next_batch(state, inputs, rules, 200.0)[0].size

    assert grown(waiting=3) == 9
    assert grown() == 8
    assert grown(utilisation_pct=97.0, waiting=3) == 5


def test_it_grows_only_after_a_minute_of_room():
    state, why = next_batch(BatchState(2, 0.0), seen(held=2), RULES, 1000.0)
    assert (state.size, why) == (2, "")
    state, _ = next_batch(state, seen(held=2), RULES, 1030.0)
    state, _ = next_batch(state, seen(held=2, room=0), RULES, 1050.0)
    state, _ = next_batch(state, seen(held=2), RULES, 1061.0)
    assert state.size == 2, "the room was gone meanwhile"
    state, _ = next_batch(state, seen(held=2), RULES, 1122.0)
    assert state.size > 2


def test_it_grows_to_what_fitted_all_that_time():
    steep = curve(seconds_each=0.0, fixed_s=1.0)
    state = BatchState(2, 0.0)
    for now_s, room in ((1000.0, 10 * GIB), (1030.0, 300 * MIB), (1060.0, 10 * GIB)):
        state, _ = next_batch(state, seen(held=2, room=room, curve=steep), RULES, now_s)
    assert state.size == 5


def test_it_shrinks_at_once_when_memory_is_gone_and_far_enough_to_stay():
    steep = curve(seconds_each=0.0, fixed_s=1.0)
    inputs = seen(held=16, room=-700 * MIB, hard=-10 * MIB, curve=steep)
    state, why = next_batch(BatchState(16, 999.0), inputs, RULES, 1000.0)
    assert state.size == 9, "as far as fits beside the reserve, not just out of danger"
    assert "room for 9" in why


def test_a_reserve_that_is_touched_waits_for_the_minute():
    steep = curve(seconds_each=0.0, fixed_s=1.0)
    inputs = seen(held=16, room=-200 * MIB, hard=300 * MIB, curve=steep)
    state, _ = next_batch(BatchState(16, 990.0), inputs, RULES, 1000.0)
    assert state.size == 16
    state, _ = next_batch(state, inputs, RULES, 1051.0)
    assert state.size == 14
    easing, _ = next_batch(BatchState(16, 0.0), inputs, RULES, 1000.0)
    assert easing.size == 16, "a moment's loss is none"


def test_a_full_card_has_the_smallest_batch_at_once():
    inputs = seen(held=16, room=10 * GIB, used_share=0.96)
    state, why = next_batch(BatchState(16, 999.0), inputs, RULES, 1000.0)
    assert state.size == 1
    assert "96%" in why


def test_above_the_warning_share_it_grows_half_as_fast():
    state = BatchState(2, 0.0)
    for now_s in (1000.0, 1061.0, 1119.0):
        state, _ = next_batch(state, seen(held=2, used_share=0.85), RULES, now_s)
    assert state.size == 2
    state, _ = next_batch(state, seen(held=2, used_share=0.85), RULES, 1121.0)
    assert state.size > 2


def test_unknown_memory_changes_nothing():
    inputs = seen(held=2, room=None)
    state, why = next_batch(BatchState(2, 0.0), inputs, RULES, 1000.0)
    assert (state.size, why) == (2, "")


def test_a_hot_card_computes_less_until_it_has_cooled_down_by_the_gap():
    state, sizes = BatchState(16, 0.0), []
    steep = curve(seconds_each=0.0, fixed_s=1.0)
    heats = [79.0] * 10 + [81.0] * 130 + [78.0] * 130 + [74.0] * 400
    for now_s, heat_c in enumerate(heats, start=1000):
        inputs = seen(held=state.size, curve=steep, temperature_c=heat_c)
        state, why = next_batch(state, inputs, RULES, float(now_s))
        if why:
            sizes.append((now_s - 1000, state.size))
    assert sizes[:3] == [(10, 8), (70, 4), (130, 2)], "at once, then once a minute"
    assert all(at >= 270 for at, _ in sizes[3:]), "78 degrees is not cool yet"
    assert state.size == 16


def test_after_running_out_that_size_is_not_tried_again_for_a_while():
    steep = curve(seconds_each=0.0, fixed_s=1.0)
    state = after_running_out(BatchState(8, 0.0), RULES, 1000.0, 1600.0)
    assert state.size == 4
    for now_s in range(1000, 1600, 10):
        state, _ = next_batch(state, seen(held=4, curve=steep), RULES, float(now_s))
    assert state.size == 4
    for now_s in range(1600, 1800, 10):
        state, _ = next_batch(state, seen(held=4, curve=steep), RULES, float(now_s))
    assert state.size == 16
    assert after_running_out(BatchState(1, 0.0), RULES, 0.0, 600.0) is None


def test_what_a_person_set_holds_at_once_but_memory_goes_first():
    steep = curve(seconds_each=0.0, fixed_s=1.0)
    inputs = seen(held=2, room=400 * MIB, curve=steep, fixed_size=12)
    state, _ = next_batch(BatchState(2, 999.0), inputs, RULES, 1000.0)
    assert state.size == 6
    inputs = seen(held=6, curve=steep, fixed_size=3)
    state, why = next_batch(state, inputs, RULES, 1001.0)
    assert (state.size, why) == (3, "set by a person")


@given(
    steps=st.lists(st.integers(-600, 600), min_size=60, max_size=240),
    strategy=st.sampled_from(Strategy),
)
@settings(max_examples=30)
def test_a_wandering_headroom_never_gets_a_batch_that_does_not_fit(steps, strategy):
    """Whatever the room does, a chosen batch fits into it, and calm changes keep their distance."""
    rules = BatchRules(strategy=strategy, latency_s=10.0)
    known = curve(seconds_each=0.001, fixed_s=0.1)
    state, free, calm = BatchState(4, 0.0), 3 * GIB, []
    for now_s, step in enumerate(steps, start=100):
        free = min(8 * GIB, max(0, free + step * MIB))
        hard = free - known.bytes_at(state.size)
        inputs = BatchInputs(
            curve=known,
            held_bytes=known.bytes_at(state.size),
            room_bytes=hard - GIB,
            hard_room_bytes=hard,
        )
        state, why = next_batch(state, inputs, rules, float(now_s))
        assert state.size == 1 or known.bytes_at(state.size) <= free
        if why and hard >= 0:
            calm.append(now_s)
    gaps = [b - a for a, b in itertools.pairwise(calm)]
    assert all(gap >= rules.interval_s for gap in gaps)


def test_noise_around_a_size_does_not_change_it():
    noise = random.Random(1)
    state, changes = BatchState(4, 0.0), 0
    steep = curve(seconds_each=0.0, fixed_s=1.0)
    for now_s in range(100, 3700):
        room = round(noise.gauss(250, 60)) * MIB
        inputs = seen(held=state.size, curve=steep, room=room - (state.size - 4) * 100 * MIB)
        state, why = next_batch(state, inputs, RULES, float(now_s))
        changes += bool(why)
    assert changes <= 6
