"""The running workers, one per (worker name, device), and what each model in them holds.

``ModelFacts.worker`` is the worker's name: ``torch`` is shared by all torch models of a device (one
CUDA context), ``llama:NAME`` belongs to one model, so that a native crash takes no other down.

Every process is written to the journal before it can hold anything.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from danzar.broker.driver_view import DeviceBytes, taken
from danzar.broker.journal import Journal
from danzar.broker.mirror import CardMirror
from danzar.broker.pool_worker import HeldModel, Measure, PoolWorker, WorkerKey
from danzar.broker.warm_base import Warm
from danzar.core.device import CPU_UUID, DeviceSnapshot
from danzar.core.plan import PlacedOn
from danzar.core.reload import LoadWay, ProcessFrom
from danzar.core.variant import Setting
from danzar.errors import WorkerDied
from danzar.telemetry.simulated import SimulatedCards
from danzar.units import GIB
from danzar.workers.contract import ENGINES, LoadSpec
from danzar.workers.outcomes import WorkerExit, WorkerLimits, quote_output, ran_out
from danzar.workers.process import WorkerProcess

log = logging.getLogger(__name__)

_MEDIA_ADDRESS_SPACE_BYTES = 4 * GIB

Settings = tuple[tuple[str, Setting], ...]
MakeSpec = Callable[[str, DeviceSnapshot, Settings], Awaitable[LoadSpec]]


class OnLost(Protocol):
    """Hears once of each worker that ended unasked."""

    def __call__(
        self, worker: str, device_uuid: str, reason: str, *, out_of_memory: bool = False
    ) -> None:
        """``out_of_memory``: native code ended it because its device ran out."""


@dataclass(frozen=True, slots=True)
class Hosted:
    """Which backend runs a model, and the name of the worker that hosts it."""

    backend: str
    worker: str


class WorkerPool:
    """Starts a worker when its first model is loaded and ends it with its last one.

    A simulated card gets a worker that computes on the CPU; the bytes are held on the card's
    simulation, so that the planner sees what a real card would show.

    Attributes:
        journal: Where processes are written down; the loader adds their leases.
        limits: The workers' patience.
        on_lost: Called once for each worker that ends unasked.
        warm: Where weights and a process may wait; closed with the pool.
    """

    def __init__(
        self,
        hosted: Mapping[str, Hosted],
        make_spec: MakeSpec,
        *,
        limits: WorkerLimits,
        load_timeout_s: float,
        cards: SimulatedCards | None,
        journal: Journal,
    ) -> None:
        """Make an empty pool.

        Args:
            hosted: Each model's backend and worker; read at each load.
            make_spec: What to load for a model on a device.
            limits: The workers' patience.
            load_timeout_s: Longest load of one model.
            cards: The simulated cards, where telemetry is simulated.
            journal: Open as long as the pool is.
        """
        self.journal = journal
        self.on_lost: OnLost = _ignore
        self.warm = Warm()
        self._hosted = hosted
        self._make_spec = make_spec
        self.limits = limits
        self._load_timeout_s = load_timeout_s
        self._mirror = CardMirror(cards)
        self._workers: dict[WorkerKey, PoolWorker] = {}
        self._homes: dict[str, WorkerKey] = {}
        self._ending: set[PoolWorker] = set()
        self._abandoned: dict[str, PoolWorker] = {}
        self._busy: dict[WorkerKey, asyncio.Lock] = defaultdict(asyncio.Lock)

    def process(self, model: str) -> WorkerProcess:
        """The worker that hosts the model.

        Raises:
            danzar.errors.WorkerDied: None does (any more).
        """
        worker = self._worker_of(model)
        if worker is None:
            raise WorkerDied(f"the worker of {model} is gone; ask again")
        return worker.process

    def way_of(self, model: str) -> LoadWay | None:
        """How a model was loaded; ``None`` while it is not."""
        worker = self._worker_of(model)
        held = worker.models.get(model) if worker is not None else None
        return None if held is None else held.way

    async def keep(self, model: str, limit_bytes: int) -> None:
        """Keep the weights of a model that is about to be unloaded, and report what came of it."""
        worker = self._worker_of(model)
        if worker is not None and model in worker.models:
            await self.warm.keep(model, worker.process, limit_bytes)

    def worker_name(self, model: str) -> str:
        """The name of the worker that hosts the model, now or when it is loaded."""
        return self._hosted[model].worker

    def still_to_come(
        self, model: str, shown: Callable[[int], Mapping[str, int]]
    ) -> dict[str, int] | None:
        """What a load in flight will still take, by device UUID; ``None`` before it has begun.

        ``shown`` is what the driver shows for a process id.
        """
        worker = self._worker_of(model)
        if worker is None or model not in worker.models:
            return None
        others = worker.held_bytes(without=model)
        now = shown(worker.pid)
        booked = worker.models[model].held_bytes
        return {
            uuid: max(0, size - max(0, now.get(uuid, 0) - others.get(uuid, 0)))
            for uuid, size in booked.items()
        }

    def note_work(self, model: str, busy_s: float) -> None:
        """Let a simulated card's utilisation follow the work done in its name."""
        worker = self._worker_of(model)
        if worker is not None and model in worker.models:
            self._mirror.note_work(worker.models[model].held_bytes, busy_s)

    def workers(self) -> tuple[PoolWorker, ...]:
        """The workers that run now."""
        return tuple(self._workers.values())

    def resize(self, model: str, device_uuid: str, more_bytes: int) -> None:
        """A loaded model holds more (or, negative, less) than before, as booked.

        Raises:
            danzar.errors.OutOfMemory: A simulated card has no room for it; nothing has changed.
        """
        worker = self._worker_of(model)
        if worker is not None and model in worker.models:
            worker.resize(model, device_uuid, more_bytes)

    def pids(self) -> frozenset[int]:
        """Process ids of all workers, those included that are about to end."""
        ending = (w for w in self._ending if w.process.alive)
        return self.warm.pids() | {w.pid for w in (*self._workers.values(), *ending)}

    # --- loads and unloads -------------------------------------------------------------------

    async def load(
        self, model: str, device: DeviceSnapshot, placed: PlacedOn, measure: Measure
    ) -> DeviceBytes:
        """Load a model; returns what it took of each device, where the driver said so.

        Raises:
            danzar.errors.DanzarError: It could not be loaded; nothing is left of the attempt.
        """
        key = WorkerKey(self._hosted[model].worker, device.uuid)
        spec = await self.warm.equip(await self._make_spec(model, device, placed.settings))
        booked = {share.device_uuid: share.size_bytes for share in placed.shares}
        # One load at a time and worker, so that what the driver measures belongs to one model.
        async with self._busy[key]:
            worker = self._workers.get(key)
            origin = ProcessFrom.RUNNING
            if worker is None:
                gpus = () if device.simulated else tuple(u for u in booked if u != CPU_UUID)
                worker = await self._start(key, ENGINES[spec.backend], gpus)
                origin = worker.came_from
            before = await measure(worker.pid) if worker.models else {}
            worker.models[model] = HeldModel(booked)
            self._homes[model] = key
            try:
                worker.show()
                report = await worker.process.load(spec, timeout_s=self._load_timeout_s)
            except asyncio.CancelledError:
                if not self._abandon(worker, model):
                    await self._undo(worker, model, before, measure)
                raise
            except BaseException:
                await self._undo(worker, model, before, measure)
                raise
            after = await measure(worker.pid)
            grown = taken(before, after) if before is not None and after is not None else ()
            way = LoadWay(report.warm or self.warm.had_pages(model), origin)
            worker.models[model] = HeldModel(booked | dict(grown), report, way)
            return grown

    def can_cancel(self, model: str) -> bool:
        """Whether a load in flight can be ended at once: its process hosts nobody else."""
        worker = self._worker_of(model)
        return worker is None or set(worker.models) == {model}

    async def end_cancelled(self, model: str, measure: Measure) -> DeviceBytes:
        """After a load was cancelled: end its process, or unload the model from it.

        Returns as ``unload`` does.
        """
        worker = self._abandoned.pop(model, None)
        if worker is None:
            return await self.unload(model, measure)
        lost = await worker.kill(measure)
        self._discard_ended(worker)
        return lost

    async def unload(self, model: str, measure: Measure) -> DeviceBytes:
        """Unload a model, and with a worker's last model end the process.

        Returns when the process is gone or at least 90 % of the bytes are back; else what was lost,
        by device. An idle process that keeps the bytes is ended too, and its other models with it.
        """
        key = self._homes.pop(model, None)
        if key is None:
            return ()
        async with self._busy[key]:
            worker = self._workers.get(key)
            if worker is None or model not in worker.models:
                return ()
            if len(worker.models) == 1:
                return await self._end(worker, measure)
            lost = await worker.close_model(model, measure)
            if not lost or worker.process.busy_models or not worker.process.alive:
                return lost
            return await self._recycle(worker, model, measure)

    def forget(self, process: WorkerProcess, reason: str, *, out_of_memory: bool = False) -> None:
        """Note that a worker ended unasked, or is about to. Safe to call twice."""
        for key, worker in list(self._workers.items()):
            if worker.process is process:
                self._drop(worker)
                self.journal.strike_hosted(key.worker, key.device_uuid)
                log.warning("worker lost: %s on %s: %s", key.worker, key.device_uuid, reason)
                self.on_lost(key.worker, key.device_uuid, reason, out_of_memory=out_of_memory)

    async def close(self) -> None:
        """End all workers."""
        await self.warm.close()
        workers = (*self._workers.values(), *self._abandoned.values())
        self._workers.clear()
        self._abandoned.clear()
        self._homes.clear()
        await asyncio.gather(*(w.process.stop() for w in workers), return_exceptions=True)
        for worker in workers:
            self._mirror.clear(worker.pid)

    # --- one worker --------------------------------------------------------------------------

    async def _start(self, key: WorkerKey, engine: str, gpus: tuple[str, ...]) -> PoolWorker:
        standby = self.warm.take_standby(key.worker, gpus, partial(self._exited, key))
        if standby is None:
            return await self._start_new(key, engine, gpus)
        await self.journal.note_worker(standby.pid, key.worker, key.device_uuid)
        came_from = ProcessFrom.STANDBY
        worker = PoolWorker(key, standby.process, self._mirror, self.limits.back_s, came_from)
        if worker.process.alive:
            self._workers[key] = worker
        return worker

    async def _start_new(self, key: WorkerKey, engine: str, gpus: tuple[str, ...]) -> PoolWorker:
        pids: list[int] = []

        async def note(pid: int) -> None:
            pids.append(pid)
            await self.journal.note_worker(pid, key.worker, key.device_uuid)

        try:
            process = await WorkerProcess.start(
                engine,
                name=key.worker,
                cuda_uuids=gpus,
                limits=_limits_of(engine, self.limits),
                on_spawn=note,
                on_exit=lambda how: self._exited(key, pids[0], how),
            )
        except BaseException:
            for pid in pids:
                self.journal.strike_worker(pid)
            raise
        worker = PoolWorker(key, process, self._mirror, self.limits.back_s)
        if process.alive:
            self._workers[key] = worker
        return worker

    def _exited(self, key: WorkerKey, pid: int, how: WorkerExit) -> None:
        self.journal.strike_worker(pid)
        worker = self._workers.get(key)
        if worker is not None and worker.pid == pid and not how.expected:
            said = quote_output(how.output)
            reason = f"its worker {how.cause}" + (f".{said}" if said else "")
            self.forget(worker.process, reason, out_of_memory=ran_out(how))

    async def _end(self, worker: PoolWorker, measure: Measure) -> DeviceBytes:
        """End a process with its last model."""
        self._ending.add(worker)
        lost = await worker.end(measure)
        if self._workers.get(worker.key) is worker:
            self._drop(worker)
        self._discard_ended(worker)
        return lost

    async def _recycle(self, worker: PoolWorker, model: str, measure: Measure) -> DeviceBytes:
        """End an idle process that keeps what it should have given back."""
        self._ending.add(worker)
        self.forget(worker.process, f"it kept the memory of {model} and is started anew")
        lost = await worker.end(measure)
        self._discard_ended(worker)
        return lost

    def _discard_ended(self, worker: PoolWorker) -> None:
        """Forget a process that is gone; one that hangs in the driver stays Danzar's own."""
        if not worker.process.alive:
            self._ending.discard(worker)

    def _abandon(self, worker: PoolWorker, model: str) -> bool:
        """Take a process out of the pool, so that the next load there need not wait for its end.

        False where it hosts others than this model: then nothing has changed.
        """
        if set(worker.models) != {model} or self._workers.get(worker.key) is not worker:
            return False
        self._ending.add(worker)
        self._drop(worker)
        self._abandoned[model] = worker
        return True

    async def _undo(
        self, worker: PoolWorker, model: str, before: Mapping[str, int] | None, measure: Measure
    ) -> None:
        """After a load that failed: leave the process as it was, or end it."""
        self._homes.pop(model, None)
        if self._workers.get(worker.key) is not worker:
            return
        if len(worker.models) == 1:
            await self._end(worker, measure)
            return
        gone = worker.models.pop(model)
        worker.show()
        lost = await worker.wait_back(before or {}, gone.held_bytes, measure)
        if lost and before is not None and not worker.process.busy_models:
            await self._recycle(worker, model, measure)

    def _drop(self, worker: PoolWorker) -> None:
        del self._workers[worker.key]
        self._homes = {model: home for model, home in self._homes.items() if home != worker.key}
        self._mirror.clear(worker.pid)

    def _worker_of(self, model: str) -> PoolWorker | None:
        key = self._homes.get(model)
        return None if key is None else self._workers.get(key)


def _limits_of(engine: str, limits: WorkerLimits) -> WorkerLimits:
    """Strangers' files are decoded under a cap, so that one can't take the whole host's RAM."""
    if engine == "media":
        return replace(limits, address_space_bytes=_MEDIA_ADDRESS_SPACE_BYTES)
    return limits


def _ignore(worker: str, device_uuid: str, reason: str, *, out_of_memory: bool = False) -> None:
    """Until the manager listens, no worker runs that could be lost."""
