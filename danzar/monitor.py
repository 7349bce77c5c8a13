"""Watching the cards in the background: trouble becomes an incident, and each incident an alert."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from danzar.core.device import DeviceKind
from danzar.core.device_memory import DeviceMemory
from danzar.core.incident import (
    AT_ONCE,
    NONE_OPEN,
    Change,
    Incident,
    IncidentChange,
    IncidentRules,
    Observation,
    OpenIncidents,
    follow_incidents,
    next_due_s,
    unwatched,
)
from danzar.core.pressure import Level, Pressure, next_pressure
from danzar.core.recommend import describe_pressure, what_to_do
from danzar.core.troubles import observe_troubles
from danzar.explain.memory_text import format_duration
from danzar.gpu_memory import GpuMemoryManager

log = logging.getLogger(__name__)

_KEPT_ALERTS = 200
TELEMETRY_KEY = "telemetry"
# An incident of an earlier run is not called gone before everything had time to be seen again.
_SETTLING_S = 60.0
# Between two checks, however much is due.
_LEAST_WAIT_S = 0.5
_GONE = {"memory": "device", "heat": "device", "lost": "device", "kept": "device"}
# Each turn of flapping, and that time passed, is in the message, and no news for the log.
_QUIET = frozenset({Change.TOLD, Change.CALMED, Change.RETURNED})


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


OnCheck = Callable[[OpenIncidents, Sequence[IncidentChange], float], Awaitable[None]]
"""Hears of every check: the incidents, what changed, and when (monotonic seconds)."""
Source = Callable[[], Iterable[Observation]]


class MemoryMonitor:
    """Checks each ``interval_s`` while it is switched on; the owner runs ``run`` in a TaskGroup.

    Attributes:
        rules: When incidents are told, closed and reopened.
    """

    def __init__(
        self,
        memory: GpuMemoryManager,
        *,
        interval_s: float,
        enabled: bool = True,
        rules: IncidentRules = AT_ONCE,
        now_s: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.interval_s = interval_s
        self.rules = rules
        self._memory = memory
        self._now_s = now_s
        self._wall_clock = wall_clock
        self._switched = asyncio.Condition()
        self._switches = 0
        self._enabled = enabled
        self._pressure: dict[str, Pressure] = {}
        self._open: OpenIncidents = NONE_OPEN
        self._alerts: deque[Alert] = deque(maxlen=_KEPT_ALERTS)
        self._settled_s = 0.0
        self._followers: list[OnCheck] = []
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

    def add_follower(self, follower: OnCheck) -> None:
        """Have ``follower`` called after every check."""
        self._followers.append(follower)

    def restore(self, incidents: OpenIncidents) -> None:
        """Go on with what an earlier run left; before the first check."""
        self._open = incidents
        self._settled_s = self._now_s() + _SETTLING_S

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
        """Look at the newest figures once, tell the followers what changed, and return it."""
        now_s = self._now_s()
        seen = self._observe(now_s)
        self._open, changes = follow_incidents(self._open, seen, now_s, self.rules)
        await self._tell(changes, now_s)
        alerts = tuple(self._alert(change, now_s) for change in changes)
        for alert in alerts:
            if alert.change in _QUIET:
                continue
            self._alerts.append(alert)
            log.warning("incident %s %s: %s", alert.incident.number, alert.change, alert.text)
        return alerts

    async def _switch(self, *, enabled: bool) -> None:
        async with self._switched:
            if enabled and not self._enabled:
                self._open = unwatched(self._open)
            self._enabled = enabled
            self._switches += 1
            self._switched.notify_all()

    async def _wait(self, switches: int) -> None:
        """Sleep until something is due, at most one interval, or until it is switched once more."""
        wait_s, due_s = self.interval_s, next_due_s(self._open, self.rules)
        in_s = 0.0 if due_s is None else due_s - self._now_s()
        if in_s > 0:  # What was due already is unknown: it waits for figures.
            wait_s = min(wait_s, max(_LEAST_WAIT_S, in_s))
        try:
            async with asyncio.timeout(wait_s), self._switched:
                await self._switched.wait_for(lambda: self._switches != switches)
        except TimeoutError:
            return

    async def _tell(self, changes: Sequence[IncidentChange], now_s: float) -> None:
        for follower in self._followers:
            try:
                await follower(self._open, changes, now_s)
            except Exception:
                log.exception("what the cards' check found could not be passed on")

    # --- what is seen ----------------------------------------------------------------------

    def _observe(self, now_s: float) -> list[Observation]:
        others = [observation for source in self._sources for observation in source()]
        stale_age_s = self._memory.stale_age_s
        if stale_age_s is not None:
            lost = self._is_lost(stale_age_s)
            return [_telemetry_lost(self._memory.figures_error), *others] if lost else others
        seen = [Observation(TELEMETRY_KEY, Level.NORMAL, "The GPU driver answers again"), *others]
        open_keys, hot_c = frozenset(self._open.by_key), self._memory.rules.hot_c
        for device in self._memory.devices():
            if device.snapshot.kind is DeviceKind.CUDA:
                memory = self._observe_device(device, now_s)
                is_full = memory.level is not None and memory.level > Level.NORMAL
                seen += [memory, *observe_troubles(device, open_keys, hot_c, is_full=is_full)]
        return seen + self._gone(frozenset(s.key for s in seen), now_s)

    def _gone(self, seen: frozenset[str], now_s: float) -> list[Observation]:
        """What is open and nobody tells of any more."""
        settling = now_s < self._settled_s
        return [
            Observation(key, Level.NORMAL, _gone_text(key))
            for key, incident in sorted(self._open.by_key.items())
            if key not in seen and not (incident.unwatched and settling)
        ]

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
            text = f"{text}. {_lasted_text(step.incident, now_s)}."
        return Alert(step.change, step.incident, text, self._wall_clock())


def _gone_text(key: str) -> str:
    what = _GONE.get(key.partition(":")[0])
    return f"The {what} is no longer there" if what else "It was not seen again"


def _lasted_text(incident: Incident, now_s: float) -> str:
    least = format_duration(incident.lasted_s(now_s))
    if not incident.ended_unseen:
        return f"It lasted {least}"
    most = format_duration(incident.seen_at_s - incident.opened_at_s)
    return f"It ended while nobody looked, after {least} to {most}"


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
