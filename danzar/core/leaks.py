"""Memory that grows and grows: a leak, told from sawteeth, steps, loads and batches. Pure.

A process's memory is cut into short bins, of which only the least counts: garbage that is collected
later is above it, a leak raises it. A window of bins is a leak when

- its slope (Theil-Sen: the median of the slopes between all pairs of bins) reaches the threshold,
- each of its five parts lies above the one before, by a share of what such a leak would add, and
- no three bins brought most of the rise: those are steps, as by the first use of something.

Windows of 4, 16 and 64 times the length find leaks that are as many times slower; in those there is
more time for other things to happen, so they are judged more strictly. What the process
hosts is known: a change of that is waited out, and what it then holds more is taken as the price of
what came, until that leaves again. So a load is no leak, and one that returns less than it took is.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from statistics import median

_PARTS = 5
_BINS_PER_PART = 6
_BINS = _PARTS * _BINS_PER_PART
# Of a part's bins, so many must be there: while the process changes, none are.
_LEAST_BINS = 2
# A sampled slope of exactly the threshold must be found in spite of noise.
_SLOPE_SLACK = 0.9
_STEPS = 3
# Before and after a change, the least of so many seconds is what is held.
_LEAST_OF_S = 45.0


@dataclass(frozen=True, slots=True)
class LeakRules:
    """What counts as a leak.

    Attributes:
        bytes_per_min: A leak of this rate is found within ``window_s`` and the settling time.
        window_s: The shortest window.
        scales: How many times longer, and slower, the windows are.
        settle_s: After a change of what a process hosts, and at its start, nothing is measured.
    """

    bytes_per_min: float = 50e6
    window_s: float = 450.0
    scales: tuple[int, ...] = (1, 4, 16, 64)
    settle_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Leak:
    """A sustained rise that nothing explains.

    Attributes:
        rise_bytes: From the window's first part to its last.
    """

    bytes_per_min: float
    rise_bytes: int
    window_s: float


@dataclass(frozen=True, slots=True)
class _Proof:
    """What a window must show, chosen on traces (``benchmarks.leaks``, seeds below 2000).

    Attributes:
        part: Of what a leak would add in a part: as much each part must lie above the last.
        steps: Of the rise: the most that the three largest steps may have brought.
    """

    part: float
    steps: float


_SHORT, _LONG = _Proof(0.35, 0.7), _Proof(0.5, 0.4)


class _Window:
    """The least of each bin, of one length of bins, and what the last of them show."""

    def __init__(self, bin_s: float, bytes_per_min: float, proof: _Proof) -> None:
        self._proof = proof
        self.leak: Leak | None = None
        self._bin_s = bin_s
        self._bytes_per_s = bytes_per_min / 60
        self._number: int | None = None
        self._least = 0.0
        self._bins: deque[tuple[int, float]] = deque(maxlen=_BINS)

    def add(self, now_s: float, used_bytes: float) -> None:
        """One sample; judged anew whenever it begins a bin."""
        number = int(now_s // self._bin_s)
        if number == self._number:
            self._least = min(self._least, used_bytes)
            return
        if self._number is not None:
            self._bins.append((self._number, self._least))
            self.leak = self._judge()
        self._number, self._least = number, used_bytes

    def _judge(self) -> Leak | None:
        newest, oldest = self._bins[-1], self._bins[0]
        if newest[1] <= oldest[1]:  # the quick answer of nearly all windows
            return None
        begin = newest[0] - _BINS + 1
        rows = [(number - begin, level) for number, level in self._bins if number >= begin]
        parts = [[y for x, y in rows if x // _BINS_PER_PART == part] for part in range(_PARTS)]
        if any(len(part) < _LEAST_BINS for part in parts):
            return None
        lowest = [min(part) for part in parts]
        expected = self._bytes_per_s * self._bin_s * _BINS_PER_PART
        if any(b - a < expected * self._proof.part for a, b in pairwise(lowest)):
            return None
        rise = lowest[-1] - lowest[0]
        if _largest_steps([y for _, y in rows]) > rise * self._proof.steps:
            return None
        slope = _theil_sen(rows) / self._bin_s
        if slope < self._bytes_per_s * _SLOPE_SLACK:
            return None
        return Leak(slope * 60, round(rise), self._bin_s * _BINS)


class LeakTrack:
    """One process's memory of one kind over time; of bounded size."""

    def __init__(self, rules: LeakRules | None = None) -> None:
        """Know nothing yet."""
        self._rules = rules = rules or LeakRules()
        self._windows = [
            _Window(
                rules.window_s * k / _BINS, rules.bytes_per_min / k, _SHORT if k == 1 else _LONG
            )
            for k in rules.scales
        ]
        self._hosts: frozenset[str] | None = None
        self._before: frozenset[str] = frozenset()
        self._began_s = self._changed_s = 0.0
        self._waited_s = 0.0
        self._settled = True
        self._price: dict[str, float] = {}
        self._recent: deque[tuple[float, float]] = deque()
        self._after: list[int] = []

    @property
    def leak(self) -> Leak | None:
        """What is leaking now, as the shortest window shows it; ``None`` where nothing is."""
        return next((w.leak for w in self._windows if w.leak is not None), None)

    def add(self, now_s: float, used_bytes: int, hosts: frozenset[str]) -> Leak | None:
        """One sample; the leak, if there is one now.

        Args:
            now_s: Monotonic seconds.
            used_bytes: What the process holds.
            hosts: What it hosts, batches included (``yolo``, ``yolo@8``): what explains memory.
        """
        if hosts != self._hosts:
            self._begin_change(now_s, hosts)
        if self._settled:
            level = used_bytes - sum(self._price.values())
            self._recent.append((now_s, level))
            while self._recent[0][0] < now_s - _LEAST_OF_S:
                self._recent.popleft()
            for window in self._windows:
                window.add(now_s - self._waited_s, level)
        elif now_s >= self._changed_s + self._rules.settle_s:
            self._after.append(used_bytes)
            if now_s >= self._changed_s + self._rules.settle_s + _LEAST_OF_S:
                self._end_change(now_s)
        return self.leak

    def _begin_change(self, now_s: float, hosts: frozenset[str]) -> None:
        if self._settled:
            self._before, self._began_s = self._hosts or frozenset(), now_s
        self._settled = False
        self._hosts, self._changed_s = hosts, now_s
        self._after = []

    def _end_change(self, now_s: float) -> None:
        """What is held more than before is the price of what came; what left took its own along."""
        self._settled = True
        # A leak that goes on meanwhile counts as price: for the windows, no time has passed.
        self._waited_s += now_s - self._began_s
        hosts = self._hosts or frozenset()
        for name in self._before - hosts:
            self._price.pop(name, None)
        came = sorted(hosts - self._before)
        if came and self._recent:
            level = min(level for _, level in self._recent)
            more = min(self._after) - sum(self._price.values()) - level
            self._price.update({name: more / len(came) for name in came})
        self._recent.clear()


def _theil_sen(points: Sequence[tuple[int, float]]) -> float:
    """The median slope between all pairs."""
    pairs = combinations(points, 2)
    return median((y1 - y0) / (x1 - x0) for (x0, y0), (x1, y1) in pairs)


def _largest_steps(levels: Sequence[float]) -> float:
    """How much the few largest rises brought together, of what stayed for a whole part."""
    span = range(len(levels) - _BINS_PER_PART + 1)
    levels = [min(levels[i : i + _BINS_PER_PART]) for i in span]
    return sum(sorted(b - a for a, b in pairwise(levels))[-_STEPS:])
