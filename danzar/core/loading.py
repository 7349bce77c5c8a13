"""Models on their way in and out of devices. Pure: functions over the scheduler's state."""

from danzar.core.backoff import backoff_s
from danzar.core.book import Lease, LeaseState
from danzar.core.device import DeviceKind
from danzar.core.events import (
    Decided,
    Effect,
    LoadFailed,
    LoadFailure,
    LoadFinished,
    Refusal,
    StartLoad,
    StartUnload,
    UnloadFinished,
    WorkerLost,
)
from danzar.core.instance import HELD, Instance, InstanceState
from danzar.core.jobs import failed_text, redirect, refuse_all
from danzar.core.leaving import Leaving, UnloadCause
from danzar.core.plan import (
    Impossible,
    NeedsEviction,
    PlacedOn,
    Plan,
    PlanInputs,
    WaitForIdle,
    WaitForRelease,
)
from danzar.core.state import State, earmark
from danzar.core.urgency import most_pressing, placement_key
from danzar.units import format_gib

# After a load ran out on a device, one of that size is not tried there again for this long.
RAN_OUT_S = 600.0
TOO_FULL_PAUSE_S = 1.0
# A load may measure this much more than was booked before it counts as a wrong estimate.
_TOLERATED = 1.02


def place_waiting(state: State, now_s: float) -> list[Effect]:
    """Find places for all models that are asked for, the most urgent first."""
    effects: list[Effect] = []
    earmarks: list[Lease] = []
    seen: set[str] = set()
    while (instance := _next_wanted(state, seen, now_s)) is not None:
        seen.add(instance.name)
        if now_s < instance.not_before_s:
            effects += _give_up(instance, Refusal.LOAD_FAILED, failed_text(instance, now_s))
            continue
        plan, new = decide(state, instance, now_s, earmarks)
        effects += new + _follow(state, instance, plan, now_s)
        if isinstance(plan, NeedsEviction | WaitForRelease):
            earmarks.append(earmark(len(earmarks) + 1, instance, plan.device_uuid))
    return effects


def _next_wanted(state: State, seen: set[str], now_s: float) -> Instance | None:
    """The model that is asked for, not loaded, and whose request is most urgent."""
    if not state.snapshots:
        return None
    drain_after_s = state.rules.plan.drain_after_s
    waiting = [
        (placement_key(instance, wish, drain_after_s, now_s), instance)
        for instance in state.instances.values()
        if instance.state in (InstanceState.COLD, InstanceState.FAILED)
        and instance.name not in seen
        and now_s >= instance.paused_until_s
        and (wish := most_pressing(instance, state.rules.queue, now_s)) is not None
    ]
    return min(waiting, key=lambda x: x[0])[1] if waiting else None


def decide(
    state: State, instance: Instance, now_s: float, earmarks: list[Lease] | None = None
) -> tuple[Plan, list[Effect]]:
    """Plan, and say so where the plan is a new one."""
    inputs = state.plan_inputs(instance, now_s, earmarks or ())
    plan = state.planner(inputs)
    return plan, record(instance, inputs, plan)


def record(instance: Instance, inputs: PlanInputs, plan: Plan) -> list[Effect]:
    """Keep a plan as the model's last one, and say so where it is a new one."""
    known = instance.last_plan is not None and _is_like(instance.last_plan[1], plan)
    instance.last_plan = (inputs, plan)
    return [] if known else [Decided(inputs, plan)]


def _is_like(before: Plan, after: Plan) -> bool:
    """Still waiting for the same thing: nothing to record again."""
    match before, after:
        case (WaitForRelease(a), WaitForRelease(b)):
            return a == b
        case (WaitForIdle(a, ours), WaitForIdle(b, theirs)):
            return (a, ours) == (b, theirs)
        case _:
            return False


def _follow(state: State, instance: Instance, plan: Plan, now_s: float) -> list[Effect]:
    match plan:
        case PlacedOn():
            return [begin_load(state, instance, plan)]
        case NeedsEviction(_, victims, reason):
            why = f"room for {instance.name}: {reason}"
            leaving = Leaving(UnloadCause.ROOM, why)
            return [e for v in victims for e in unload(state, state.instances[v], leaving)]
        case WaitForRelease() | WaitForIdle():
            return []
        case Impossible(_, reason):
            return _fall_back(state, instance, reason, now_s)


