"""The running workers, one per engine and device, and what they hold on simulated cards."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from danzar.core.device import CPU_UUID, DeviceSnapshot
from danzar.errors import WorkerDied
from danzar.telemetry.simulated import SimulatedCards
from danzar.units import GIB
from danzar.workers.contract import ENGINES, LoadSpec
from danzar.workers.outcomes import WorkerExit, WorkerLimits
from danzar.workers.process import WorkerProcess

log = logging.getLogger(__name__)

_MEDIA_ADDRESS_SPACE_BYTES = 4 * GIB

MakeSpec = Callable[[str, DeviceSnapshot], Awaitable[LoadSpec]]
OnLost = Callable[[str, str, str], None]
Measure = Callable[[str, int], Awaitable[int | None]]


@dataclass(frozen=True, slots=True)
class WorkerKey:
    """Which worker: models of one engine on one device share it."""

    engine: str
    device_uuid: str


@dataclass(slots=True)
class _Worker:
    """A process and the bytes of its models: as leased, then as measured where that is known."""

    process: WorkerProcess
    held_bytes: dict[str, int] = field(default_factory=dict)


class WorkerPool:
    """Starts a worker when its first model is loaded and ends it with its last one.

    A simulated card gets a worker that computes on the CPU; the bytes are held on the card's
    simulation, so that the planner sees what a real card would show.

    Attributes:
        on_lost: Called once with engine, device and cause when a worker ends unasked.
    """

    def __init__(
        self,
        backends: dict[str, str],
        make_spec: MakeSpec,
        *,
        limits: WorkerLimits,
        load_timeout_s: float,
        cards: SimulatedCards | None,
    ) -> None:
        """Make an empty pool.

        Args:
            backends: Each model's backend.
            make_spec: What to load for a model on a device.
            limits: The workers' patience.
            load_timeout_s: Longest load of one model.
            cards: The simulated cards, where telemetry is simulated.
        """
        self._backends = backends
        self._make_spec = make_spec
        self._limits = limits
        self._load_timeout_s = load_timeout_s
        self._cards = cards
        self.on_lost: OnLost = _ignore
        self._workers: dict[WorkerKey, _Worker] = {}
        self._homes: dict[str, WorkerKey] = {}
        self._busy: dict[WorkerKey, asyncio.Lock] = defaultdict(asyncio.Lock)

    def process(self, model: str) -> WorkerProcess:
        """The worker that hosts the model.

        Raises:
            danzar.errors.WorkerDied: None does (any more).
        """
        worker = self._workers.get(self._homes[model]) if model in self._homes else None
        if worker is None:
            raise WorkerDied(f"the worker of {model} is gone; ask again")
        return worker.process

    def note_work(self, model: str, busy_s: float) -> None:
        """Let a simulated card's utilisation follow the work done in its name."""
        key = self._homes.get(model)
        if key is not None and (cards := self._cards_of(key)):
            cards.note_work(key.device_uuid, busy_s)

    def pids(self) -> frozenset[int]:
        """Process ids of all workers."""
        return frozenset(w.process.pid for w in self._workers.values())

    async def load(
        self, model: str, device: DeviceSnapshot, size_bytes: int, measure: Measure
    ) -> int | None:
        """Load a model on a device; returns what it took as measured (``None``: unknown).

        Raises:
            danzar.errors.DanzarError: It could not be loaded; nothing is left of the attempt.
        """
        key = WorkerKey(ENGINES[self._backends[model]], device.uuid)
        spec = await self._make_spec(model, device)
        # One load at a time and worker, so that what the driver measures belongs to one model.
        async with self._busy[key]:
            worker = self._workers.get(key) or await self._start(key, device)
            others_bytes = sum(worker.held_bytes.values())
            try:
                self._hold(key, worker, model, size_bytes)
                await worker.process.load(spec, timeout_s=self._load_timeout_s)
            except BaseException:
                self._drop(key, worker, model)
                await self._stop_if_empty(key)
                raise
            self._homes[model] = key
            held = await measure(device.uuid, worker.process.pid)
            if held is None or held <= others_bytes:
                return None
            worker.held_bytes[model] = held - others_bytes
            return worker.held_bytes[model]

    async def unload(self, model: str) -> None:
        """Unload a model; with a worker's last model, end the process and wait until it is gone."""
        key = self._homes.pop(model, None)
        if key is None:
            return
        async with self._busy[key]:
            worker = self._workers.get(key)
            if worker is None:
                return
            if set(worker.held_bytes) - {model}:
                await worker.process.unload(model)
            self._drop(key, worker, model)
            await self._stop_if_empty(key)

    def forget(self, process: WorkerProcess, reason: str) -> None:
        """Note that a worker ended unasked. Safe to call twice."""
        for key, worker in list(self._workers.items()):
            if worker.process is process:
                del self._workers[key]
                self._release(key, worker)
                log.warning(
                    "worker lost engine=%s device=%s: %s", key.engine, key.device_uuid, reason
                )
                self.on_lost(key.engine, key.device_uuid, reason)

    async def close(self) -> None:
        """End all workers."""
        workers = dict(self._workers)
        self._workers.clear()
        self._homes.clear()
        await asyncio.gather(*(w.process.stop() for w in workers.values()), return_exceptions=True)
        for key, worker in workers.items():
            self._release(key, worker)

    async def _start(self, key: WorkerKey, device: DeviceSnapshot) -> _Worker:
        real_card = device.uuid != CPU_UUID and not device.simulated
        ended: list[WorkerExit] = []
        process = await WorkerProcess.start(
            key.engine,
            cuda_uuid=device.uuid if real_card else None,
            limits=_limits_of(key.engine, self._limits),
            on_exit=lambda how: self._exited(key, how, ended),
        )
        worker = _Worker(process)
        if not ended:
            self._workers[key] = worker
        return worker

    def _exited(self, key: WorkerKey, how: WorkerExit, ended: list[WorkerExit]) -> None:
        ended.append(how)
        worker = self._workers.get(key)
        if worker is not None and not how.expected:
            self.forget(worker.process, f"its worker {how.cause}")

    async def _stop_if_empty(self, key: WorkerKey) -> None:
        worker = self._workers.get(key)
        if worker is None or worker.held_bytes:
            return
        del self._workers[key]
        await worker.process.stop()
        self._release(key, worker)

    def _hold(self, key: WorkerKey, worker: _Worker, model: str, size_bytes: int) -> None:
        worker.held_bytes[model] = size_bytes
        self._mirror(key, worker)

    def _drop(self, key: WorkerKey, worker: _Worker, model: str) -> None:
        worker.held_bytes.pop(model, None)
        self._mirror(key, worker)

    def _mirror(self, key: WorkerKey, worker: _Worker) -> None:
        """Let a simulated card show what the worker holds, as long as it lives."""
        if self._workers.get(key) is not worker:
            return
        if cards := self._cards_of(key):
            held_bytes = sum(worker.held_bytes.values())
            cards.hold(key.device_uuid, worker.process.pid, f"danzar-{key.engine}", held_bytes)

    def _release(self, key: WorkerKey, worker: _Worker) -> None:
        if cards := self._cards_of(key):
            cards.release(key.device_uuid, worker.process.pid)

    def _cards_of(self, key: WorkerKey) -> SimulatedCards | None:
        """The simulated cards, where the worker's device is one of them."""
        cards = self._cards
        return cards if cards is not None and key.device_uuid in cards.uuids else None


def _limits_of(engine: str, limits: WorkerLimits) -> WorkerLimits:
    """Strangers' files are decoded under a cap, so that one can't take the whole host's RAM."""
    if engine == "media":
        return replace(limits, address_space_bytes=_MEDIA_ADDRESS_SPACE_BYTES)
    return limits


def _ignore(engine: str, device_uuid: str, reason: str) -> None:
    """Until the manager listens, no worker runs that could be lost."""
