"""Events in, effects out: the one place that decides what is loaded where and what runs next.

Pure: it knows the time only as an argument, never blocks and touches nothing. The manager owns
the only instance, carries out its effects and reports back with events.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import assert_never

from danzar.core.batch_tuning import (
    begin_batch,
    job_over,
    note_points,
    resized,
    shrink_after_running_out,
    tune_batches,
)
from danzar.core.device import DeviceSnapshot
from danzar.core.events import (
    BatchesMeasured,
    BatchFixed,
    BatchResized,
    Effect,
    Event,
    FactsChanged,
    HintGiven,
    JobEnded,
    JobSubmitted,
    LoadFailed,
    LoadFinished,
    LoadRequested,
    OwnerEvent,
    PinChanged,
    PlanEvent,
    PreloadRequested,
    RecycleRequested,
    ReservationsChanged,
    Snapshots,
    SnapshotsTaken,
    SpillFound,
    Tick,
    UnloadFinished,
    UnloadRequested,
    UpkeepEvent,
    VariantsChanged,
    WarmEvent,
    WorkerEvent,
    WorkerLost,
)
from danzar.core.eviction import Resident
from danzar.core.instance import Instance, InstanceState
from danzar.core.jobs import end, queue_moves, start_jobs, submit
from danzar.core.leaving import Leaving, UnloadCause
from danzar.core.ledger import Ledger
from danzar.core.loading import (
    begin_load,
    begin_unload,
    decide,
    load_failed,
    loaded,
    place_waiting,
    ran_out,
    unload,
    unloaded,
    worker_lost,
)
from danzar.core.model import ModelFacts
from danzar.core.placement import plan_placement
from danzar.core.plan import PlacedOn, Plan
from danzar.core.prefetch import (
    count_misses,
    keep,
    look_ahead,
    note_asked,
    note_hint,
    note_sent_away,
)
from danzar.core.recycle import bring_back, load_smaller, recycle
from danzar.core.state import SchedulerRules, State
from danzar.core.warm import follow_warm, make_room, note_warm
from danzar.core.yielding import come_back, rebase, watch_devices


class Scheduler:
    """Decides; see the module's docstring."""

    def __init__(
        self, models: Iterable[ModelFacts], ledger: Ledger, rules: SchedulerRules | None = None
    ) -> None:
        """Know the models and start with an empty picture of the devices.

        Args:
            models: Everything that may be asked for.
            ledger: The book; owned by this scheduler from now on.
            rules: What the owner decided; ``None`` takes the defaults.
        """
        self._state = State(ledger, rules or SchedulerRules())
        self._state.add(models)

    @property
    def ledger(self) -> Ledger:
        """The book, to be read only."""
        return self._state.ledger

    @property
    def instances(self) -> dict[str, Instance]:
        """The models by name, to be read only."""
        return self._state.instances

    @property
    def facts(self) -> tuple[ModelFacts, ...]:
        """What is known of each model."""
        return tuple(i.facts for i in self.instances.values())

    @property
    def snapshots(self) -> Snapshots:
        """The devices as they were last measured."""
        return self._state.snapshots

    @property
    def state(self) -> State:
        """Everything, to be read only."""
        return self._state

    def handle(self, event: Event, now_s: float) -> list[Effect]:
        """What must now happen, in order."""
        if isinstance(event, UpkeepEvent):
            effects = self._react_to_upkeep(event, now_s)
        elif isinstance(event, WarmEvent):
            note_warm(self._state, event, now_s)
            effects = []
        else:
            effects = self._react(event, now_s)
        # First the jobs of what was just loaded, or it could leave before it has answered one.
        for instance in self.instances.values():
            effects += _advance(self._state, instance, now_s)
        effects += place_waiting(self._state, now_s)
        for instance in self.instances.values():
            effects += _advance(self._state, instance, now_s)
        for instance in self.instances.values():
            effects += queue_moves(instance, now_s)
        count_misses(self._state, effects)
        return follow_warm(self._state, event, effects, now_s)

    def look_ahead(self, now_s: float) -> list[Effect]:
        """What may happen now that nothing else is to be done: loads ahead begin, or make way.

        To be called when no event waits to be handled.
        """
        return make_room(self._state, look_ahead(self._state, now_s), now_s)

    def plan(self, model: str, now_s: float) -> Plan:
        """Where the model would go now, were it not loaded; changes nothing."""
        return plan_placement(self._state.plan_without(self.instances[model], now_s))

    def residents(self, now_s: float = 0.0) -> tuple[Resident, ...]:
        """The loaded models, as eviction sees them."""
        return self._state.residents(now_s)

    def set_rules(self, rules: SchedulerRules) -> None:
        """Go by new rules from now on."""
        self._state.rules = rules
        for instance in self.instances.values():
            instance.queue.limit = rules.max_queue
            instance.queue.rules = rules.queue

    # --- one event -------------------------------------------------------------------------

    def _react(self, event: PlanEvent, now_s: float) -> list[Effect]:
        match event:
            case SnapshotsTaken(snapshots, own_pids):
                self._state.snapshots, self._state.own_pids = snapshots, own_pids
                return [*watch_devices(self._state, now_s), *tune_batches(self._state, now_s)]
            case Tick(local_s):
                if local_s is not None:
                    self._state.habits.note_time(local_s, now_s)
                bring_back(self._state, now_s)
                return [*self._unload_idle(now_s), *come_back(self._state, now_s)]
            case JobSubmitted(job):
                note_asked(self._state, job.model, now_s, again=job.retried)
                return submit(self._state, job, now_s)
            case JobEnded():
                return self._job_ended(event, now_s)
            case LoadFinished() | LoadFailed() | UnloadFinished() | WorkerLost():
                return self._react_to_worker(event, now_s)
            case _:
                return self._react_to_owner(event, now_s)

    def _job_ended(self, event: JobEnded, now_s: float) -> list[Effect]:
        instance = end(self._state, event, now_s)
        if instance is None:
            return []
        effects = job_over(instance, event.job_id)
        if not event.out_of_memory:
            return effects
        smaller = shrink_after_running_out(self._state, instance, now_s)
        if smaller is not None:
            return [*effects, *smaller]
        return [*effects, *ran_out(self._state, instance, now_s)]

    def _react_to_worker(self, event: WorkerEvent, now_s: float) -> list[Effect]:
        match event:
            case LoadFinished():
                effects = loaded(self._state, event, now_s)
                rebase(self._state, self.instances[event.model])
                begin_batch(self._state, self.instances[event.model], now_s)
                return effects
            case LoadFailed():
                return load_failed(self._state, event, now_s)
            case UnloadFinished():
                unloaded(self._state, event)
                bring_back(self._state, now_s)
            case WorkerLost():
                worker_lost(self._state, event, now_s)
            case _:
                assert_never(event)
        return []

    def _react_to_upkeep(self, event: UpkeepEvent, now_s: float) -> list[Effect]:
        match event:
            case BatchesMeasured(model, points):
                note_points(self._state, model, points)
            case BatchResized():
                return resized(self._state, event)
            case BatchFixed(size):
                self._state.batch_fixed = size
                return tune_batches(self._state, now_s)
            case RecycleRequested():
                return recycle(self._state, event, now_s)
            case SpillFound():
                return load_smaller(self._state, event, now_s)
            case _:
                assert_never(event)
        return []

    def _react_to_owner(self, event: OwnerEvent, now_s: float) -> list[Effect]:
        match event:
            case LoadRequested(model):
                note_asked(self._state, model, now_s)
                self.instances[model].wanted_s = now_s
            case UnloadRequested(model):
                note_sent_away(self._state, model, now_s)
                leaving = Leaving(UnloadCause.ASKED, "asked for")
                return unload(self._state, self.instances[model], leaving)
            case PreloadRequested(model):
                return self._preload(self.instances[model], now_s)
            case HintGiven(model, kind):
                note_hint(self._state, model, kind, now_s)
            case PinChanged(model, pinned):
                instance = self.instances[model]
                instance.facts = replace(instance.facts, pinned=pinned)
            case ReservationsChanged(reservations):
                self.ledger.set_reservations(reservations)
            case VariantsChanged(model, variants):
                instance = self.instances[model]
                instance.facts = replace(instance.facts, variants=variants)
            case FactsChanged(facts):
                self._state.add(facts)
            case _:
                assert_never(event)
        return []

    # --- loads and unloads without a request -------------------------------------------------

    def _preload(self, instance: Instance, now_s: float) -> list[Effect]:
        if instance.state is not InstanceState.COLD or not self.snapshots:
            return []
        plan, effects = decide(self._state, instance, now_s)
        if not isinstance(plan, PlacedOn):
            return effects
        return [*effects, begin_load(self._state, instance, plan)]

    def _unload_idle(self, now_s: float) -> list[Effect]:
        """Those on less powerful devices first."""
        idle = [
            i
            for i in self.instances.values()
            if i.state is InstanceState.READY
            and i.is_idle
            and not i.facts.pinned
            and now_s - i.last_used_s >= self._state.rules.keep_alive_s
            and not keep(self._state, i, now_s)
        ]
        effects: list[Effect] = []
        for instance in sorted(idle, key=self._power):
            idle_s = now_s - instance.last_used_s
            leaving = Leaving(UnloadCause.IDLE, f"idle for {idle_s:.0f} s")
            effects += unload(self._state, instance, leaving)
        return effects

    def _power(self, instance: Instance) -> tuple[int, str]:
        device: DeviceSnapshot | None = self._state.device(instance.device_uuid or "")
        return (device.total_bytes if device else 0, instance.name)


def _advance(state: State, instance: Instance, now_s: float) -> list[Effect]:
    if instance.state is InstanceState.READY:
        return start_jobs(instance, now_s)
    leaving = instance.leaves_because
    if instance.state is InstanceState.DRAINING and not instance.in_flight and leaving is not None:
        return [begin_unload(state, instance, leaving)]
    return []
