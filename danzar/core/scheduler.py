"""Events in, effects out: the one place that decides what is loaded where and what runs next.

Pure: it knows the time only as an argument, never blocks and touches nothing. The manager owns
the only instance, carries out its effects and reports back with events.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import assert_never

from danzar.core.backoff import backoff_s
from danzar.core.events import (
    Effect,
    Event,
    JobEnded,
    JobSubmitted,
    LoadFailed,
    LoadFinished,
    PreloadRequested,
    QueueMoved,
    Refusal,
    RefuseJob,
    Snapshots,
    SnapshotsTaken,
    StartJob,
    StartLoad,
    StartUnload,
    Tick,
    UnloadFinished,
    UnloadRequested,
    WorkerEvent,
    WorkerLost,
)
from danzar.core.eviction import EvictionPolicy, Resident, lru
from danzar.core.instance import InstanceState, can_become
from danzar.core.ledger import Ledger
from danzar.core.model import Job, ModelFacts, device_order
from danzar.core.placement import (
    Demand,
    Impossible,
    NeedsEviction,
    PlacedOn,
    Plan,
    WaitForRelease,
    plan_placement,
)
from danzar.core.queue import JobQueue

# A device that ran out while this model loaded is not tried again for this long.
RAN_OUT_S = 60.0

_HELD = (InstanceState.READY, InstanceState.DRAINING)


@dataclass(slots=True)
class Instance:
    """One model's place and state. Only the scheduler changes it."""

    facts: ModelFacts
    queue: JobQueue
    state: InstanceState = InstanceState.COLD
    device_uuid: str | None = None
    lease_id: int | None = None
    degraded: str | None = None
    in_flight: set[int] = field(default_factory=set)
    last_used_s: float = 0.0
    failures: int = 0
    not_before_s: float = 0.0
    last_error: str | None = None
    ran_out_until_s: dict[str, float] = field(default_factory=dict)

    def become(self, state: InstanceState) -> None:
        """Change the state along the table."""
        if not can_become(self.state, state):
            raise AssertionError(f"{self.facts.name}: {self.state} -> {state} is not in the table")
        self.state = state


