"""Watching the cards in the background: trouble becomes an incident, and each incident an alert."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from danzar.core.device import DeviceKind
from danzar.core.device_memory import DeviceMemory
from danzar.core.incident import (
    NONE_OPEN,
    Change,
    Incident,
    IncidentChange,
    Observation,
    OpenIncidents,
    follow_incidents,
)
from danzar.core.pressure import Level, Pressure, next_pressure
from danzar.core.recommend import describe_pressure, what_to_do
from danzar.core.troubles import observe_troubles
from danzar.explain.memory_text import format_duration
from danzar.gpu_memory import GpuMemoryManager

log = logging.getLogger(__name__)

_KEPT_ALERTS = 200
TELEMETRY_KEY = "telemetry"


@dataclass(frozen=True, slots=True)
class Alert:
    """One step of an incident, as it is told to people.

    Attributes:
        text: The whole message, with numbers and what to do.
        at: When it happened, aware, UTC.
    """

    change: Change
    incident: Incident
    text: str
    at: datetime


OnAlert = Callable[[Alert], Awaitable[None]]
Source = Callable[[], Iterable[Observation]]


class MemoryMonitor:
    """Checks each ``interval_s`` while it is switched on; the owner runs ``run`` in a TaskGroup."""

    def __init__(
        self,
        memory: GpuMemoryManager,
        *,
        interval_s: float,
        enabled: bool = True,
        now_s: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.interval_s = interval_s
        self._memory = memory
        self._now_s = now_s
        self._wall_clock = wall_clock
        self._switched = asyncio.Condition()
        self._switches = 0
        self._enabled = enabled
        self._pressure: dict[str, Pressure] = {}
        self._open: OpenIncidents = NONE_OPEN
        self._alerts: deque[Alert] = deque(maxlen=_KEPT_ALERTS)
        self._listeners: list[OnAlert] = []
        self._sources: list[Source] = []

    @property
    def is_enabled(self) -> bool:
        """Whether checks are made."""
        return self._enabled

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """The last alerts, oldest first."""
        return tuple(self._alerts)

    @property
    def open_incidents(self) -> tuple[Incident, ...]:
        """What is wrong now, as of the last check."""
        return tuple(self._open.by_key.values())

    def pressure(self, uuid: str) -> Pressure | None:
        """A device's level at the last check; ``None`` where it was never checked."""
        return self._pressure.get(uuid)

    def add_listener(self, listener: OnAlert) -> None:
        """Have ``listener`` called with every alert, one after the other."""
        self._listeners.append(listener)

    def add_source(self, source: Source) -> None:
        """Ask ``source`` at every check for other troubles, under keys of its own."""
        self._sources.append(source)

    async def start(self) -> None:
        """Check from now on, at once first."""
        await self._switch(enabled=True)

    async def stop(self) -> None:
        """Check no more until started again; open incidents stay open."""
        await self._switch(enabled=False)

    async def toggle(self) -> bool:
        """Switch on if off and off if on; returns whether it is on now."""
        await self._switch(enabled=not self._enabled)
        return self._enabled

    async def run(self) -> None:
        """Check until cancelled, whatever the driver does."""
        while True:
            async with self._switched:
                await self._switched.wait_for(lambda: self._enabled)
                switches = self._switches
            await self.check()
            await self._wait(switches)

    async def check(self) -> tuple[Alert, ...]:
        """Look at the newest figures once, tell the listeners what changed, and return it."""
        now_s = self._now_s()
        self._open, changes = follow_incidents(self._open, self._observe(now_s), now_s)
        alerts = tuple(self._alert(change, now_s) for change in changes)
        for alert in alerts:
            self._alerts.append(alert)
            log.warning("incident %s %s: %s", alert.incident.number, alert.change, alert.text)
            await self._tell(alert)
        return alerts

    async def _switch(self, *, enabled: bool) -> None:
        async with self._switched:
            self._enabled = enabled
            self._switches += 1
            self._switched.notify_all()

    async def _wait(self, switches: int) -> None:
        """Sleep one interval, or until it is switched, on or off, once more."""
        try:
            async with asyncio.timeout(self.interval_s), self._switched:
                await self._switched.wait_for(lambda: self._switches != switches)
        except TimeoutError:
            return

    async def _tell(self, alert: Alert) -> None:
        for listener in self._listeners:
            try:
                await listener(alert)
            except Exception:
                log.exception("an alert could not be delivered: %s", alert.text)

    # --- what is seen ----------------------------------------------------------------------

    def _observe(self, now_s: float) -> list[Observation]:
        stale_age_s = self._memory.stale_age_s
        if stale_age_s is not None:
            lost = self._is_lost(stale_age_s)
            return [_telemetry_lost(self._memory.figures_error)] if lost else []
        seen = [Observation(TELEMETRY_KEY, Level.NORMAL, "The GPU driver answers again")]
        open_keys, hot_c = frozenset(self._open.by_key), self._memory.rules.hot_c
        for device in self._memory.devices():
            if device.snapshot.kind is DeviceKind.CUDA:
                memory = self._observe_device(device, now_s)
                is_full = memory.level is not None and memory.level > Level.NORMAL
                seen += [memory, *observe_troubles(device, open_keys, hot_c, is_full=is_full)]
        seen += [observation for source in self._sources for observation in source()]
        gone = self._open.by_key.keys() - {s.key for s in seen}
        text = "The device is no longer there"
        return seen + [Observation(key, Level.NORMAL, text) for key in sorted(gone)]

    def _is_lost(self, stale_age_s: float) -> bool:
        """Whether the driver failed or was silent for an interval; a slow start is neither."""
        return self._memory.figures_error is not None or (
            self.interval_s < stale_age_s < float("inf")
        )

    def _observe_device(self, device: DeviceMemory, now_s: float) -> Observation:
        uuid = device.snapshot.uuid
        before = self._pressure.get(uuid)
        after = next_pressure(
            before,
            device.free_bytes,
            device.total_bytes,
            self._memory.rules.pressure,
            now_s,
        )
        self._pressure[uuid] = after
        level = None if device.free_bytes is None else after.level
        if after.level is Level.NORMAL:
            return Observation(f"memory:{uuid}", level, _normal_text(device, before))
        return Observation(f"memory:{uuid}", level, _full_text(device, after))

    def _alert(self, step: IncidentChange, now_s: float) -> Alert:
        text = step.incident.text
        if step.change is Change.CLOSED:
            text = f"{text}. It lasted {format_duration(step.incident.lasted_s(now_s))}."
        return Alert(step.change, step.incident, text, self._wall_clock())


def _telemetry_lost(error: str | None) -> Observation:
    why = error or "no new figures came"
    text = f"Telemetry lost: {why}. No model is placed on a GPU until the driver answers again"
    return Observation(TELEMETRY_KEY, Level.CRITICAL, text)


def _normal_text(device: DeviceMemory, before: Pressure | None) -> str:
    peak_pct = before.peak_pct if before else None
    peak = "" if peak_pct is None else f"; its peak was {peak_pct:.1f}%"
    return f"Back to normal: {describe_pressure(device)}{peak}"


def _full_text(device: DeviceMemory, pressure: Pressure) -> str:
    heading = "GPU memory nearly full"
    if pressure.level is Level.WARNING:
        heading = "High GPU utilization"
    return (
        f"{heading}: {describe_pressure(device)}. {what_to_do(device)}, "
        "follow it with `!gpu status`, and consider a restart if it stays"
    )
