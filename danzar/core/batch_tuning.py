"""The batches of loaded models, booked. Pure: functions over the scheduler's state.

A model's lease holds its activations too. To grow, the difference is claimed first, like a load;
when the worker has taken it, the claim becomes part of the lease. To shrink, new requests begin
with the smaller batch, those under way end, the worker gives back what it cached, and then the
lease shrinks, by no more than came back.
"""

from dataclasses import dataclass, replace

from danzar.core.batch_curve import BatchPoint
from danzar.core.batching import (
    BatchInputs,
    BatchRules,
    BatchState,
    after_running_out,
    next_batch,
    optimal_batch,
)
from danzar.core.book import LeaseState
from danzar.core.device import DeviceSnapshot
from danzar.core.events import BatchChanged, BatchResized, Effect, ResizeBatch
from danzar.core.instance import Instance, InstanceState
from danzar.core.state import State
from danzar.core.tuned import TunedBatch

RAN_OUT_S = 600.0
# Of the reserve: when less than this is left of it, a batch shrinks at once. What others can take
# between two readings must fit into it.
_UNTOUCHED = 0.75


@dataclass(frozen=True, slots=True)
class BatchView:
    """One loaded model's batch, for people.

    Attributes:
        size: Pictures computed at once, now.
        optimal: The best one for now; ``None`` where nothing was measured yet.
        limit: The largest that memory has room for; ``None`` unknown.
        reason: Why the best one is what it is, with the numbers.
        activation_bytes: What is booked for it; ``None`` unknown.
        changed_s: When it last changed, monotonic seconds.
    """

    model: str
    device_uuid: str
    size: int
    optimal: int | None
    limit: int | None
    reason: str
    activation_bytes: int | None
    changed_s: float


def begin_batch(state: State, instance: Instance, now_s: float) -> None:
    """A model was loaded: its lease has room for the batch that it was loaded with."""
    configured, placed = instance.facts.batch, instance.placed
    if configured is None or placed is None or instance.state is not InstanceState.READY:
        return
    size = int(dict(placed.settings).get("max_batch", configured))
    # What it was loaded with was no change: the first one that is right need not wait for a minute.
    rules = state.rules.batch
    changed_s = now_s - rules.interval_s if rules is not None else now_s
    instance.batch = TunedBatch(BatchState(size, changed_s))


def note_points(state: State, model: str, points: tuple[BatchPoint, ...]) -> None:
    """Batches of this model were measured."""
    instance = state.instances.get(model)
    if instance is not None:
        instance.curve = instance.curve.with_points(points)


def tune_batches(state: State, now_s: float) -> list[Effect]:
    """Let every loaded model's batch follow its device."""
    rules = state.rules.batch
    if rules is None:
        return []
    effects: list[Effect] = []
    for instance in state.instances.values():
        seen = batch_inputs(state, instance, rules)
        if seen is None or instance.batch is None or instance.batch.growing is not None:
            continue
        before = instance.batch.state
        after, why = next_batch(before, seen, rules, now_s)
        if after.size <= before.size:
            instance.batch.state = after
            effects += _shrink(instance, before.size, why)
        else:
            effects += _grow(state, instance, after, seen, why)
    return effects


def shrink_after_running_out(state: State, instance: Instance, now_s: float) -> list[Effect] | None:
    """Halve the batch of a model that ran out of memory; ``None`` where that is no way out."""
    rules, tuned = state.rules.batch, instance.batch
    if rules is None or tuned is None or instance.state is not InstanceState.READY:
        return None
    after = after_running_out(tuned.state, rules, now_s, now_s + RAN_OUT_S)
    if after is None:
        return None
    before, tuned.state = tuned.state.size, after
    return _shrink(instance, before, f"{before} at once ran out of memory")


def job_over(instance: Instance, job_id: int) -> list[Effect]:
    """A request has ended; where it was the last one with a larger batch, memory is given back."""
    tuned = instance.batch
    if tuned is None or tuned.shrinking is None or job_id not in tuned.old_jobs:
        return []
    tuned.old_jobs = tuned.old_jobs - {job_id}
    if tuned.old_jobs:
        return []
    effect, tuned.shrinking = tuned.shrinking, None
    return [effect]


def resized(state: State, event: BatchResized) -> list[Effect]:
    """The worker took what a larger batch needs, or gave back what a smaller one does not."""
    state.snapshots = event.snapshots
    instance = state.instances[event.model]
    tuned = instance.batch
    if tuned is None or instance.load_id != event.load_id:
        return []
    if event.size > event.before:
        return _finish_growth(state, instance, tuned, event)
    _give_back(state, instance, event)
    return []


def batch_inputs(state: State, instance: Instance, rules: BatchRules) -> BatchInputs | None:
    """What a decision about this model's batch is made from; ``None`` where there is none."""
    if instance.state is not InstanceState.READY or instance.batch is None:
        return None
    device = state.device(instance.device_uuid or "")
    held_bytes = instance.curve.bytes_at(instance.batch.state.size)
    if device is None or held_bytes is None:
        return None
    room_bytes, hard_bytes = _rooms(state, instance, device, rules)
    used = None if device.used_bytes is None else device.used_bytes / max(1, device.total_bytes)
    return BatchInputs(
        curve=instance.curve,
        held_bytes=held_bytes,
        room_bytes=room_bytes,
        hard_room_bytes=hard_bytes,
        used_share=used,
        temperature_c=device.temperature_c,
        utilisation_pct=device.utilisation_pct,
        waiting=len(instance.queue),
        fixed_size=state.batch_fixed,
    )


