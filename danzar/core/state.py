"""Everything that the scheduler knows, and the rules that it goes by. Pure."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from danzar.core.batching import BatchRules
from danzar.core.book import Lease, LeaseState
from danzar.core.device import DeviceSnapshot
from danzar.core.events import Snapshots
from danzar.core.eviction import Resident
from danzar.core.instance import HELD, Instance
from danzar.core.ledger import Ledger
from danzar.core.model import ModelFacts, device_order
from danzar.core.placement import plan_placement
from danzar.core.plan import Demand, Plan, PlanInputs, PlanRules, without
from danzar.core.prediction import Habits, PredictionRules
from danzar.core.prefetch_counts import Outlook, PrefetchAccounts
from danzar.core.pressure import Pressure, PressureRules
from danzar.core.queue import JobQueue, QueueRules
from danzar.core.urgency import Wish, most_pressing
from danzar.core.warm_items import WarmRules, WarmTier
from danzar.core.warm_ways import reload_of

Planner = Callable[[PlanInputs], Plan]

# Without figures from the owner, a device's use never counts as pressure.
OTHERS = "other programs"
_KEPT_ID = -1_000_000  # below every earmark's id
NO_PRESSURE = PressureRules(warning_pct=100.0, clear_pct=100.0, low_free_bytes=0)


@dataclass(frozen=True, slots=True)
class YieldRules:
    """When models make way for other programs, and when they come back.

    Attributes:
        levels: From the warning level on, idle models leave; from the critical one on, busy ones
            finish and leave too.
        growth_bytes: Other programs must have grown by this much since the models were loaded;
            what Danzar filled itself is no reason to leave.
        calm_s: How long there must be room again before a model comes back.
        move_interval_s: A model leaves and comes back at most once in this time.
        drain_busy: Whether busy models finish and leave at the critical level.
    """

    levels: PressureRules = NO_PRESSURE
    growth_bytes: int = 256 * 1024 * 1024
    calm_s: float = 10.0
    move_interval_s: float = 60.0
    drain_busy: bool = True


@dataclass(frozen=True, slots=True)
class SchedulerRules:
    """What the owner decided.

    Attributes:
        keep_alive_s: A model idle for this long is unloaded.
        max_queue: Jobs that may wait per model.
        batch: How batches follow the memory; ``None``: they stay as configured.
        queue: How long which class should wait, and how many of one person may.
        prediction: When models are loaded before they are asked for.
    """

    keep_alive_s: float = 900.0
    max_queue: int = 16
    plan: PlanRules = field(default_factory=PlanRules)
    yields: YieldRules = field(default_factory=YieldRules)
    batch: BatchRules | None = None
    queue: QueueRules = field(default_factory=QueueRules)
    prediction: PredictionRules = field(default_factory=PredictionRules)
    warm: WarmRules = field(default_factory=WarmRules)


@dataclass(slots=True)
class DeviceWatch:
    """How full a device is, and because of whom. Only the scheduler changes it.

    Attributes:
        foreign_base_bytes: What other programs held when Danzar last loaded something there.
        calm_since_s: Since when other programs leave room; ``None`` while they do not.
        rises: How often it became full.
        grown_since_s: Since when other programs hold more than that; ``None`` while they do not.
        kept_bytes: What is left alone there for other programs that have grown.
    """

    pressure: Pressure | None = None
    foreign_bytes: int | None = None
    foreign_base_bytes: int | None = None
    calm_since_s: float | None = None
    rises: int = 0
    grown_since_s: float | None = None
    kept_bytes: int = 0


@dataclass(slots=True)
class State:
    """The scheduler's picture of the world. Only the scheduler changes it.

    Attributes:
        recycling: Of workers that are started anew: their models, and until when that is awaited.
        batch_fixed: The batch size that a person set; ``None`` where none did.
        habits: What was learned of when which model is used.
        outlook: What will be used soon, as was last seen.
        prefetches: What loading ahead has brought.
        warm: What is kept in host RAM for quicker loads.
        planner: Plans loads; whoever owns the scheduler may time it.
    """

    ledger: Ledger
    rules: SchedulerRules
    instances: dict[str, Instance] = field(default_factory=dict)
    snapshots: Snapshots = ()
    own_pids: frozenset[int] = frozenset()
    watches: dict[str, DeviceWatch] = field(default_factory=dict)
    last_load_id: int = 0
    recycling: dict[tuple[str, str], tuple[frozenset[str], float]] = field(default_factory=dict)
    batch_fixed: int | None = None
    habits: Habits = field(default_factory=Habits)
    outlook: Outlook = field(default_factory=Outlook)
    prefetches: PrefetchAccounts = field(default_factory=PrefetchAccounts)
    warm: WarmTier = field(default_factory=WarmTier)
    planner: Planner = plan_placement

    def add(self, facts: Iterable[ModelFacts]) -> None:
        """Know these models; those that are known keep their state."""
        for model in facts:
            known = self.instances.get(model.name)
            if known is None:
                queue = JobQueue(self.rules.max_queue, self.rules.queue)
                self.instances[model.name] = Instance(model, queue)
            else:
                known.facts = replace(model, pinned=known.facts.pinned)

    def device(self, uuid: str) -> DeviceSnapshot | None:
        """A device as it was last measured."""
        return next((s for s in self.snapshots if s.uuid == uuid), None)

    def residents(self, now_s: float) -> tuple[Resident, ...]:
        """The loaded models, as eviction sees them."""
        held = (i for i in self.instances.values() if i.state in HELD)
        return tuple(_resident(self, i, now_s) for i in held)

    def plan_inputs(
        self, instance: Instance, now_s: float, earmarks: Sequence[Lease] = ()
    ) -> PlanInputs:
        """What a plan for this model is made from now.

        ``earmarks`` is the room that older requests wait for, as leases of loads in flight.
        """
        book = self.ledger.book
        wish = most_pressing(instance, self.rules.queue, now_s)
        kept = () if instance.facts.protected else self._kept_for_others()
        return PlanInputs(
            demand=self._demand(instance, wish, now_s),
            devices=self.snapshots,
            book=replace(book, leases=(*book.leases, *earmarks, *kept)),
            residents=self.residents(now_s),
            rules=_in_time(self.rules.plan, wish),
            now_s=now_s,
        )

    def plan_without(self, instance: Instance, now_s: float) -> PlanInputs:
        """The same, were this model not loaded: as if the driver had its bytes back."""
        inputs = self.plan_inputs(instance, now_s)
        held = {lease_id: self.ledger.lease(lease_id) for lease_id in instance.lease_ids}
        # What a growing batch has claimed beyond the shares is not taken yet.
        shares = len(instance.placed.shares) if instance.placed else 0
        taken = [held[lease_id] for lease_id in instance.lease_ids[:shares]]
        back = {x.device_uuid: x.size_bytes for x in taken}
        return without(inputs, instance.name, held, back)

    def _kept_for_others(self) -> tuple[Lease, ...]:
        """Where other programs have grown, a load must not fill the card up again."""
        return tuple(
            Lease(_KEPT_ID - n, "", OTHERS, uuid, watch.kept_bytes, LeaseState.CLAIMED)
            for n, (uuid, watch) in enumerate(self.watches.items())
            if watch.kept_bytes
        )

    def _demand(self, instance: Instance, wish: Wish | None, now_s: float) -> Demand:
        facts = instance.facts
        return Demand(
            model=facts.name,
            purpose=facts.purpose,
            variants=facts.variants,
            context_bytes=facts.context_bytes,
            process_bytes=facts.process_bytes,
            device_order=device_order(facts, self.snapshots),
            shared_on=self._devices_of(facts.worker),
            ran_out=tuple(
                (uuid, size)
                for uuid, (size, until_s) in instance.ran_out_bytes.items()
                if now_s < until_s
            ),
            min_free_bytes=facts.min_free_bytes,
            allow_cpu=facts.allow_cpu,
            prefers=bool(facts.preferred),
            wants_cpu=facts.wants_cpu,
            protected=facts.protected,
            waited_s=0.0 if wish is None else max(0.0, now_s - wish.asked_s),
        )

    def _devices_of(self, worker: str) -> frozenset[str]:
        """Devices on which this worker's process already lives."""
        return frozenset(
            i.device_uuid
            for i in self.instances.values()
            if i.facts.worker == worker and i.device_uuid is not None and i.state in HELD
        )


