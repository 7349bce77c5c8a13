from hypothesis import given
from hypothesis import strategies as st

from danzar.workers.awake_clock import AwakeClock

GAPS = st.lists(st.floats(0, 1000))


class Time:
    """Where it is, moved by the test."""

    at_s = 100.0

    def now_s(self) -> float:
        return self.at_s


def test_a_time_in_which_nobody_looked_counts_as_the_longest():
    time = Time()
    clock = AwakeClock(time.now_s, longest_s=6.0)
    time.at_s += 5.0
    assert clock.now_s() == 5.0
    time.at_s += 3600.0  # the machine slept
    assert clock.now_s() == 11.0
    assert clock.now_s() == 11.0


@given(GAPS)
def test_it_never_goes_back_nor_faster_than_time(gaps):
    time = Time()
    clock = AwakeClock(time.now_s, longest_s=6.0)
    for gap_s in gaps:
        before_s = clock.now_s()
        time.at_s += gap_s
        assert 0.0 <= clock.now_s() - before_s <= min(gap_s, 6.0) + 1e-6
