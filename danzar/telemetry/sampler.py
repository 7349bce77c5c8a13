"""The one task that asks the driver again and again, and tells everyone what it said."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from danzar.core.device import DeviceSnapshot
from danzar.errors import TelemetryUnavailable
from danzar.telemetry.base import Telemetry
from danzar.telemetry.history import DeviceHistory

log = logging.getLogger(__name__)

_STALE_AFTER_INTERVALS = 3.0


@dataclass(frozen=True, slots=True)
class Reading:
    """The newest that is known of all devices.

    Attributes:
        snapshots: The last good sample, kept while the driver is silent; empty before the first.
        sampled_at_s: Monotonic seconds of that sample; ``None`` before the first.
        error: Why the last attempt gave nothing; ``None`` when it succeeded.
    """

    snapshots: tuple[DeviceSnapshot, ...] = ()
    sampled_at_s: float | None = None
    error: str | None = None

    def age_s(self, now_s: float) -> float | None:
        """Seconds since the last good sample; ``None`` when there was none."""
        return None if self.sampled_at_s is None else now_s - self.sampled_at_s


class Sampler:
    """Samples a source each ``interval_s`` and keeps the newest reading and a bounded history.

    The owner runs ``run`` in its TaskGroup and closes the source itself. Writes nothing to disk.
    """

    def __init__(
        self,
        telemetry: Telemetry,
        *,
        interval_s: float = 1.0,
        history_s: float = 3600.0,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._telemetry = telemetry
        self._interval_s = interval_s
        self._history_s = history_s
        self._now_s = now_s
        self._reading = Reading()
        self._history: dict[str, DeviceHistory] = {}
        self._changed = asyncio.Condition()
        self._sampling = asyncio.Lock()

    @property
    def reading(self) -> Reading:
        """The newest reading, good or not."""
        return self._reading

    @property
    def is_stale(self) -> bool:
        """Whether the figures are too old to decide by (three intervals, or none came yet)."""
        age_s = self._reading.age_s(self._now_s())
        return age_s is None or age_s > _STALE_AFTER_INTERVALS * self._interval_s

    def history(self, uuid: str) -> tuple[DeviceSnapshot, ...]:
        """The device's past, oldest first; empty where it was never seen."""
        known = self._history.get(uuid)
        return known.snapshots() if known else ()

    async def run(self) -> None:
        """Sample until cancelled. A silent driver does not end it."""
        while True:
            await self.refresh()
            await asyncio.sleep(self._interval_s)

    async def refresh(self) -> Reading:
        """Sample now, publish and return it; an error of the driver is in the reading.

        For whoever must know what the driver says after a load or an unload.
        """
        async with self._sampling:  # one at a time, so that time runs forward in the history
            reading = await self._sample()
            async with self._changed:
                self._reading = reading
                self._changed.notify_all()
        return reading

    async def readings(self) -> AsyncGenerator[Reading]:
        """The current reading and then each new one; a slow reader gets only the newest."""
        seen: Reading | None = None
        while True:
            async with self._changed:
                while self._reading is seen:
                    await self._changed.wait()
                seen = self._reading
            yield seen

    async def _sample(self) -> Reading:
        try:
            snapshots = await self._telemetry.sample()
        except TelemetryUnavailable as exc:
            return self._failed(str(exc))
        return self._succeeded(snapshots)

    def _succeeded(self, snapshots: tuple[DeviceSnapshot, ...]) -> Reading:
        if self._reading.error is not None:
            log.info("the driver answers again")
        for snapshot in snapshots:
            if snapshot.uuid not in self._history:
                self._history[snapshot.uuid] = DeviceHistory(self._interval_s, self._history_s)
            self._history[snapshot.uuid].add(snapshot)
        return Reading(snapshots, self._now_s())

    def _failed(self, error: str) -> Reading:
        if self._reading.error != error:
            log.warning("no figures from the driver: %s", error)
        return Reading(self._reading.snapshots, self._reading.sampled_at_s, error)
