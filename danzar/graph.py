"""The cards' past for ``!gpu graph``: what was in use and whose it was, and what happened.

Kept apart from the sampler's history, because only the moment itself knows which processes were
Danzar's. Bounded by time and step.
"""

import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from danzar.broker.decision import Decision
from danzar.core.device import DeviceKind, matches_device
from danzar.core.device_memory import DeviceMemory
from danzar.core.device_text import short_name
from danzar.workers.chart import CardSeries, ChartMark, DrawChart

Leases = tuple[tuple[str, int], ...]

STEP_S = 2.0
# A whole day is remembered in coarser steps: 1,440 points for each card.
DAY_S = 86_400.0
DAY_STEP_S = 60.0
MOST_CARDS = 6
# After a silence of this many steps the line is broken: nothing is known of that time.
_GAP_STEPS = 5


@dataclass(frozen=True, slots=True)
class Point:
    """One card at one time; ``at_s`` is seconds since 1970, ``None`` is unknown.

    Attributes:
        leases: Bytes booked by model, as they stood then.
    """

    at_s: float
    used_bytes: int | None
    own_bytes: int
    utilisation_pct: float | None = None
    leases: Leases = ()


@dataclass(frozen=True, slots=True)
class Levels:
    """The marks of memory use that the owner configured, in percent."""

    warning_pct: float
    critical_pct: float | None = None


def make_point(device: DeviceMemory, at_s: float) -> Point:
    """A card as it stands."""
    snapshot = device.snapshot
    leases = tuple((lease.model, lease.size_bytes) for lease in device.leases)
    return Point(at_s, snapshot.used_bytes, device.own_bytes, snapshot.utilisation_pct, leases)


class UseHistory:
    """What the cards held lately; its owner runs ``run``."""

    def __init__(
        self,
        devices: Callable[[], Sequence[DeviceMemory]],
        *,
        keep_s: float,
        clock_s: Callable[[], float] = time.time,
    ) -> None:
        """Start empty.

        Args:
            devices: The newest figures, without blocking.
            keep_s: How far back it goes.
            clock_s: Seconds since 1970.
        """
        self.keep_s = keep_s
        self.clock_s = clock_s
        self._devices = devices
        self._most = max(2, round(keep_s / STEP_S))
        self._points: dict[str, deque[Point]] = {}
        self._day: dict[str, deque[Point]] = {}

    async def run(self, readings: AsyncGenerator[object]) -> None:
        """Note the cards with each new reading, until cancelled."""
        async with aclosing(readings) as each:
            async for _ in each:
                self.note()

    def note(self) -> None:
        """Keep the cards as they stand; of the readings within one step, the fullest."""
        now_s = self.clock_s()
        for device in self._devices():
            if device.snapshot.kind is DeviceKind.CUDA:
                uuid, point = device.snapshot.uuid, make_point(device, now_s)
                _add(self._points.setdefault(uuid, deque(maxlen=self._most)), point, STEP_S)
                day = self._day.setdefault(uuid, deque(maxlen=round(DAY_S / DAY_STEP_S)))
                _add(day, point, DAY_STEP_S)

    def points(self, uuid: str, since_s: float) -> tuple[Point, ...]:
        """A card's past from ``since_s`` on, oldest first."""
        return tuple(p for p in self._points.get(uuid, ()) if p.at_s >= since_s)

    def day(self, uuid: str, since_s: float) -> tuple[Point, ...]:
        """The same in steps of ``DAY_STEP_S``, as far back as a day."""
        return tuple(p for p in self._day.get(uuid, ()) if p.at_s >= since_s)

    @property
    def known_s(self) -> float:
        """How far back anything is known, a day at most; 0 before the first reading."""
        now_s = self.clock_s()
        oldest_s = min((points[0].at_s for points in self._day.values()), default=now_s)
        return min(DAY_S, now_s - oldest_s)


def _add(points: deque[Point], point: Point, step_s: float) -> None:
    if points and points[-1].leases == point.leases:
        # One object for as long as nothing changes: an hour of them is hardly more than one.
        point = replace(point, leases=points[-1].leases)
    if not points or point.at_s - points[-1].at_s >= step_s:
        points.append(point)
    elif (point.used_bytes or 0) > (points[-1].used_bytes or 0):
        points[-1] = replace(point, at_s=points[-1].at_s)


def chart_request(
    history: UseHistory,
    devices: Sequence[DeviceMemory],
    decisions: Iterable[Decision],
    levels: Levels,
    span_s: float,
) -> DrawChart:
    """What ``!gpu graph`` has drawn: at most ``MOST_CARDS``, the fullest ones."""
    gpus = [d for d in devices if d.snapshot.kind is DeviceKind.CUDA]
    fullest = sorted(gpus, key=lambda d: -(d.snapshot.memory_pct or 0.0))[:MOST_CARDS]
    shown = sorted(fullest, key=lambda d: d.snapshot.index)
    known = tuple(decisions)
    now_s = history.clock_s()
    note = f"the {len(shown)} fullest of {len(gpus)} cards" if len(shown) < len(gpus) else ""
    return DrawChart(
        cards=tuple(_series(history, d, known, (now_s - span_s, now_s)) for d in shown),
        now_s=now_s,
        span_s=span_s,
        warning_pct=levels.warning_pct,
        critical_pct=levels.critical_pct,
        note=note,
    )


def _series(
    history: UseHistory,
    device: DeviceMemory,
    decisions: Sequence[Decision],
    span: tuple[float, float],
) -> CardSeries:
    snapshot, (since_s, now_s) = device.snapshot, span
    now = Point(now_s, snapshot.used_bytes, device.own_bytes)
    if now_s - since_s > history.keep_s:
        points = _broken((*history.day(snapshot.uuid, since_s), now), DAY_STEP_S)
    else:
        points = _broken((*history.points(snapshot.uuid, since_s), now), STEP_S)
    marks = (
        ChartMark(d.at_s, d.kind.value, d.model or "")
        for d in decisions
        if d.kind is not None and d.device is not None and matches_device(snapshot, d.device)
    )
    return CardSeries(
        title=f"{snapshot.label} · {short_name(snapshot.name)}",
        simulated=snapshot.simulated,
        total_bytes=snapshot.total_bytes,
        at_s=tuple(p.at_s for p in points),
        used_bytes=tuple(p.used_bytes for p in points),
        own_bytes=tuple(p.own_bytes for p in points),
        marks=tuple(marks),
    )


def _broken(points: Sequence[Point], step_s: float) -> list[Point]:
    """The points with an unknown one in each gap."""
    result: list[Point] = []
    for point in points:
        if result and point.at_s - result[-1].at_s > _GAP_STEPS * step_s:
            result.append(Point(result[-1].at_s + step_s, None, 0))
        result.append(point)
    return result
