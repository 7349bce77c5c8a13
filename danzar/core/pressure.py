"""How full a device is, as a level that does not flicker. Pure.

normal -> warning   above ``warning_pct``
       -> critical  above ``critical_pct``, or below ``low_free_bytes`` free
       -> oom       above ``oom_pct``
A level is entered when the figure has been beyond its mark for ``hold_s``. It is left only when the
figure has moved back past the mark by the gap between ``warning_pct`` and ``clear_pct``. Unknown
figures leave the level as it was.
"""

from dataclasses import dataclass, replace
from enum import IntEnum


class Level(IntEnum):
    """Ordered: a higher level is worse."""

    NORMAL = 0
    WARNING = 1
    CRITICAL = 2
    OOM = 3


@dataclass(frozen=True, slots=True)
class PressureRules:
    """When a device is called full.

    Attributes:
        warning_pct: Warn above this memory use.
        clear_pct: All clear below this; at most ``warning_pct``.
        low_free_bytes: Critical below this much free memory.
        critical_pct: Critical above this memory use; ``None`` goes by ``low_free_bytes`` alone.
        oom_pct: The next allocation will fail above this memory use; ``None`` for no such level.
        hold_s: How long a figure must be beyond a mark to count.
    """

    warning_pct: float
    clear_pct: float
    low_free_bytes: int
    critical_pct: float | None = None
    oom_pct: float | None = None
    hold_s: float = 0.0

    @property
    def gap_pct(self) -> float:
        """How far a figure must move back past a mark."""
        return max(0.0, self.warning_pct - self.clear_pct)


@dataclass(frozen=True, slots=True)
class Pressure:
    """A device's level and how long it has lasted.

    Attributes:
        since_s: Monotonic seconds at which the level was entered.
        peak_pct: Highest memory use since the device was last normal; ``None`` while normal.
        rising_since_s: Since when the figures ask for a higher level; ``None`` if they do not.
    """

    level: Level
    since_s: float
    peak_pct: float | None = None
    rising_since_s: float | None = None

    def lasted_s(self, now_s: float) -> float:
        """Seconds in this level."""
        return max(0.0, now_s - self.since_s)


def next_pressure(
    before: Pressure | None,
    free_bytes: int | None,
    total_bytes: int,
    rules: PressureRules,
    now_s: float,
) -> Pressure:
    """The pressure after one more measurement."""
    current = before or Pressure(Level.NORMAL, now_s)
    if free_bytes is None or total_bytes <= 0:
        return current
    used_pct = 100 * (total_bytes - free_bytes) / total_bytes
    wanted = _level(current.level, used_pct, free_bytes, total_bytes, rules)
    rising_since_s = _rising_since(current, wanted, now_s)
    held = rising_since_s is None or now_s - rising_since_s >= rules.hold_s
    level = wanted if held else current.level
    peak_pct = None if level is Level.NORMAL else max(current.peak_pct or 0.0, used_pct)
    if level is current.level:
        return replace(current, peak_pct=peak_pct, rising_since_s=rising_since_s)
    return Pressure(level, now_s, peak_pct)


def _rising_since(current: Pressure, wanted: Level, now_s: float) -> float | None:
    if wanted <= current.level:
        return None
    return now_s if current.rising_since_s is None else current.rising_since_s


def _level(
    before: Level, used_pct: float, free_bytes: int, total_bytes: int, rules: PressureRules
) -> Level:
    if rules.oom_pct is not None and _beyond(before, Level.OOM, used_pct, rules.oom_pct, rules):
        return Level.OOM
    if _is_low(before, free_bytes, total_bytes, rules):
        return Level.CRITICAL
    if rules.critical_pct is not None and _beyond(
        before, Level.CRITICAL, used_pct, rules.critical_pct, rules
    ):
        return Level.CRITICAL
    warned = _beyond(before, Level.WARNING, used_pct, rules.warning_pct, rules)
    return Level.WARNING if warned else Level.NORMAL


def _beyond(
    before: Level, level: Level, used_pct: float, mark_pct: float, rules: PressureRules
) -> bool:
    """Above the mark; or, coming from the level, not yet below it by the gap."""
    return used_pct > mark_pct or (before >= level and used_pct >= mark_pct - rules.gap_pct)


def _is_low(before: Level, free_bytes: int, total_bytes: int, rules: PressureRules) -> bool:
    # A device smaller than the limit itself is judged by its share alone.
    if rules.low_free_bytes >= total_bytes:
        return False
    low_bytes = rules.low_free_bytes
    if before >= Level.CRITICAL:
        low_bytes += round(total_bytes * rules.gap_pct / 100)
    return free_bytes < low_bytes
