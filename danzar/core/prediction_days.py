"""At which times of day a model is used, day by day. Pure.

Each day is one number whose bits are its slots of ``SLOT_S``: a bit is set where the model was
used. ``KEEP_DAYS`` of them are kept, so that all of it is a few kilobytes. Nothing but times of use
is known here.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

SLOT_S = 300
DAY_S = 86_400
KEEP_DAYS = 28
_SLOTS = DAY_S // SLOT_S
_DAYS_OF_WEEK = 7
_WEEKEND = (5, 6)
# A day of this age counts half.
_HALF_LIFE_DAYS = 10.0
# A working day says this much about a day off, and the other way round.
_OTHER_KIND = 0.35
# A day whose last hour was not like today's last hour says this much about today.
_OTHER_MOOD = 0.35
# The average over all times of day counts as this many days.
_PRIOR_DAYS = 1.0
# Of a window, this share must have been observed on a day that counts.
_OBSERVED_SHARE = 0.5
_MOOD_S = 3600


@dataclass(frozen=True, slots=True)
class DayShare:
    """On how many of the days that were observed there was a use in a window.

    Attributes:
        used: Days with a use, not weighted.
        days: Days that were observed, not weighted.
        probability: The weighted share with the average as prior, 0 to 1.
    """

    used: int
    days: int
    probability: float


@dataclass(frozen=True, slots=True)
class Mood:
    """What a day was like in the hour before a time of day: whether any model was used.

    Attributes:
        anyone: When any model was used.
        local_s: The time at which it is asked.
    """

    anyone: "DaySlots"
    local_s: float

    def is_like(self, age_days: int) -> bool:
        """Whether the day of that age was like today."""
        there_s = self.local_s - age_days * DAY_S
        return _is_busy(self.anyone, there_s) == _is_busy(self.anyone, self.local_s)


@dataclass(slots=True)
class DaySlots:
    """Slots of days in which something was so; the newest ``KEEP_DAYS``.

    Attributes:
        days: By day (counted from 1970 in local time): the slots as bits.
    """

    days: dict[int, int] = field(default_factory=dict)

    def note(self, local_s: float) -> bool:
        """It was so now; whether that is new."""
        day, slot = _split(local_s)
        before = self.days.get(day, 0)
        self.days[day] = before | 1 << slot
        for old in [d for d in self.days if d <= day - KEEP_DAYS]:
            del self.days[old]
        return self.days[day] != before

    def count(self, local_s: float, window_s: float) -> int:
        """In how many slots it was so, of those that begin with the one at ``local_s``."""
        day, slot = _split(local_s)
        length = max(1, math.ceil(window_s / SLOT_S))
        found = 0
        while length > 0:
            here = min(length, _SLOTS - slot)
            found += (self.days.get(day, 0) >> slot & (1 << here) - 1).bit_count()
            length, day, slot = length - here, day + 1, 0
        return found

    @property
    def total(self) -> int:
        """All slots in which it was so."""
        return sum(bits.bit_count() for bits in self.days.values())


def share_of_days(
    used: DaySlots, observed: DaySlots, mood: Mood, local_s: float, window_s: float
) -> DayShare:
    """How likely a use is in a window, from what earlier days were like.

    Args:
        used: When the model was used.
        observed: When Danzar ran.
        mood: Days whose last hour was like today's count most.
        local_s: When the window begins, seconds since 1970 in local time.
        window_s: How far to look.
    """
    today, _ = _split(local_s)
    slots = max(1, math.ceil(window_s / SLOT_S))
    hits = days = 0
    hit_weight, weight = _PRIOR_DAYS * _average(used, observed, slots), _PRIOR_DAYS
    for age, there_s in _same_times(observed.days, today, local_s):
        if observed.count(there_s, window_s) < _OBSERVED_SHARE * slots:
            continue
        likeness = 0.5 ** (age / _HALF_LIFE_DAYS)
        likeness *= 1.0 if _is_weekend(today - age) == _is_weekend(today) else _OTHER_KIND
        likeness *= 1.0 if mood.is_like(age) else _OTHER_MOOD
        hit = used.count(there_s, window_s) > 0
        days, hits = days + 1, hits + hit
        weight, hit_weight = weight + likeness, hit_weight + likeness * hit
    return DayShare(hits, days, hit_weight / weight)


def _same_times(days: Mapping[int, int], today: int, local_s: float) -> Iterator[tuple[int, float]]:
    """``(age in days, the same time of that day)``; today itself is not over."""
    for day in days:
        if day < today:
            yield today - day, local_s - (today - day) * DAY_S


def _average(used: DaySlots, observed: DaySlots, slots: int) -> float:
    """How likely a use is in any window of that many slots, were uses spread at random."""
    return -math.expm1(-slots * used.total / max(1, observed.total))


def _is_busy(anyone: DaySlots, local_s: float) -> bool:
    return anyone.count(local_s - _MOOD_S, _MOOD_S) > 0


def _is_weekend(day: int) -> bool:
    # 1970 began with a Thursday.
    return (day + 3) % _DAYS_OF_WEEK in _WEEKEND


def _split(local_s: float) -> tuple[int, int]:
    day, rest = divmod(local_s, DAY_S)
    return int(day), int(rest // SLOT_S)
