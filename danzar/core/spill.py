"""A driver that moves GPU memory to host RAM without a word: a model that is slow since its load.

The driver of Windows does that rather than fail (sysmem fallback): the load seems to fit, and every
answer crosses the bus. Slow alone is no proof, for a game slows a model too; so both must be seen:
answers at less than ``slow_share`` of the model's own usual speed on that kind of card, and memory
that is not where it was booked (the device has less of it, or host RAM grew by part of it). Pure.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from danzar.units import format_size


@dataclass(frozen=True, slots=True)
class SpillRules:
    """What counts as a spill.

    Attributes:
        slow_share: Of the usual speed: slower than this is suspicious.
        answers: So many since the load must be that slow, by their median.
        short_share: Of the booked bytes: a device that shows less lacks some.
        grown_share: Of the booked bytes: so much more host RAM in use is the rest of them.
    """

    slow_share: float = 0.4
    answers: int = 5
    short_share: float = 0.9
    grown_share: float = 0.1


@dataclass(frozen=True, slots=True)
class LoadedBytes:
    """Where a load's bytes went. ``None`` is unknown.

    Attributes:
        booked_bytes: On its devices, as planned.
        device_bytes: On its devices, as the driver shows.
        host_grown_bytes: By how much host RAM in use grew more than was planned.
    """

    booked_bytes: int
    device_bytes: int | None
    host_grown_bytes: int | None


class SpeedTrack:
    """The answers of one load of a model, against those of the loads before."""

    def __init__(
        self, loaded: LoadedBytes, usual_per_s: float | None, rules: SpillRules | None = None
    ) -> None:
        """Begin with a load.

        Args:
            loaded: Where its bytes went.
            usual_per_s: What the model usually does in a second; ``None`` where that is not known.
            rules: What counts as a spill; ``None`` takes the defaults.
        """
        self._loaded = loaded
        self._usual_per_s = usual_per_s
        self._rules = rules or SpillRules()
        self._speeds: deque[float] = deque(maxlen=self._rules.answers)

    @property
    def usual_per_s(self) -> float | None:
        """What is usual after this load; a spilt load teaches nothing."""
        if len(self._speeds) < self._rules.answers or self.spill is not None:
            return self._usual_per_s
        return usual_speed((median(self._speeds),), self._usual_per_s)

    def note(self, per_s: float) -> str | None:
        """One more answer; the spill with its numbers, where there is one."""
        self._speeds.append(per_s)
        return self.spill

    @property
    def spill(self) -> str | None:
        """The spill with its numbers; ``None`` where there is none."""
        where = _misplaced(self._loaded, self._rules)
        if self._usual_per_s is None or where is None or len(self._speeds) < self._rules.answers:
            return None
        now_per_s = median(self._speeds)
        if now_per_s >= self._usual_per_s * self._rules.slow_share:
            return None
        return (
            f"it does {now_per_s:.1f} a second instead of {self._usual_per_s:.1f}, and {where}: "
            "the driver moved part of it to host RAM"
        )


def usual_speed(speeds: Iterable[float], before: float | None) -> float | None:
    """What is usual after these: follows slowly."""
    for per_s in speeds:
        before = per_s if before is None else before + 0.2 * (per_s - before)
    return before


def _misplaced(loaded: LoadedBytes, rules: SpillRules) -> str | None:
    booked = loaded.booked_bytes
    if loaded.device_bytes is not None and loaded.device_bytes < booked * rules.short_share:
        shown, planned = format_size(loaded.device_bytes), format_size(booked)
        return f"the device shows {shown} of the {planned} that were booked"
    grown = loaded.host_grown_bytes
    if grown is not None and grown > booked * rules.grown_share:
        return f"host RAM grew by {format_size(grown)} more than planned"
    return None
