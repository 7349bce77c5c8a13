"""A worker that keeps dying is started ever more rarely; one that lived well, at once again."""

from hypothesis import given
from hypothesis import strategies as st

from danzar.workers.restart import (
    RestartPolicy,
    RestartState,
    backoff_s,
    on_died,
    on_started,
    wait_s,
)

POLICY = RestartPolicy(first_s=1, longest_s=8, stable_s=60)


def waits(lives_s):
    state, now_s, seen = RestartState(), 0.0, []
    for life_s in lives_s:
        now_s += wait_s(state, now_s)
        state = on_started(state, now_s)
        now_s += life_s
        state = on_died(state, POLICY, now_s)
        seen.append(wait_s(state, now_s))
    return seen


def test_waits_double_up_to_the_longest():
    assert waits([0] * 6) == [1, 2, 4, 8, 8, 8]


def test_a_stable_life_forgets_earlier_failures():
    assert waits([0, 0, 0, 61, 0]) == [1, 2, 4, 1, 2]


def test_one_that_never_started_counts_as_a_failure():
    state = on_died(on_died(RestartState(), POLICY, 5.0), POLICY, 5.0)
    assert wait_s(state, 5.0) == 2
    assert wait_s(state, 7.0) == 0


def test_a_new_worker_may_start_at_once():
    assert wait_s(RestartState(), 0.0) == 0


@given(st.integers(0, 10**9))
def test_the_wait_is_bounded_after_any_number_of_failures(failures):
    assert 0 <= backoff_s(POLICY, failures) <= POLICY.longest_s
