"""How full a device is, as a level that does not flicker. Pure.

normal -> warning   above ``warning_pct``
       -> critical  below ``low_free_bytes`` free
A level is left only when the figure has moved past it by the gap between ``warning_pct`` and
``clear_pct``. Unknown figures leave the level as it was.
"""

from dataclasses import dataclass, replace
from enum import IntEnum


class Level(IntEnum):
    """Ordered: a higher level is worse."""

    NORMAL = 0
    WARNING = 1
    CRITICAL = 2


@dataclass(frozen=True, slots=True)
class PressureRules:
    """When a device is called full.

    Attributes:
        warning_pct: Warn above this memory use.
        clear_pct: All clear below this; at most ``warning_pct``.
        low_free_bytes: Critical below this much free memory.
    """

    warning_pct: float
    clear_pct: float
    low_free_bytes: int


@dataclass(frozen=True, slots=True)
class Pressure:
    """A device's level and how long it has lasted.

    Attributes:
        since_s: Monotonic seconds at which the level was entered.
        peak_pct: Highest memory use since the device was last normal; ``None`` while normal.
    """

    level: Level
    since_s: float
    peak_pct: float | None = None

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
    level = _level(current.level, used_pct, free_bytes, total_bytes, rules)
    peak_pct = None if level is Level.NORMAL else max(current.peak_pct or 0.0, used_pct)
    if level is current.level:
        return replace(current, peak_pct=peak_pct)
    return Pressure(level, now_s, peak_pct)


def _level(
    before: Level, used_pct: float, free_bytes: int, total_bytes: int, rules: PressureRules
) -> Level:
    gap_pct = max(0.0, rules.warning_pct - rules.clear_pct)
    low_bytes = rules.low_free_bytes
    if before is Level.CRITICAL:
        low_bytes += round(total_bytes * gap_pct / 100)
    # A device smaller than the limit itself is judged by its share alone.
    if free_bytes < low_bytes and rules.low_free_bytes < total_bytes:
        return Level.CRITICAL
    # A figure exactly on ``clear_pct`` is still not below it.
    if used_pct > rules.warning_pct or (before is not Level.NORMAL and used_pct >= rules.clear_pct):
        return Level.WARNING
    return Level.NORMAL