def _fall_back(state: State, instance: Instance, reason: str, now_s: float) -> list[Effect]:
    """The smaller model that the owner named, where it can answer; else the refusal."""
    smaller = state.instances.get(instance.facts.fallback or "")
    redirected = any(job.note for job in instance.queue.jobs())
    if smaller is None or redirected or not len(instance.queue):
        return _give_up(instance, Refusal.CANNOT_PLACE, reason)
    if smaller.state in (InstanceState.COLD, InstanceState.FAILED):
        plan = state.planner(state.plan_inputs(smaller, now_s))
        if isinstance(plan, Impossible) or now_s < smaller.not_before_s:
            return _give_up(instance, Refusal.CANNOT_PLACE, reason)
    instance.wanted_s = None
    return redirect(instance, smaller, reason)


def _give_up(instance: Instance, kind: Refusal, reason: str) -> list[Effect]:
    instance.wanted_s = None
    return refuse_all(instance, kind, reason)


def _held_by_others(state: State) -> dict[str, int]:
    """Bytes of other programs by device UUID, now.

    Where something is booked that is not taken yet, or given back and still booked, they seem to
    hold less than they do: then it is at least what they held before.
    """
    found = {}
    for uuid, watch in state.watches.items():
        device = state.device(uuid)
        held = None if device is None else state.ledger.room(device).foreign_bytes(state.own_pids)
        if held is not None:
            found[uuid] = max(held, watch.foreign_base_bytes or 0)
    return found


def begin_load(state: State, instance: Instance, placed: PlacedOn) -> StartLoad:
    """Book the bytes and ask for the load."""
    facts = instance.facts
    state.last_load_id += 1
    instance.become(InstanceState.LOADING)
    instance.load_id, instance.placed = state.last_load_id, placed
    instance.foreign_before = _held_by_others(state)
    instance.lease_ids = tuple(
        state.ledger.claim(facts.name, facts.purpose, s.device_uuid, s.size_bytes).lease_id
        for s in placed.shares
    )
    return StartLoad(facts.name, state.last_load_id, placed)


def loaded(state: State, event: LoadFinished, now_s: float) -> list[Effect]:
    """Book what was measured; undo the load where that eats what is kept for others."""
    state.snapshots = event.snapshots
    instance = state.instances[event.model]
    if not _is_loading(instance, event.load_id) or instance.placed is None:
        return []
    measured = dict(event.measured)
    for lease_id, share in zip(instance.lease_ids, instance.placed.shares, strict=True):
        state.ledger.commit(lease_id, measured.get(share.device_uuid))
    instance.become(InstanceState.READY)
    instance.last_used_s = instance.loaded_s = now_s
    instance.last_error = None
    instance.yielded_s = instance.wanted_s = None
    instance.too_full = 0
    if event.seconds is not None:
        instance.usage.note_load(event.seconds, event.way)
    return _undo_if_too_large(state, instance, measured, now_s)


def _is_loading(instance: Instance, load_id: int) -> bool:
    """Whether this load still counts: one that was cancelled ends as an unload."""
    return instance.load_id == load_id and instance.state is InstanceState.LOADING


def _undo_if_too_large(
    state: State, instance: Instance, measured: dict[str, int], now_s: float
) -> list[Effect]:
    if instance.placed is None:
        return []
    for share in instance.placed.shares:
        size_bytes, device = measured.get(share.device_uuid), state.device(share.device_uuid)
        if size_bytes is None or device is None or device.kind is DeviceKind.CPU:
            continue
        headroom = state.ledger.room(device).headroom_bytes(instance.facts.purpose)
        short = headroom is not None and headroom < 0
        if short and size_bytes > share.size_bytes * _TOLERATED and not instance.facts.pinned:
            instance.ran_out_bytes[share.device_uuid] = (share.size_bytes, now_s + RAN_OUT_S)
            took, booked = format_gib(size_bytes), format_gib(share.size_bytes)
            reason = f"it took {took}, {booked} were booked"
            return unload(state, instance, Leaving(UnloadCause.TOO_LARGE, reason))
    return []


