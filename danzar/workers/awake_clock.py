"""A clock for judging whether others are silent, which leaves out the times when nobody could hear.

A machine that slept (on Windows the monotonic clock counts that), a frozen virtual machine, a
process that was stopped: afterwards everybody seems to have been silent for all that time.
"""

from collections.abc import Callable


class AwakeClock:
    """Seconds; a longer time than ``longest_s`` between two looks counts as ``longest_s``.

    So whoever needs it right looks more often than that.
    """

    def __init__(self, now_s: Callable[[], float], *, longest_s: float) -> None:
        """Begin at 0. ``now_s`` never goes back."""
        self._now_s = now_s
        self._longest_s = longest_s
        self._looked_at_s = now_s()
        self._awake_s = 0.0

    def now_s(self) -> float:
        """Look."""
        before_s, self._looked_at_s = self._looked_at_s, self._now_s()
        self._awake_s += min(self._looked_at_s - before_s, self._longest_s)
        return self._awake_s
