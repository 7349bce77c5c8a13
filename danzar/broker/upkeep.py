"""Keeps workers' memory in order: collects, empties caches, starts anew what can't be mended."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable

from danzar.broker.curves import try_batch
from danzar.broker.driver_view import held_by
from danzar.broker.pool_worker import PoolWorker, WorkerKey
from danzar.core.device import DeviceSnapshot, find_device
from danzar.core.state import State
from danzar.core.upkeep import (
    AllocatorView,
    TrimLevel,
    TrimReport,
    TrimRow,
    UpkeepAction,
    UpkeepRules,
    UpkeepStep,
    WorkerCare,
    WorkerSeen,
    next_care,
)
from danzar.errors import DanzarError
from danzar.telemetry.sampler import Sampler
from danzar.units import format_size
from danzar.workers.protocol import Trimmed

__all__ = ["AllocatorView", "TrimLevel", "TrimReport", "TrimRow", "Upkeep", "UpkeepStep"]

log = logging.getLogger(__name__)

_LOOK_INTERVAL_S = 5.0
_TRIM_TIMEOUT_S = 30.0
_KEPT_STEPS = 200

Workers = Callable[[], tuple[PoolWorker, ...]]
Recycle = Callable[[str, str, str], None]


class Upkeep:
    """Looks at every worker each few seconds; the owner runs ``run`` in a TaskGroup.

    Attributes:
        paused: Nothing is done by itself while it is set; ``trim`` works all the same.
    """

    def __init__(
        self,
        workers: Workers,
        recycle: Recycle,
        sampler: Sampler,
        state: State,
        rules: UpkeepRules,
        *,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Wire the parts.

        Args:
            workers: Those that run now.
            recycle: Has a worker (name, device UUID) started anew, for a reason.
            sampler: Shows what the driver gets back.
            state: The scheduler's, to be read only.
            rules: What the owner decided.
            now_s: Monotonic seconds.
        """
        self.paused = False
        self._workers = workers
        self._recycle = recycle
        self._sampler = sampler
        self._state = state
        self._rules = rules
        self._now_s = now_s
        self._care: dict[tuple[WorkerKey, int], WorkerCare] = {}
        self._steps: deque[UpkeepStep] = deque(maxlen=_KEPT_STEPS)
        self._trimming = asyncio.Lock()

    @property
    def history(self) -> tuple[UpkeepStep, ...]:
        """What was done lately, oldest first."""
        return tuple(self._steps)

    def configure(self, rules: UpkeepRules) -> None:
        """Go by new rules from now on."""
        self._rules = rules

    def memory(self) -> tuple[AllocatorView, ...]:
        """What each worker held at its last heartbeat; those that gave none yet are left out."""
        return tuple(view for worker in self._workers() if (view := _view(worker)) is not None)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_INTERVAL_S)
            if self._rules.enabled and not self.paused:
                await self.look()

    async def look(self) -> None:
        """Do what every worker needs now."""
        workers, now_s = self._workers(), self._now_s()
        keys = {(worker.key, worker.pid) for worker in workers}
        self._care = {key: care for key, care in self._care.items() if key in keys}
        for worker in workers:
            key = (worker.key, worker.pid)
            before = self._care.setdefault(key, WorkerCare(now_s, now_s))
            seen = self._seen(worker)
            self._care[key], action, reason = next_care(before, seen, self._rules, now_s)
            if action is not None:
                await self._act(worker, action, reason)

    async def trim(
        self, level: TrimLevel = TrimLevel.GENTLE, device_uuid: str | None = None
    ) -> TrimReport:
        """Have all workers (of one device) give back what they hold and do not use.

        Waits for them, up to half a minute each. A worker that can't is told in its row.
        """
        chosen = [w for w in self._workers() if device_uuid in (None, w.key.device_uuid)]
        rows = [await self._trim(worker, level) for worker in chosen]
        return TrimReport(tuple(rows))

    async def _act(self, worker: PoolWorker, action: UpkeepAction, reason: str) -> None:
        name, uuid = worker.key.worker, worker.key.device_uuid
        freed_bytes: int | None = None
        if action is UpkeepAction.RECYCLE:
            self._recycle(name, uuid, reason)
        else:
            urgent = action is UpkeepAction.AGGRESSIVE
            row = await self._trim(worker, TrimLevel.AGGRESSIVE if urgent else TrimLevel.GENTLE)
            freed_bytes = row.freed_bytes
            if not urgent:
                await self._take_again(worker)
        self._steps.append(UpkeepStep(self._now_s(), name, uuid, action, reason, freed_bytes))
        freed = "unknown" if freed_bytes is None else format_size(freed_bytes)
        log.info("upkeep %s of %s on %s: %s; freed %s", action, name, uuid, reason, freed)

    async def _trim(self, worker: PoolWorker, level: TrimLevel) -> TrimRow:
        began_s, uuid = self._now_s(), worker.key.device_uuid
        async with self._trimming:
            before = await self._shown(worker)
            try:
                told = await worker.process.trim(
                    aggressive=level is TrimLevel.AGGRESSIVE, timeout_s=_TRIM_TIMEOUT_S
                )
            except DanzarError as exc:
                return TrimRow(worker.key.worker, uuid, level, error=str(exc))
            after = await self._shown(worker)
        return TrimRow(
            worker=worker.key.worker,
            device_uuid=uuid,
            level=level,
            freed_bytes=self._freed_bytes(worker, before, after, told),
            reserved_before_bytes=told.reserved_before_bytes,
            reserved_after_bytes=told.reserved_after_bytes,
            rss_before_bytes=told.rss_before_bytes,
            rss_after_bytes=told.rss_after_bytes,
            seconds=self._now_s() - began_s,
        )

    async def _take_again(self, worker: PoolWorker) -> None:
        """Have models compute a batch, so that a card shows what is booked for it as taken.

        Else others would be given it, and the next request would run out.
        """
        device = self._device(worker)
        if device is None or not device.is_real_gpu or worker.process.busy_models:
            return
        for name in tuple(worker.models):
            instance = self._state.instances.get(name)
            if instance is None or instance.batch is None:
                continue
            try:
                await try_batch(worker.process, name, instance.batch.state.size)
            except DanzarError as exc:
                log.warning("%s could not take its batch again: %s", name, exc)

    async def _shown(self, worker: PoolWorker) -> int | None:
        """What the driver says that the worker holds on its card now."""
        device = self._device(worker)
        if device is None or not device.is_real_gpu:
            return None
        reading = await self._sampler.refresh()
        if reading.error is not None:
            return None
        return held_by(reading.snapshots, worker.pid).get(device.uuid)

    def _freed_bytes(
        self, worker: PoolWorker, before: int | None, after: int | None, told: Trimmed
    ) -> int | None:
        device = self._device(worker)
        if device is not None and device.is_real_gpu:
            return None if before is None or after is None else max(0, before - after)
        return max(0, told.rss_before_bytes - told.rss_after_bytes)

    def _seen(self, worker: PoolWorker) -> WorkerSeen:
        memory, device = worker.process.memory, self._device(worker)
        allocator = memory.allocator if memory is not None else None
        used_share: float | None = None
        # What a worker gives back can't be seen on a simulated card.
        if device is not None and not device.simulated and device.used_bytes is not None:
            used_share = device.used_bytes / max(1, device.total_bytes)
        return WorkerSeen(
            reserved_bytes=allocator.reserved_bytes if allocator else None,
            allocated_bytes=allocator.allocated_bytes if allocator else None,
            booked_bytes=self._booked_bytes(worker),
            used_share=used_share,
            busy=bool(worker.process.busy_models),
        )

    def _booked_bytes(self, worker: PoolWorker) -> int:
        """What its models' next batches will take."""
        hosted = (self._state.instances.get(name) for name in worker.models)
        sizes = (i.curve.bytes_at(i.batch.state.size) for i in hosted if i is not None and i.batch)
        return sum(size or 0 for size in sizes)

    def _device(self, worker: PoolWorker) -> DeviceSnapshot | None:
        return find_device(self._sampler.reading.snapshots, worker.key.device_uuid)


def _view(worker: PoolWorker) -> AllocatorView | None:
    memory = worker.process.memory
    if memory is None:
        return None
    name, uuid, torch = worker.key.worker, worker.key.device_uuid, memory.allocator
    if torch is None:
        return AllocatorView(name, uuid, memory.rss_bytes)
    return AllocatorView(
        name,
        uuid,
        memory.rss_bytes,
        torch.reserved_bytes,
        torch.allocated_bytes,
        torch.inactive_split_bytes,
        torch.alloc_retries,
    )
