"""Who is next, and what becomes of a job that failed: checked over all that may come."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from danzar.errors import (
    BadInput,
    CannotPlace,
    ModelRefused,
    OutOfMemory,
    QueueFull,
    WorkerDied,
    WorkerHung,
    WorkerStartFailed,
)
from danzar.jobs.contract import JobState
from danzar.jobs.order import (
    LONGEST_DELAY_S,
    UNMEASURED_RETRY_S,
    GiveUp,
    Tries,
    TryAgain,
    after_failure,
    retry_after_s,
    score,
    too_often,
)
from danzar.jobs.record import new_id

TIMES = st.floats(1.6e9, 2.0e9)
PRIORITIES = st.integers(-100, 100)
STEPS = st.floats(0.1, 1000)


@given(TIMES, TIMES, PRIORITIES, STEPS)
def test_of_one_priority_the_older_goes_first(a, b, priority, step):
    if a < b:
        assert score(a, priority, step) <= score(b, priority, step)


@given(TIMES, PRIORITIES, PRIORITIES, STEPS)
def test_of_one_moment_the_more_urgent_goes_first(at, low, high, step):
    if low < high:
        assert score(at, high, step) <= score(at, low, step)


@given(TIMES, STEPS)
def test_no_job_is_passed_for_ever(at, step):
    """After its bound of waiting, even the most urgent new job stands behind the least urgent."""
    bound_s = 200 * step
    assert score(at, -100, step) < score(at + bound_s + 1.0, 100, step)


TRIES = st.builds(
    Tries,
    attempt=st.integers(1, 100),
    max_attempts=st.integers(1, 100),
    waited_s=st.floats(0, 1e6),
    retry_delay_s=st.floats(0, 100),
    place_wait_s=st.floats(0, 1e5),
)


@given(TRIES, st.sampled_from([WorkerDied, WorkerHung, WorkerStartFailed, OutOfMemory]))
def test_what_may_get_better_is_tried_until_the_attempts_are_used(tries, kind):
    outcome = after_failure(kind("It broke."), tries)
    if tries.attempt < tries.max_attempts:
        assert isinstance(outcome, TryAgain)
        assert outcome.counts
        assert 0 <= outcome.delay_s <= LONGEST_DELAY_S
    else:
        assert isinstance(outcome, GiveUp)
        assert outcome.reason.startswith("It broke.")


@given(TRIES, st.sampled_from([CannotPlace, QueueFull]))
def test_for_room_a_job_waits_as_long_as_it_may_and_no_attempt_is_lost(tries, kind):
    outcome = after_failure(kind("No room."), tries)
    if tries.waited_s < tries.place_wait_s:
        assert isinstance(outcome, TryAgain)
        assert not outcome.counts
        assert outcome.delay_s <= LONGEST_DELAY_S
    else:
        assert outcome == GiveUp("No room.")


@given(TRIES, st.sampled_from([BadInput, ModelRefused]))
def test_what_can_not_get_better_is_given_up(tries, kind):
    assert after_failure(kind("No."), tries) == GiveUp("No.")


def test_an_error_of_ours_is_not_shown_to_the_owner():
    outcome = after_failure(KeyError("secret"), Tries(1, 3, 0.0, 1.0, 1.0))
    assert outcome == GiveUp("It failed by a fault of Danzar.")


def test_delays_double():
    delays = [
        after_failure(WorkerDied(""), Tries(n, 99, 0.0, 2.0, 1.0)).delay_s for n in (1, 2, 3, 9)
    ]
    assert delays == [2.0, 4.0, 8.0, LONGEST_DELAY_S]


@pytest.mark.parametrize(
    ("attempt", "most", "told"), [(1, 1, None), (2, 1, "once"), (3, 3, None), (4, 3, "3 times")]
)
def test_a_job_is_started_as_often_as_it_may_be(attempt, most, told):
    reason = too_often(attempt, most)
    assert reason is None if told is None else told in reason


@given(st.none() | st.floats(0, 1e9), st.integers(0, 1000))
def test_the_time_to_try_again_is_sane(mean_s, running):
    again_s = retry_after_s(mean_s, running)
    assert math.isfinite(again_s)
    assert 1.0 <= again_s <= 3600.0


def test_the_time_to_try_again_is_when_the_next_job_should_be_taken():
    assert retry_after_s(60.0, 4) == 15.0
    assert retry_after_s(None, 4) == UNMEASURED_RETRY_S


def test_ids_are_unique_and_in_order_of_time():
    ids = [new_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert all(len(i) == 31 for i in ids)
    times = [i[:11] for i in ids]
    assert times == sorted(times)


@pytest.mark.parametrize("state", JobState)
def test_final_states_are_three(state):
    assert state.ended == (state.value in {"completed", "failed", "cancelled"})
