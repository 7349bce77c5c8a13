"""The real scheduler over simulated cards, with loads and unloads done in no time."""

import itertools
from dataclasses import dataclass, field

from danzar.broker.decision import DecisionKind, make_decision, unload_kind
from danzar.broker.model_view import model_views
from danzar.broker.prefetch_view import prefetch_view
from danzar.broker.queue_view import queue_views
from danzar.core.book import Reservation
from danzar.core.device import DeviceKind
from danzar.core.events import (
    JobEnded,
    JobSubmitted,
    LoadFinished,
    LoadRequested,
    PinChanged,
    ReservationsChanged,
    SnapshotsTaken,
    StartJob,
    StartLoad,
    StartUnload,
    UnloadFinished,
    UnloadRequested,
)
from danzar.core.ledger import Ledger
from danzar.core.model import Job, ModelFacts
from danzar.core.placement import plan_placement
from danzar.core.scheduler import Scheduler
from danzar.core.variant import Rung, Variant
from danzar.errors import CannotPlace
from danzar.telemetry.sampler import Sampler
from danzar.telemetry.simulated import SimulatedCards
from danzar.units import GIB

PID = 4242


def facts(name: str, gib: float, *, purpose: str = "chat", **changes) -> ModelFacts:
    variants = (
        Variant(Rung.FULL, round(gib * GIB), round(gib * GIB)),
        Variant(
            Rung.CONTEXT,
            round(gib * 0.75 * GIB),
            round(gib * 0.75 * GIB),
            loss="with 2048 instead of 8192 tokens of context",
        ),
    )
    return ModelFacts(
        **{
            "name": name,
            "worker": name,
            "purpose": purpose,
            "variants": variants,
            "preferred": ("cuda:0",) if purpose == "chat" else ("cuda:1",),
            **changes,
        }
    )


@dataclass
class Models:
    """As ``cogs.gpu_desk.Models``; ``clock_s`` is moved by the test."""

    scheduler: Scheduler
    cards: SimulatedCards
    sampler: Sampler
    clock_s: float = 100.0
    decisions: tuple = ()
    jobs: itertools.count = field(default_factory=lambda: itertools.count(1))

    def now_s(self) -> float:
        return self.clock_s

    def models(self):
        return model_views(self.scheduler.state, self.clock_s)

    def prefetches(self):
        return prefetch_view(self.scheduler.state, self.clock_s)

    def queues(self):
        return queue_views(self.scheduler.state, self.clock_s)

    def plan(self, model):
        state = self.scheduler.state
        inputs = state.plan_without(state.instances[model], self.clock_s)
        return inputs, plan_placement(inputs)

    def why(self, model):
        return self.scheduler.instances[model].last_plan

    async def load(self, model):
        await self._handle(LoadRequested(model))
        if not self.scheduler.instances[model].lease_ids:
            raise CannotPlace(f"{model} has no room")

    async def unload(self, model):
        await self._handle(UnloadRequested(model))

    def pin(self, model, pinned):
        self.scheduler.handle(PinChanged(model, pinned), self.clock_s)

    def reserve(self, reservations: tuple[Reservation, ...]):
        self.scheduler.handle(ReservationsChanged(reservations), self.clock_s)

    async def look(self):
        """Have the scheduler hear what the cards hold now."""
        snapshots = (await self.sampler.refresh()).snapshots
        await self._handle(SnapshotsTaken(snapshots, frozenset({PID})))

    async def start_job(self, model) -> int:
        """A request that runs until ``end_job``."""
        job = Job(next(self.jobs), model, self.clock_s)
        await self._handle(JobSubmitted(job))
        return job.job_id

    async def end_job(self, model, job_id):
        await self._handle(JobEnded(job_id, model, succeeded=True))

    async def _handle(self, event):
        effects = list(self.scheduler.handle(event, self.clock_s))
        while effects:
            effect = effects.pop(0)
            if isinstance(effect, StartLoad):
                effects += await self._loaded(effect)
            elif isinstance(effect, StartUnload):
                effects += await self._unloaded(effect)
            elif isinstance(effect, StartJob):
                continue

    async def _loaded(self, effect):
        device = self.scheduler.state.device(effect.device_uuid)
        self._decide(DecisionKind.LOAD, effect.model, effect.placed.reason, device.label)
        measured = []
        for share in effect.placed.shares:
            if self._is_card(share.device_uuid):
                self._hold(share.device_uuid, share.size_bytes)
                measured.append((share.device_uuid, share.size_bytes))
        snapshots = (await self.sampler.refresh()).snapshots
        event = LoadFinished(effect.model, effect.load_id, tuple(measured), snapshots, 2.0)
        return self.scheduler.handle(event, self.clock_s)

    async def _unloaded(self, effect):
        device = self.scheduler.state.device(effect.device_uuid)
        kind = unload_kind(effect.cause)
        self._decide(kind, effect.model, effect.reason, device.label)
        for lease in self.scheduler.ledger.leases():
            if lease.model == effect.model and self._is_card(lease.device_uuid):
                self._hold(lease.device_uuid, -lease.size_bytes)
        snapshots = (await self.sampler.refresh()).snapshots
        event = UnloadFinished(effect.model, effect.load_id, snapshots)
        return self.scheduler.handle(event, self.clock_s)

    def _is_card(self, uuid):
        return self.scheduler.state.device(uuid).kind is DeviceKind.CUDA

    def _hold(self, uuid, more_bytes):
        before = self._held(uuid)
        self.cards.hold(uuid, PID, "danzar-worker", before + more_bytes)

    def _held(self, uuid):
        snapshot = next(s for s in self.sampler.reading.snapshots if s.uuid == uuid)
        return sum(p.used_bytes for p in snapshot.processes if p.pid == PID)

    def _decide(self, kind, model, reason, device):
        decision = make_decision(1_700_000_000 + self.clock_s, kind, model, reason, device)
        self.decisions = (*self.decisions, decision)


def make_models(
    cards: SimulatedCards, sampler: Sampler, ledger: Ledger, *models: ModelFacts
) -> Models:
    return Models(Scheduler(models, ledger), cards, sampler)