def load_failed(state: State, event: LoadFailed, now_s: float) -> list[Effect]:
    """Give the bytes back; after running out, the next plan takes less."""
    state.snapshots = event.snapshots
    instance = state.instances[event.model]
    if not _is_loading(instance, event.load_id) or instance.placed is None:
        return []
    placed = instance.placed
    if event.cause is LoadFailure.TOO_FULL:
        forget(state, instance)
        instance.become(InstanceState.COLD)
        instance.too_full += 1
        # Once, the new figures may give another plan; after that, time must change something.
        instance.paused_until_s = now_s + (TOO_FULL_PAUSE_S if instance.too_full > 1 else 0.0)
        return []
    _fail(state, instance, event.reason, now_s)
    if event.cause is LoadFailure.OUT_OF_MEMORY:
        _note_ran_out(state, instance, placed, now_s)
        instance.not_before_s = now_s
        return []
    return _give_up(instance, Refusal.LOAD_FAILED, failed_text(instance, now_s))


def ran_out(state: State, instance: Instance, now_s: float) -> list[Effect]:
    """A request ran out of memory: this model alone is restarted, one rung lower."""
    if instance.state is not InstanceState.READY or instance.placed is None:
        return []
    _note_ran_out(state, instance, instance.placed, now_s)
    text = "a request ran out of memory; it is loaded again smaller"
    return unload(state, instance, Leaving(UnloadCause.OUT_OF_MEMORY, text))


def _note_ran_out(state: State, instance: Instance, placed: PlacedOn, now_s: float) -> None:
    for share in placed.shares:
        device = state.device(share.device_uuid)
        if device is None or device.kind is DeviceKind.CUDA or len(placed.shares) == 1:
            instance.ran_out_bytes[share.device_uuid] = (share.size_bytes, now_s + RAN_OUT_S)


def unload(state: State, instance: Instance, leaving: Leaving) -> list[Effect]:
    """Let a model go: at once when it is idle, else when its requests have ended."""
    if instance.state is not InstanceState.READY:
        return []
    if instance.in_flight:
        instance.become(InstanceState.DRAINING)
        instance.leaves_because = leaving
        # The bytes are promised from now on: whoever waits for room counts on them.
        begin_release(state, instance)
        return []
    return [begin_unload(state, instance, leaving)]


def begin_unload(state: State, instance: Instance, leaving: Leaving) -> StartUnload:
    """Ask for the unload of a model on which nothing runs."""
    if instance.load_id is None or instance.device_uuid is None:
        raise AssertionError(f"{instance.name} is {instance.state} without a lease")
    instance.become(InstanceState.UNLOADING)
    begin_release(state, instance)
    instance.leaves_because = None
    name, load_id, uuid = instance.name, instance.load_id, instance.device_uuid
    return StartUnload(name, load_id, uuid, leaving.text, cause=leaving.cause)


def unloaded(state: State, event: UnloadFinished) -> None:
    """Strike out what came back; keep what did not out of everyone's reach."""
    state.snapshots = event.snapshots
    instance = state.instances[event.model]
    if instance.load_id != event.load_id:
        return
    lost = dict(event.lost)
    for lease_id in instance.lease_ids:
        lost_bytes = lost.pop(state.ledger.lease(lease_id).device_uuid, 0)
        if lost_bytes > 0:
            state.ledger.quarantine(lease_id, lost_bytes)
    instance.lease_ids = tuple(
        x for x in instance.lease_ids if state.ledger.lease(x).state is not LeaseState.QUARANTINED
    )
    forget(state, instance)
    instance.become(InstanceState.COLD)


def worker_lost(state: State, event: WorkerLost, now_s: float) -> None:
    """Everything that the worker hosted is gone. A load or unload under way reports its own end."""
    for instance in state.instances.values():
        hosted = (instance.facts.worker, instance.device_uuid) == (event.worker, event.device_uuid)
        if hosted and instance.state in HELD:
            placed = instance.placed
            _fail(state, instance, event.reason, now_s)
            instance.not_before_s = now_s + backoff_s(instance.failures - 1)
            if event.out_of_memory and placed is not None:
                _note_ran_out(state, instance, placed, now_s)
                instance.not_before_s = now_s


def forget(state: State, instance: Instance) -> None:
    """Strike out its leases and its place."""
    for lease_id in instance.lease_ids:
        state.ledger.release(lease_id)
    instance.lease_ids = ()
    instance.load_id = None
    instance.placed = None
    instance.in_flight.clear()


def begin_release(state: State, instance: Instance) -> None:
    """Note that its bytes are on their way back."""
    for lease_id in instance.lease_ids:
        state.ledger.begin_release(lease_id)


def _fail(state: State, instance: Instance, reason: str, now_s: float) -> None:
    forget(state, instance)
    instance.become(InstanceState.FAILED)
    instance.failures += 1
    instance.last_error = reason
    instance.not_before_s = now_s + backoff_s(instance.failures)
