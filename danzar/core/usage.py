"""How often a model is wanted, and how long it takes: what eviction by cost goes by. Pure.

The chance of a use within ``HORIZON_S`` is read from two records of a model's past. Its gaps: of
those between its requests that were longer than the present one, the share that ended within the
horizon; so a conversation or a stream of frames keeps its model, and loses it when it falls silent.
Its rate: each request counts 1 and fades with ``MEMORY_S``; arrivals at random (Poisson) with that
rate stand in for ``_RATE_WEIGHT`` gaps, and for all of them while there are none.
"""

import math
from bisect import bisect_right
from dataclasses import dataclass, field

from danzar.core.reload import Loads, LoadWay, Reload

MEMORY_S = 3600.0
HORIZON_S = 120.0
_RATE_WEIGHT = 2.0
# With every new gap the older ones count this much.
_GAP_FADE = 0.97
# Gaps are counted by length: each class reaches twice as far as the one before, up to 1.5 days.
_EDGES_S = (0.0, *(2.0**i for i in range(18)))
_NEW_SHARE = 0.3


@dataclass(slots=True)
class Usage:
    """One model's past. Only the scheduler changes it.

    Attributes:
        count: Uses, faded to ``counted_s``, the time of the last one.
        gaps: Gaps between uses, faded, by the class of their length.
        loads: Seconds that a load takes, for each way to load it.
        way: How its next load would go, as was last seen.
        job_s: Seconds that a job takes, averaged; ``None`` until one has ended.
    """

    count: float = 0.0
    counted_s: float = 0.0
    gaps: list[float] = field(default_factory=lambda: [0.0] * len(_EDGES_S))
    loads: Loads = field(default_factory=Loads)
    way: LoadWay = field(default_factory=LoadWay)
    job_s: float | None = None

    def note_use(self, now_s: float) -> None:
        """A request came."""
        if self.count:
            self.gaps = [n * _GAP_FADE for n in self.gaps]
            self.gaps[_class_of(now_s - self.counted_s)] += 1.0
        self.count = self._faded(now_s) + 1.0
        self.counted_s = now_s

    def note_load(self, seconds: float, way: LoadWay | None = None) -> None:
        """A load took this long; ``way`` is ``None`` where nobody said how it went."""
        self.loads.note(seconds, way)

    def note_job(self, seconds: float) -> None:
        """A job took this long."""
        self.job_s = _average(self.job_s, seconds)

    def use_probability(self, now_s: float, horizon_s: float = HORIZON_S) -> float:
        """How likely it is wanted within ``horizon_s``, 0 to 1."""
        age_s = max(0.0, now_s - self.counted_s)
        rate = self._faded(now_s) / MEMORY_S
        longer = _RATE_WEIGHT * math.exp(-rate * age_s)
        ending = longer * -math.expm1(-rate * horizon_s)
        for i in range(_class_of(age_s), len(self.gaps)):
            # Within its class, a gap is as likely to be of any length.
            begin_s, width_s = _EDGES_S[i], max(1.0, _EDGES_S[i])
            from_s, end_s = max(begin_s, age_s), begin_s + width_s
            share = self.gaps[i] / width_s
            longer += share * max(0.0, end_s - from_s)
            ending += share * max(0.0, min(end_s, age_s + horizon_s) - from_s)
        return ending / longer if longer else 0.0

    def reload(self, size_bytes: int, way: LoadWay | None = None) -> Reload:
        """What loading it again is expected to take; ``None``: in the way that was last seen."""
        return self.loads.expect(size_bytes, way or self.way)

    def reload_s(self, size_bytes: int, way: LoadWay | None = None) -> float:
        """The same, in seconds."""
        return self.reload(size_bytes, way).seconds

    def _faded(self, now_s: float) -> float:
        return self.count * math.exp(-max(0.0, now_s - self.counted_s) / MEMORY_S)


def _average(before: float | None, seconds: float) -> float:
    return seconds if before is None else before + _NEW_SHARE * (seconds - before)


def _class_of(gap_s: float) -> int:
    return max(0, bisect_right(_EDGES_S, gap_s) - 1)
