"""The cards' past for ``!gpu graph``: what was in use and whose it was, and what happened.

Kept apart from the sampler's history, because only the moment itself knows which processes were
Danzar's. Bounded by time and step.
"""

import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from danzar.broker.decision import Decision
from danzar.core.device import DeviceKind, matches_device
from danzar.core.device_memory import DeviceMemory
from danzar.core.device_text import short_name
from danzar.workers.chart import CardSeries, ChartMark, DrawChart

STEP_S = 2.0
MOST_CARDS = 6
# After a silence of this many steps the line is broken: nothing is known of that time.
_GAP_STEPS = 5


@dataclass(frozen=True, slots=True)
class Point:
    """One card at one time; ``at_s`` is seconds since 1970, ``None`` is unknown."""

    at_s: float
    used_bytes: int | None
    own_bytes: int


@dataclass(frozen=True, slots=True)
class Levels:
    """The marks of memory use that the owner configured, in percent."""

    warning_pct: float
    critical_pct: float | None = None


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
                point = Point(now_s, device.snapshot.used_bytes, device.own_bytes)
                self._add(device.snapshot.uuid, point)

    def points(self, uuid: str, since_s: float) -> tuple[Point, ...]:
        """A card's past from ``since_s`` on, oldest first."""
        return tuple(p for p in self._points.get(uuid, ()) if p.at_s >= since_s)

    def _add(self, uuid: str, point: Point) -> None:
        points = self._points.setdefault(uuid, deque(maxlen=self._most))
        is_due = not points or point.at_s - points[-1].at_s >= STEP_S
        if is_due:
            points.append(point)
        elif (point.used_bytes or 0) > (points[-1].used_bytes or 0):
            points[-1] = Point(points[-1].at_s, point.used_bytes, point.own_bytes)


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
    points = _broken((*history.points(snapshot.uuid, since_s), now))
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


def _broken(points: Sequence[Point]) -> list[Point]:
    """The points with an unknown one in each gap."""
    result: list[Point] = []
    for point in points:
        if result and point.at_s - result[-1].at_s > _GAP_STEPS * STEP_S:
            result.append(Point(result[-1].at_s + STEP_S, None, 0))
        result.append(point)
    return result
