"""Lets workers take what larger batches need, and give back what smaller ones do not.

larger    the driver is asked whether what was booked is free; the worker computes one batch of that
          size, which takes the memory and measures it; then it holds
smaller   the worker empties its cache; what the driver shows as given back leaves the book
On the CPU, nothing is taken ahead: the system gives memory as it is used.
"""

import logging
from collections.abc import Callable

from danzar.broker.curves import try_batch
from danzar.broker.driver_view import held_by, shortage
from danzar.broker.pool import WorkerPool
from danzar.core.device import DeviceKind, DeviceSnapshot
from danzar.core.events import BatchResized, Event, ResizeBatch
from danzar.core.plan import Share
from danzar.errors import DanzarError, OutOfMemory
from danzar.telemetry.sampler import Sampler
from danzar.workers.contract import BatchWork

log = logging.getLogger(__name__)

OnMeasured = Callable[[str, BatchWork], None]


class BatchResizer:
    """Every resize ends with exactly one ``BatchResized``."""

    def __init__(
        self,
        pool: WorkerPool,
        sampler: Sampler,
        post: Callable[[Event], None],
        on_measured: OnMeasured,
    ) -> None:
        """Work on ``pool``, measure through ``sampler``, report through ``post``."""
        self._pool = pool
        self._sampler = sampler
        self._post = post
        self._on_measured = on_measured

    async def resize(self, effect: ResizeBatch, device: DeviceSnapshot) -> None:
        """Carry out one resize on the device that hosts the model."""
        freed_bytes: int | None = None
        failed: str | None = None
        try:
            if effect.grows:
                await self._take(effect, device)
            else:
                freed_bytes = await self._give_back(effect, device)
        except DanzarError as exc:
            failed = str(exc)
        except Exception as exc:
            log.exception("resizing the batch of %s failed", effect.model)
            failed = f"an unexpected {type(exc).__name__}"
        if failed is not None:
            log.warning("%s keeps its batch: %s", effect.model, failed)
        snapshots = (await self._sampler.refresh()).snapshots
        self._post(
            BatchResized(
                effect.model,
                effect.load_id,
                effect.before,
                effect.size,
                effect.reason,
                snapshots,
                freed_bytes,
                failed,
            )
        )

    async def _take(self, effect: ResizeBatch, device: DeviceSnapshot) -> None:
        more_bytes = max(0, effect.more_bytes or 0)
        if device.simulated:
            self._pool.resize(effect.model, device.uuid, more_bytes)
        elif device.kind is DeviceKind.CUDA:
            snapshots = (await self._sampler.refresh()).snapshots
            short = shortage(snapshots, [Share(device.uuid, more_bytes)], {})
            if short is not None:
                raise OutOfMemory(short)
            process = self._pool.process(effect.model)
            work = await try_batch(process, effect.model, effect.size)
            self._on_measured(effect.model, work)
            self._pool.resize(effect.model, device.uuid, more_bytes)

    async def _give_back(self, effect: ResizeBatch, device: DeviceSnapshot) -> int | None:
        """What came back, as the driver shows; ``None`` where it does not say."""
        process, less_bytes = self._pool.process(effect.model), -(effect.more_bytes or 0)
        before = held_by(self._sampler.reading.snapshots, process.pid).get(device.uuid)
        await process.trim()
        if device.simulated:
            self._pool.resize(effect.model, device.uuid, -less_bytes)
            return None
        if device.kind is DeviceKind.CPU or before is None:
            return None
        after = held_by((await self._sampler.refresh()).snapshots, process.pid).get(device.uuid)
        freed_bytes = None if after is None else max(0, before - after)
        back_bytes = less_bytes if freed_bytes is None else min(less_bytes, freed_bytes)
        self._pool.resize(effect.model, device.uuid, -back_bytes)
        return freed_bytes