def _in_time(rules: PlanRules, wish: Wish | None) -> PlanRules:
    """Patient classes make busy models leave later, in proportion to their bound on waiting."""
    if wish is None or wish.stretch == 1.0:
        return rules
    return replace(rules, drain_after_s=rules.drain_after_s * wish.stretch)


def earmark(number: int, instance: Instance, device_uuid: str) -> Lease:
    """Room on a device that an older request waits for; younger ones leave it alone."""
    facts = instance.facts
    size_bytes = facts.cuda_bytes + facts.context_bytes
    return Lease(-number, facts.name, facts.purpose, device_uuid, size_bytes, LeaseState.CLAIMED)


def _resident(state: State, instance: Instance, now_s: float) -> Resident:
    leases = [state.ledger.lease(lease_id) for lease_id in instance.lease_ids]
    if not leases:
        raise AssertionError(f"{instance.name} is {instance.state} without a lease")
    return Resident(
        model=instance.name,
        shares=tuple((x.device_uuid, x.lease_id, x.size_bytes) for x in leases),
        priority=instance.facts.priority,
        pinned=instance.facts.pinned,
        protected=instance.facts.protected and instance.prefetch is None,
        in_flight=len(instance.in_flight),
        waiting=len(instance.queue),
        last_used_s=instance.last_used_s,
        loaded_s=instance.loaded_s,
        reload_s=reload_of(state, instance).seconds,
        use_probability=instance.usage.use_probability(now_s),
        prefetched=instance.prefetch is not None,
    )
