"""Host RAM as the device ``cpu``: always real, whatever the cards are."""

import asyncio
import time

import psutil

from danzar.core.device import CPU_UUID, DeviceKind, DeviceSnapshot
from danzar.telemetry.cgroup import memory_limit


class HostReader:
    """Reads host RAM. Keeps the last CPU times, because utilisation is a difference."""

    def __init__(self) -> None:
        self._last_times_s: tuple[float, float] | None = None

    def read(self) -> DeviceSnapshot:
        """Measure now. Blocks for less than a millisecond on files in ``/proc`` and ``/sys``."""
        memory = psutil.virtual_memory()
        total_bytes, free_bytes = memory.total, memory.available
        limit = memory_limit()
        if limit is not None:
            total_bytes = min(total_bytes, limit.limit_bytes)
            free_bytes = min(free_bytes, limit.room_bytes)
        return DeviceSnapshot(
            uuid=CPU_UUID,
            index=-1,
            name="host RAM",
            kind=DeviceKind.CPU,
            total_bytes=total_bytes,
            free_bytes=free_bytes,
            used_bytes=total_bytes - free_bytes,
            utilisation_pct=self._utilisation_pct(),
            temperature_c=None,
            power_w=None,
            processes=(),
            simulated=False,
            sampled_at_s=time.monotonic(),
        )

    def _utilisation_pct(self) -> float | None:
        """Mean over all cores since the last reading; ``None`` at the first."""
        times = psutil.cpu_times()
        idle_s = times.idle + getattr(times, "iowait", 0.0)
        before, self._last_times_s = self._last_times_s, (sum(times), idle_s)
        if before is None or sum(times) <= before[0]:
            return None
        idle_share = (idle_s - before[1]) / (sum(times) - before[0])
        return min(100.0, max(0.0, 100 * (1 - idle_share)))


class HostTelemetry:
    """The source for machines without a card: host RAM alone."""

    def __init__(self) -> None:
        self._host = HostReader()

    async def sample(self) -> tuple[DeviceSnapshot, ...]:
        """Host RAM, off the event loop."""
        return (await asyncio.to_thread(self._host.read),)

    async def close(self) -> None:
        """Nothing is held."""