def batch_views(state: State) -> tuple[BatchView, ...]:
    """Every loaded model that computes batches."""
    held = (i for i in state.instances.values() if i.batch is not None and i.device_uuid)
    return tuple(_view(state, i, i.batch) for i in held if i.batch is not None)


def _view(state: State, instance: Instance, tuned: TunedBatch) -> BatchView:
    rules = state.rules.batch
    seen = batch_inputs(state, instance, rules) if rules else None
    size = tuned.state.size
    view = BatchView(
        model=instance.name,
        device_uuid=instance.device_uuid or "",
        size=size,
        optimal=None,
        limit=None,
        reason="the optimizer is off" if rules is None else "nothing was measured yet",
        activation_bytes=instance.curve.bytes_at(size),
        changed_s=tuned.state.changed_s,
    )
    if seen is None or rules is None or seen.room_bytes is None:
        return view
    best = optimal_batch(seen.curve, rules, seen.held_bytes + seen.room_bytes)
    return replace(view, optimal=best.size, limit=best.limit, reason=best.why)


def _rooms(
    state: State, instance: Instance, device: DeviceSnapshot, rules: BatchRules
) -> tuple[int | None, int | None]:
    """What activations may take besides: leaving the reserve, and at the very most."""
    room = state.ledger.room(device)
    headroom = room.headroom_bytes(instance.facts.purpose)
    if headroom is None or device.free_bytes is None:
        return None, None
    free_bytes, total_bytes = device.free_bytes - room.claimed_bytes, device.total_bytes
    spare_bytes = free_bytes - rules.reserve_bytes
    below_critical = free_bytes - round(total_bytes * (1 - rules.critical_share))
    below_oom = free_bytes - round(total_bytes * (1 - rules.oom_share))
    hard_bytes = min(headroom, below_oom, free_bytes - round(rules.reserve_bytes * _UNTOUCHED))
    return min(headroom, spare_bytes, below_critical), hard_bytes


def _shrink(instance: Instance, before: int, why: str) -> list[Effect]:
    tuned = instance.batch
    if tuned is None or tuned.state.size == before or instance.load_id is None:
        return []
    size = tuned.state.size
    largest = tuned.shrinking.before if tuned.shrinking else before
    more = _more_bytes(instance, largest, size)
    effect = ResizeBatch(instance.name, instance.load_id, largest, size, more, why)
    if instance.in_flight:
        tuned.shrinking = effect
        tuned.old_jobs = frozenset(instance.in_flight)
        return [BatchChanged(instance.name, before, size, why)]
    return [BatchChanged(instance.name, before, size, why), effect]


def _grow(
    state: State, instance: Instance, after: BatchState, seen: BatchInputs, why: str
) -> list[Effect]:
    """Claim what the larger batch takes beyond what is booked, then ask for it."""
    tuned, load_id, uuid = instance.batch, instance.load_id, instance.device_uuid
    if tuned is not None and tuned.shrinking is not None:
        return []
    wanted = instance.curve.bytes_at(after.size)
    if tuned is None or load_id is None or uuid is None or wanted is None:
        return []
    more_bytes = max(0, wanted - seen.held_bytes)
    facts = instance.facts
    lease = state.ledger.claim(facts.name, facts.purpose, uuid, more_bytes)
    instance.lease_ids = (*instance.lease_ids, lease.lease_id)
    tuned.growing = (after, lease.lease_id)
    return [ResizeBatch(facts.name, load_id, tuned.state.size, after.size, more_bytes, why)]


def _finish_growth(
    state: State, instance: Instance, tuned: TunedBatch, event: BatchResized
) -> list[Effect]:
    if tuned.growing is None:
        return []
    (after, lease_id), tuned.growing = tuned.growing, None
    claimed = state.ledger.lease(lease_id)
    state.ledger.release(lease_id)
    instance.lease_ids = tuple(x for x in instance.lease_ids if x != lease_id)
    if event.failed is not None:
        tuned.state = replace(
            tuned.state,
            changed_s=after.changed_s,
            ran_out=(after.size, after.changed_s + RAN_OUT_S),
        )
        return []
    tuned.state = after
    _resize_lease(state, instance, claimed.size_bytes)
    return [BatchChanged(instance.name, event.before, event.size, event.reason)]


def _give_back(state: State, instance: Instance, event: BatchResized) -> None:
    back_bytes = -(_more_bytes(instance, event.before, event.size) or 0)
    if event.failed is not None or event.freed_bytes is not None:
        back_bytes = min(back_bytes, event.freed_bytes or 0)
    _resize_lease(state, instance, -max(0, back_bytes))


def _resize_lease(state: State, instance: Instance, more_bytes: int) -> None:
    """The lease on the device that hosts the model takes more, or less."""
    for lease_id in instance.lease_ids:
        lease = state.ledger.lease(lease_id)
        if lease.device_uuid == instance.device_uuid and lease.state is LeaseState.RESIDENT:
            state.ledger.commit(lease_id, max(0, lease.size_bytes + more_bytes))
            return


def _more_bytes(instance: Instance, before: int, size: int) -> int | None:
    """What ``size`` pictures take beyond ``before``; ``None`` unknown."""
    known, wanted = instance.curve.bytes_at(before), instance.curve.bytes_at(size)
    return None if known is None or wanted is None else wanted - known
