"""The shell around the scheduler: one task owns it, carries out effects, reports back events."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping
from contextlib import aclosing
from typing import Any

from danzar.broker.batch_resizer import BatchResizer
from danzar.broker.decision import Decision
from danzar.broker.loader import Loader
from danzar.broker.local_time import local_s
from danzar.broker.model_view import ModelView, model_views
from danzar.broker.news import NewsDesk, PlanMade
from danzar.broker.pool import WorkerPool
from danzar.broker.pool_worker import PoolWorker
from danzar.broker.prefetch_view import PrefetchView, prefetch_view
from danzar.broker.queue_view import QueueView, queue_views
from danzar.broker.requests import Requests, Wanted
from danzar.core.asker import NOBODY, Asker
from danzar.core.batch_curve import BatchPoint
from danzar.core.batch_tuning import BatchView, batch_views
from danzar.core.book import Limit, Margins, Reservation
from danzar.core.device import DeviceSnapshot, find_device
from danzar.core.events import (
    BatchChanged,
    BatchesMeasured,
    BatchFixed,
    CancelLoad,
    Decided,
    DropWarm,
    Effect,
    Event,
    FactsChanged,
    HintGiven,
    LoadEffect,
    LoadFinished,
    LoadRequested,
    PinChanged,
    PreloadRequested,
    QueueMoved,
    RecycleRequested,
    RefuseJob,
    ReservationsChanged,
    ResizeBatch,
    SnapshotsTaken,
    SpillFound,
    StartJob,
    StartLoad,
    StartStandby,
    StartUnload,
    Tick,
    UnloadRequested,
    VariantsChanged,
    WarmEffect,
    WorkerLost,
)
from danzar.core.incident import Observation
from danzar.core.instance import Instance, InstanceState
from danzar.core.model import ModelFacts
from danzar.core.placement import plan_placement
from danzar.core.plan import Impossible, PlacedOn, Plan, PlanInputs
from danzar.core.prediction_hints import HintKind
from danzar.core.scheduler import Scheduler
from danzar.core.state import SchedulerRules
from danzar.core.variant import Variant
from danzar.core.warm_files import files_to_drop
from danzar.errors import (
    CannotPlace,
    DanzarError,
    ModelMissing,
    WorkerDied,
    WorkerStartFailed,
)
from danzar.inference import MakeRequest, OnPosition, Outcome, Progress
from danzar.telemetry.sampler import Sampler
from danzar.workers.contract import MeasuredBatch, Request

log = logging.getLogger(__name__)

OnLoaded = Callable[[ModelFacts, LoadFinished, PlacedOn], None]
_KEPT_CHANGES = 200
_LEAVING = (InstanceState.READY, InstanceState.DRAINING, InstanceState.UNLOADING)


class ModelManager:
    """Answers requests for models by name; see ``danzar.inference.Inference``.

    Attributes:
        on_decided: Called with every new decision of the planner, on the event loop.
        on_loaded: Called with every load that is done: the model, the event, its placement.
        observers: What tells of troubles with models.
        requests: Those that wait or run; ``requests.on_result`` hears every answer.
        news: Where everything is told that is worth counting.
        batch_changes: The last changes of batch sizes, with monotonic seconds, oldest first.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        pool: WorkerPool,
        sampler: Sampler,
        *,
        part_timeout_s: float,
    ) -> None:
        """Wire the parts; ``run`` makes them move.

        Args:
            scheduler: Owned from now on.
            pool: Owned from now on; closed when ``run`` ends.
            sampler: Run by someone else; asked for fresh snapshots after loads and unloads.
            part_timeout_s: Longest silence of a worker in a request.
        """
        self._scheduler = scheduler
        self._pool = pool
        self._sampler = sampler
        self._inbox: asyncio.Queue[Event] = asyncio.Queue()
        self._loader = Loader(pool, sampler, self._inbox.put_nowait)
        self._resizer = BatchResizer(
            pool,
            sampler,
            self._inbox.put_nowait,
            lambda model, work: self.requests.on_result(model, MeasuredBatch(work), 0.0),
        )
        self.batch_changes: deque[tuple[float, BatchChanged]] = deque(maxlen=_KEPT_CHANGES)
        self.requests = Requests(
            pool, self._device, self._inbox.put_nowait, part_timeout_s=part_timeout_s
        )
        self.news = self._loader.news = self.requests.news = NewsDesk()
        scheduler.state.planner = self._plan_timed
        self._owner: asyncio.Task[Any] | None = None
        self._changed = asyncio.Event()
        self.on_decided: Callable[[Decided], None] = _ignore_decided
        self.on_loaded: OnLoaded = _ignore_loaded
        self.observers: list[Callable[[], list[Observation]]] = []
        pool.on_lost = self._worker_lost
        pool.warm.post = self._inbox.put_nowait
        pool.warm.files_to_drop = lambda: files_to_drop(scheduler.state, self.now_s())

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """What was loaded and unloaded lately, and why; oldest first."""
        return tuple(self._loader.decisions)

    @property
    def scheduler(self) -> Scheduler:
        """The scheduler, to be read only."""
        return self._scheduler

    def worker_pids(self) -> frozenset[int]:
        """Process ids of Danzar's workers: memory that others hold is foreign use."""
        return self._pool.pids()

    @property
    def is_running(self) -> bool:
        """Whether the task that owns the scheduler lives."""
        return self._owner is not None and not self._owner.done()

    async def run(self) -> None:
        """Own the scheduler until cancelled; then end all workers."""
        self._owner = asyncio.current_task()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._follow_sampler())
                while True:
                    event = await self._inbox.get()
                    for effect in self._scheduler.handle(event, self.now_s()):
                        self._carry_out(effect, tasks)
                    if self._inbox.empty():
                        for effect in self._scheduler.look_ahead(self.now_s()):
                            self._carry_out(effect, tasks)
                    if isinstance(event, LoadFinished):
                        self._tell_loaded(event)
                    self._changed.set()
                    self._changed = asyncio.Event()
        finally:
            await self._pool.close()

    # --- what the owner may ask -------------------------------------------------------------

    def now_s(self) -> float:
        """The scheduler's clock, monotonic seconds."""
        return time.monotonic()

    def models(self) -> tuple[ModelView, ...]:
        """Every model as it is now."""
        return model_views(self._scheduler.state, self.now_s())

    def queues(self) -> tuple[QueueView, ...]:
        """Who runs and who waits, for every model."""
        return queue_views(self._scheduler.state, self.now_s())

    def cancel(self, number: int, reason: str) -> bool:
        """Take a waiting request back; whether it waited.

        Whoever asked hears ``danzar.errors.Cancelled`` with the reason.
        """
        waits = any(x.number == number for view in self.queues() for x in view.waiting)
        return waits and self.requests.tickets.cancel(number, reason)

    def plan(self, model: str) -> tuple[PlanInputs, Plan]:
        """Where a model would go now, and what that is made from; touches nothing.

        Raises:
            danzar.errors.ModelMissing: No model has that name.
        """
        inputs = self._scheduler.state.plan_without(self._instance(model), self.now_s())
        return inputs, plan_placement(inputs)

    def why(self, model: str) -> tuple[PlanInputs, Plan] | None:
        """The last decision about a model; ``None`` where there was none yet.

        Raises:
            danzar.errors.ModelMissing: No model has that name.
        """
        return self._instance(model).last_plan

    def preload(self, model: str) -> None:
        """Load a model before it is asked for, if it fits without evicting anything."""
        self._inbox.put_nowait(PreloadRequested(model))

    def hint(self, model: str, kind: HintKind) -> None:
        """Somebody is about to ask a model, it seems; unknown models are fine."""
        self._inbox.put_nowait(HintGiven(model, kind))

    def prefetches(self) -> PrefetchView:
        """What loading ahead has brought, and what is expected now."""
        return prefetch_view(self._scheduler.state, self.now_s())

    async def load(self, model: str) -> None:
        """Load a model; idle ones leave for it, and busy ones are waited for.

        Raises:
            danzar.errors.ModelMissing: No model has that name.
            danzar.errors.CannotPlace: There is no room, with the numbers.
            danzar.errors.WorkerStartFailed: It could not be loaded, with the cause.
        """
        instance = self._instance(model)
        await self._until(LoadRequested(model), lambda: _is_load_over(instance))
        if instance.state is not InstanceState.READY:
            raise _not_loaded(instance)

    async def unload(self, model: str) -> None:
        """Unload a model once it is idle; returns when its memory is back.

        Raises:
            danzar.errors.ModelMissing: No model has that name.
        """
        instance = self._instance(model)
        await self._until(UnloadRequested(model), lambda: instance.state not in _LEAVING)

    def pin(self, model: str, pinned: bool) -> None:
        """Keep a model loaded whatever happens, or let it go again.

        Raises:
            danzar.errors.ModelMissing: No model has that name.
        """
        self._instance(model)
        self._inbox.put_nowait(PinChanged(model, pinned))

    def reserve(self, reservations: tuple[Reservation, ...]) -> None:
        """Replace all reservations."""
        self._inbox.put_nowait(ReservationsChanged(reservations))

    def change_facts(self, facts: tuple[ModelFacts, ...]) -> None:
        """Know more of some models: the owner's settings changed."""
        self._inbox.put_nowait(FactsChanged(facts))

    def change_variants(self, model: str, variants: tuple[Variant, ...]) -> None:
        """Know better what a model takes: a load was measured."""
        self._inbox.put_nowait(VariantsChanged(model, variants))

    # --- batches and upkeep ------------------------------------------------------------------

    def batches(self) -> tuple[BatchView, ...]:
        """The batch of every loaded model that computes batches."""
        return batch_views(self._scheduler.state)

    def batch_size(self, model: str) -> int | None:
        """Pictures that a model computes at once now; ``None`` while it is not loaded."""
        instance = self._scheduler.instances.get(model)
        if instance is None or instance.batch is None or self._scheduler.state.rules.batch is None:
            return None
        return instance.batch.state.size

    def fix_batch(self, size: int | None) -> None:
        """Set the batch of all models, as far as memory allows; ``None`` lets it follow again."""
        self._inbox.put_nowait(BatchFixed(size))

    def note_batches(self, model: str, points: tuple[BatchPoint, ...]) -> None:
        """Batches of a model were measured."""
        self._inbox.put_nowait(BatchesMeasured(model, points))

    def workers(self) -> tuple[PoolWorker, ...]:
        """The running workers, to be asked, not to be ended."""
        return self._pool.workers()

    def recycle(self, worker: str, device_uuid: str, reason: str) -> None:
        """Start a worker anew: its requests end, its models leave and come back."""
        self._inbox.put_nowait(RecycleRequested(worker, device_uuid, reason))

    def load_smaller(self, model: str, reason: str) -> None:
        """Load a model again with less on its device: the driver moved part of it to host RAM."""
        self._inbox.put_nowait(SpillFound(model, reason))

    def observe(self) -> list[Observation]:
        """Troubles with models, for the monitor."""
        return [observation for observer in self.observers for observation in observer()]

    def change_ledger(
        self, budgets_bytes: Mapping[str, int], margins: Margins, limits: Iterable[Limit]
    ) -> None:
        """Keep the book by new rules from now on; leases stay as they are."""
        self._scheduler.ledger.set_rules(budgets_bytes, margins, limits)

    def change_rules(self, rules: SchedulerRules) -> None:
        """Go by new rules from now on."""
        self._scheduler.set_rules(rules)

    def _instance(self, model: str) -> Instance:
        known = self._scheduler.instances
        if model not in known:
            raise ModelMissing(f"no model is called {model!r}; known: {', '.join(sorted(known))}")
        return known[model]

    async def _until(self, event: Event, is_over: Callable[[], bool]) -> None:
        """Tell the scheduler, and return once what it came to is over.

        The owner takes every event that waits before anyone else runs: what is seen after the
        first wait is what came of this one.
        """
        changed = self._changed
        self._inbox.put_nowait(event)
        while True:
            await changed.wait()
            changed = self._changed
            if is_over():
                return

    async def call(
        self, model: str, request: Request | MakeRequest, *, asker: Asker = NOBODY
    ) -> Outcome:
        """The result of a request whose parts do not matter."""
        async with aclosing(self.stream(model, request, asker=asker)) as progress:
            async for step in progress:
                if isinstance(step, Outcome):
                    return step
        raise AssertionError(f"{model} ended without a result")

    def stream(
        self,
        model: str,
        request: Request | MakeRequest,
        *,
        asker: Asker = NOBODY,
        on_position: OnPosition | None = None,
    ) -> AsyncGenerator[Progress]:
        """See ``Inference.stream``."""
        return self.requests.stream(Wanted(model, request, asker, on_position))

    def _device(self, uuid: str) -> DeviceSnapshot:
        found = find_device(self._scheduler.snapshots, uuid)
        if found is None:
            raise WorkerDied(f"the device {uuid} is gone; ask again")
        return found

    def _visible(self, uuid: str) -> tuple[str, ...]:
        """The cards that a process for this device sees."""
        device = find_device(self._scheduler.snapshots, uuid)
        return (uuid,) if device is not None and device.is_real_gpu else ()

    # --- effects ---------------------------------------------------------------------------

    def _carry_out(self, effect: Effect, tasks: asyncio.TaskGroup) -> None:
        match effect:
            case StartLoad() | CancelLoad() | StartUnload() | DropWarm() | StartStandby():
                tasks.create_task(self._move(effect))
            case StartJob():
                self.requests.tickets.start(effect)
            case RefuseJob():
                self.requests.tickets.refuse(effect)
            case QueueMoved():
                self.requests.tickets.move(effect)
            case Decided():
                self.on_decided(effect)
            case ResizeBatch():
                tasks.create_task(self._resize(effect))
            case BatchChanged():
                self._note_batch(effect)

    def _move(self, effect: LoadEffect | WarmEffect) -> Coroutine[Any, Any, None]:
        """What goes into memory, or comes out of it.

        Devices are looked up now: when the task runs, the next reading may be there.
        """
        match effect:
            case StartLoad():
                return self._loader.load(effect, self._device(effect.device_uuid))
            case CancelLoad():
                return self._loader.cancel(effect)
            case StartUnload():
                return self._loader.unload(effect)
            case DropWarm():
                return self._pool.warm.drop(effect)
            case StartStandby():
                return self._pool.warm.start_standby(effect, self._visible(effect.device_uuid))

    def _note_batch(self, effect: BatchChanged) -> None:
        self.batch_changes.append((self.now_s(), effect))
        log.info(
            "batch of %s: %d -> %d: %s", effect.model, effect.before, effect.size, effect.reason
        )

    def _plan_timed(self, inputs: PlanInputs) -> Plan:
        began_s = time.perf_counter()
        plan = plan_placement(inputs)
        self.news.tell(PlanMade(time.perf_counter() - began_s))
        return plan

    async def _resize(self, effect: ResizeBatch) -> None:
        uuid = self._scheduler.instances[effect.model].device_uuid
        device = find_device(self._scheduler.snapshots, uuid or "")
        if device is not None:
            await self._resizer.resize(effect, device)

    # --- what happens by itself ------------------------------------------------------------

    def _tell_loaded(self, event: LoadFinished) -> None:
        instance = self._scheduler.instances[event.model]
        if instance.load_id == event.load_id and instance.placed is not None:
            self.on_loaded(instance.facts, event, instance.placed)

    def _worker_lost(
        self, worker: str, device_uuid: str, reason: str, *, out_of_memory: bool = False
    ) -> None:
        for instance in self._scheduler.instances.values():
            if (instance.facts.worker, instance.device_uuid) == (worker, device_uuid):
                self._loader.note_lost(instance.name, device_uuid, reason)
        self._inbox.put_nowait(WorkerLost(worker, device_uuid, reason, out_of_memory))

    async def _follow_sampler(self) -> None:
        async with aclosing(self._sampler.readings()) as readings:
            async for reading in readings:
                self._inbox.put_nowait(SnapshotsTaken(reading.snapshots, self._pool.pids()))
                self._inbox.put_nowait(Tick(local_s()))
                await self._pool.warm.check(reading.snapshots)


def _is_load_over(instance: Instance) -> bool:
    if instance.state is InstanceState.READY:
        return True
    return instance.wanted_s is None and instance.state is not InstanceState.LOADING


def _not_loaded(instance: Instance) -> DanzarError:
    """Why a model that was asked for is not there."""
    if instance.last_plan is not None and isinstance(instance.last_plan[1], Impossible):
        return CannotPlace(instance.last_plan[1].reason)
    return WorkerStartFailed(f"{instance.name} was not loaded: {instance.last_error or 'unloaded'}")


def _ignore_decided(decided: Decided) -> None:
    """Until someone records decisions, they are in the log alone."""


def _ignore_loaded(facts: ModelFacts, event: LoadFinished, placed: PlacedOn) -> None:
    """Until someone learns from it, a load is just done."""