class Scheduler:
    """Decides; see the module's docstring."""

    def __init__(
        self,
        models: Iterable[ModelFacts],
        ledger: Ledger,
        *,
        keep_alive_s: float,
        max_queue: int,
        policy: EvictionPolicy = lru,
    ) -> None:
        """Know the models and start with an empty picture of the devices.

        Args:
            models: Everything that may be asked for.
            ledger: The book; owned by this scheduler from now on.
            keep_alive_s: A model idle for this long is unloaded.
            max_queue: Jobs that may wait per model.
            policy: Which idle model goes first when room is needed.
        """
        self.ledger = ledger
        self.instances = {m.name: Instance(m, JobQueue(max_queue)) for m in models}
        self.snapshots: Snapshots = ()
        self._keep_alive_s = keep_alive_s
        self._policy = policy

    def handle(self, event: Event, now_s: float) -> list[Effect]:
        """What must now happen, in order."""
        effects = self._react(event, now_s)
        for instance in self.instances.values():
            effects += self._advance(instance, now_s)
        for instance in self.instances.values():
            effects += [QueueMoved(*moved) for moved in instance.queue.moved()]
        return effects

    def plan(self, model: str, now_s: float) -> Plan:
        """Where the model would go now; changes nothing."""
        instance = self.instances[model]
        return plan_placement(
            self._demand(instance, now_s),
            self.snapshots,
            self.ledger,
            self.residents(),
            self._policy,
        )

    def residents(self) -> tuple[Resident, ...]:
        """The loaded models, as eviction sees them."""
        return tuple(_resident(i, self.ledger) for i in self.instances.values() if i.state in _HELD)

    # --- one event -------------------------------------------------------------------------

    def _react(self, event: Event, now_s: float) -> list[Effect]:
        match event:
            case SnapshotsTaken(snapshots):
                self.snapshots = snapshots
            case Tick():
                return self._unload_idle(now_s)
            case JobSubmitted(job):
                return self._submit(job, now_s)
            case JobEnded():
                self._end(event, now_s)
            case UnloadRequested(model):
                return self._unload(self.instances[model], "asked for")
            case PreloadRequested(model):
                return self._preload(self.instances[model], now_s)
            case _:
                return self._react_to_worker(event, now_s)
        return []

    def _react_to_worker(self, event: WorkerEvent, now_s: float) -> list[Effect]:
        match event:
            case LoadFinished():
                self._loaded(event, now_s)
            case LoadFailed():
                return self._load_failed(event, now_s)
            case UnloadFinished():
                self._unloaded(event)
            case WorkerLost():
                self._worker_lost(event, now_s)
            case _:
                assert_never(event)
        return []

    def _submit(self, job: Job, now_s: float) -> list[Effect]:
        instance = self.instances.get(job.model)
        if instance is None:
            known = ", ".join(sorted(self.instances))
            return [
                RefuseJob(
                    job.job_id,
                    Refusal.UNKNOWN_MODEL,
                    f"no model is called {job.model!r}; known: {known}",
                )
            ]
        if instance.state is InstanceState.FAILED and now_s < instance.not_before_s:
            return [RefuseJob(job.job_id, Refusal.LOAD_FAILED, _failed_text(instance, now_s))]
        if instance.queue.is_full and not job.retried:
            reason = f"{len(instance.queue)} requests wait for {job.model} already; try again later"
            return [RefuseJob(job.job_id, Refusal.QUEUE_FULL, reason)]
        instance.queue.add(job)
        return []

    def _end(self, event: JobEnded, now_s: float) -> None:
        instance = self.instances.get(event.model)
        if instance is None or instance.queue.remove(event.job_id):
            return
        if event.job_id in instance.in_flight:
            instance.in_flight.discard(event.job_id)
            instance.last_used_s = now_s
            if event.succeeded:
                instance.failures = 0

    def _loaded(self, event: LoadFinished, now_s: float) -> None:
        self.snapshots = event.snapshots
        instance = self.instances[event.model]
        if instance.lease_id != event.lease_id:
            return
        self.ledger.commit(event.lease_id, event.measured_bytes)
        instance.become(InstanceState.READY)
        instance.last_used_s = now_s
        instance.last_error = None

    def _load_failed(self, event: LoadFailed, now_s: float) -> list[Effect]:
        self.snapshots = event.snapshots
        instance = self.instances[event.model]
        if instance.lease_id != event.lease_id:
            return []
        device_uuid = instance.device_uuid
        self._fail(instance, event.reason, now_s)
        if event.out_of_memory and device_uuid is not None:
            instance.ran_out_until_s[device_uuid] = now_s + RAN_OUT_S
            instance.not_before_s = now_s
            return []
        return _refuse_all(instance, Refusal.LOAD_FAILED, _failed_text(instance, now_s))

    def _unloaded(self, event: UnloadFinished) -> None:
        self.snapshots = event.snapshots
        instance = self.instances[event.model]
        if instance.lease_id != event.lease_id:
            return
        self._forget(instance)
        instance.become(InstanceState.COLD)

    def _worker_lost(self, event: WorkerLost, now_s: float) -> None:
        for instance in self.instances.values():
            hosted = (instance.facts.engine, instance.device_uuid) == (
                event.engine,
                event.device_uuid,
            )
            # A load or unload under way reports its own end.
            if hosted and instance.state in _HELD:
                self._fail(instance, event.reason, now_s)
                instance.not_before_s = now_s + backoff_s(instance.failures - 1)

    # --- what follows ----------------------------------------------------------------------

    def _advance(self, instance: Instance, now_s: float) -> list[Effect]:
        if instance.state is InstanceState.READY:
            return self._start_jobs(instance)
        if instance.state is InstanceState.DRAINING and not instance.in_flight:
            return self._begin_unload(instance, "drained")
        if len(instance.queue) == 0 or instance.state not in (
            InstanceState.COLD,
            InstanceState.FAILED,
        ):
            return []
        if now_s < instance.not_before_s:
            return _refuse_all(instance, Refusal.LOAD_FAILED, _failed_text(instance, now_s))
        return self._place(instance, now_s)

    def _start_jobs(self, instance: Instance) -> list[Effect]:
        effects: list[Effect] = []
        while len(instance.queue) and len(instance.in_flight) < instance.facts.slots:
            job = instance.queue.pop()
            instance.in_flight.add(job.job_id)
            effects.append(StartJob(job, instance.device_uuid or "", instance.degraded))
        return effects

    def _place(self, instance: Instance, now_s: float) -> list[Effect]:
        if not self.snapshots:
            return []
        plan = self.plan(instance.facts.name, now_s)
        match plan:
            case PlacedOn():
                return [self._begin_load(instance, plan)]
            case NeedsEviction(_, victims, reason):
                why = f"room for {instance.facts.name}: {reason}"
                return [e for v in victims for e in self._unload(self.instances[v], why)]
            case WaitForRelease():
                return []
            case Impossible(_, reason):
                if self._fits_when_idle(instance, now_s):
                    return []
                return _refuse_all(instance, Refusal.CANNOT_PLACE, reason)
            case _:
                assert_never(plan)

    def _begin_load(self, instance: Instance, plan: PlacedOn) -> StartLoad:
        facts = instance.facts
        lease = self.ledger.claim(facts.name, facts.purpose, plan.device_uuid, plan.size_bytes)
        instance.become(InstanceState.LOADING)
        instance.device_uuid, instance.lease_id = plan.device_uuid, lease.lease_id
        instance.degraded = plan.degraded
        return StartLoad(facts.name, plan.device_uuid, lease.lease_id, plan.size_bytes, plan.reason)

    def _preload(self, instance: Instance, now_s: float) -> list[Effect]:
        if instance.state is not InstanceState.COLD or not self.snapshots:
            return []
        plan = self.plan(instance.facts.name, now_s)
        return [self._begin_load(instance, plan)] if isinstance(plan, PlacedOn) else []

    def _fits_when_idle(self, instance: Instance, now_s: float) -> bool:
        """Whether waiting for busy models to finish would make room."""
        idle = tuple(replace(r, in_flight=0) for r in self.residents())
        demand = self._demand(instance, now_s)
        plan = plan_placement(demand, self.snapshots, self.ledger, idle, self._policy)
        return not isinstance(plan, Impossible)

    def _unload(self, instance: Instance, reason: str) -> list[Effect]:
        if instance.state is not InstanceState.READY:
            return []
        if instance.in_flight:
            instance.become(InstanceState.DRAINING)
            return []
        return self._begin_unload(instance, reason)

    def _begin_unload(self, instance: Instance, reason: str) -> list[Effect]:
        if instance.lease_id is None or instance.device_uuid is None:
            raise AssertionError(f"{instance.facts.name} is {instance.state} without a lease")
        instance.become(InstanceState.UNLOADING)
        self.ledger.begin_release(instance.lease_id)
        return [StartUnload(instance.facts.name, instance.device_uuid, instance.lease_id, reason)]

    def _unload_idle(self, now_s: float) -> list[Effect]:
        effects: list[Effect] = []
        for instance in self.instances.values():
            idle_s = now_s - instance.last_used_s
            busy = instance.in_flight or len(instance.queue)
            if not busy and not instance.facts.pinned and idle_s >= self._keep_alive_s:
                effects += self._unload(instance, f"idle for {idle_s:.0f} s")
        return effects

    # --- small steps -----------------------------------------------------------------------

    def _demand(self, instance: Instance, now_s: float) -> Demand:
        facts = instance.facts
        return Demand(
            model=facts.name,
            purpose=facts.purpose,
            cuda_bytes=facts.cuda_bytes,
            context_bytes=facts.context_bytes,
            host_bytes=facts.host_bytes,
            device_order=device_order(facts, self.snapshots),
            shared_on=self._devices_of(facts.engine),
            allow_cpu=facts.allow_cpu,
            wants_cpu=facts.wants_cpu,
            ran_out=frozenset(
                u for u, until_s in instance.ran_out_until_s.items() if now_s < until_s
            ),
            min_free_bytes=facts.min_free_bytes,
        )

    def _devices_of(self, engine: str) -> frozenset[str]:
        """Devices on which a process of this engine already lives."""
        return frozenset(
            i.device_uuid
            for i in self.instances.values()
            if i.facts.engine == engine and i.device_uuid is not None and i.state in _HELD
        )

    def _fail(self, instance: Instance, reason: str, now_s: float) -> None:
        self._forget(instance)
        instance.become(InstanceState.FAILED)
        instance.failures += 1
        instance.last_error = reason
        instance.not_before_s = now_s + backoff_s(instance.failures)

    def _forget(self, instance: Instance) -> None:
        if instance.lease_id is not None:
            self.ledger.release(instance.lease_id)
        instance.lease_id = None
        instance.device_uuid = None
        instance.degraded = None
        instance.in_flight.clear()


def _resident(instance: Instance, ledger: Ledger) -> Resident:
    if instance.lease_id is None or instance.device_uuid is None:
        raise AssertionError(f"{instance.facts.name} is {instance.state} without a lease")
    return Resident(
        model=instance.facts.name,
        lease_id=instance.lease_id,
        device_uuid=instance.device_uuid,
        size_bytes=ledger.lease(instance.lease_id).size_bytes,
        priority=instance.facts.priority,
        pinned=instance.facts.pinned,
        in_flight=len(instance.in_flight),
        waiting=len(instance.queue),
        last_used_s=instance.last_used_s,
    )


def _refuse_all(instance: Instance, kind: Refusal, reason: str) -> list[Effect]:
    return [RefuseJob(job.job_id, kind, reason) for job in instance.queue.drain()]


def _failed_text(instance: Instance, now_s: float) -> str:
    wait_s = max(0.0, instance.not_before_s - now_s)
    return (
        f"{instance.facts.name} could not be loaded: {instance.last_error}. "
        f"The next try is possible in {wait_s:.0f} s."
    )
