"""Carries out loads and unloads, and reports to the scheduler what came of them."""

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from danzar.core.device import DeviceSnapshot, find_device
from danzar.core.events import (
    Event,
    LoadFailed,
    LoadFinished,
    StartLoad,
    StartUnload,
    UnloadFinished,
)
from danzar.errors import DanzarError, OutOfMemory
from danzar.pool import WorkerPool
from danzar.telemetry.sampler import Sampler

log = logging.getLogger(__name__)

_KEPT_DECISIONS = 200


@dataclass(frozen=True, slots=True)
class Decision:
    """One committed step of a plan, with its reason; ``at_s`` is seconds since 1970."""

    at_s: float
    text: str


class Loader:
    """The slow half of the manager. Every step ends with exactly one event.

    Attributes:
        decisions: The last steps, oldest first; bounded.
    """

    def __init__(self, pool: WorkerPool, sampler: Sampler, post: Callable[[Event], None]) -> None:
        """Work on ``pool``, measure through ``sampler``, report through ``post``."""
        self._pool = pool
        self._sampler = sampler
        self._post = post
        self.decisions: deque[Decision] = deque(maxlen=_KEPT_DECISIONS)

    async def load(self, effect: StartLoad, device: DeviceSnapshot) -> None:
        """Load a model and report ``LoadFinished`` or ``LoadFailed``."""
        self._decide(f"load {effect.model} on {device.label}: {effect.reason}")
        try:
            measured = await self._pool.load(effect.model, device, effect.size_bytes, self._held)
        except DanzarError as exc:
            await self._failed(effect, str(exc), out_of_memory=isinstance(exc, OutOfMemory))
        except Exception as exc:
            log.exception("loading %s failed", effect.model)
            await self._failed(effect, f"an unexpected {type(exc).__name__}", out_of_memory=False)
        else:
            snapshots = (await self._sampler.refresh()).snapshots
            self._post(LoadFinished(effect.model, effect.lease_id, measured, snapshots))

    async def unload(self, effect: StartUnload) -> None:
        """Unload a model and report ``UnloadFinished``."""
        self._decide(f"unload {effect.model}: {effect.reason}")
        try:
            await self._pool.unload(effect.model)
        except DanzarError as exc:
            # The worker is gone, and with it everything that it held.
            log.warning("unload of %s: %s", effect.model, exc)
        snapshots = (await self._sampler.refresh()).snapshots
        self._post(UnloadFinished(effect.model, effect.lease_id, snapshots))

    async def _failed(self, effect: StartLoad, reason: str, *, out_of_memory: bool) -> None:
        self._decide(f"load of {effect.model} failed: {reason}")
        snapshots = (await self._sampler.refresh()).snapshots
        self._post(LoadFailed(effect.model, effect.lease_id, reason, out_of_memory, snapshots))

    async def _held(self, device_uuid: str, pid: int) -> int | None:
        """What a process holds on a device as the driver says; ``None`` where it would not say."""
        reading = await self._sampler.refresh()
        device = find_device(reading.snapshots, device_uuid)
        if device is None:
            return None
        return next((p.used_bytes for p in device.processes if p.pid == pid), None)

    def _decide(self, text: str) -> None:
        log.info("%s", text)
        self.decisions.append(Decision(time.time(), text))
