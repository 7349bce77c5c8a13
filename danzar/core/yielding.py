"""Making way for other programs, and coming back when they are gone. Pure.

A card is yielded when it is full *and* other programs have grown since Danzar loaded its models
there: what Danzar filled itself is no reason to leave. Idle models leave at the warning level, the
lowest priority and the cheapest to reload first; busy ones finish and leave at the critical level,
the largest first. Pinned and protected models stay. Leaving is never put off: a game that starves
is worse than a reload. Whoever left comes back when it fits as configured, did not leave or come
back in the last ``move_interval_s``, and the card has been calm for ``calm_s``, twice as long for
each time that the others grew again meanwhile, or that it came back too early.
"""

from collections.abc import Callable

from danzar.core.book import LeaseState
from danzar.core.device import DeviceKind, DeviceSnapshot
from danzar.core.events import Effect
from danzar.core.instance import Instance, InstanceState
from danzar.core.leaving import Leaving, UnloadCause
from danzar.core.loading import begin_load, record, unload
from danzar.core.plan import PlacedOn
from danzar.core.pressure import Level, next_pressure
from danzar.core.room import Room
from danzar.core.state import DeviceWatch, State
from danzar.core.variant import Rung
from danzar.core.warm_ways import reload_of
from danzar.units import format_gib

# A model that stayed for so many move intervals had not come back too early.
_SETTLED_INTERVALS = 5
_MOST_DOUBLINGS = 6


def watch_devices(state: State, now_s: float) -> list[Effect]:
    """Follow every device with its newest figures; let models leave those that are yielded."""
    effects: list[Effect] = []
    for snapshot in state.snapshots:
        if snapshot.kind is DeviceKind.CPU:
            continue
        room = state.ledger.room(snapshot)
        watch = state.watches.setdefault(snapshot.uuid, DeviceWatch())
        _follow(state, watch, room, now_s)
        watch.kept_bytes = _kept_bytes(state, watch, snapshot)
        if _is_yielded(state, watch, now_s):
            effects += _leave(state, watch, room, now_s)
        _strike_out_recovered(state, room)
    return effects


def rebase(state: State, instance: Instance) -> None:
    """Danzar loaded this: what others hold there is how it is, not growth.

    Where the driver tells processes apart, what counts is what others held when the load was
    planned: a game that started meanwhile has grown. Elsewhere it is what they seem to hold now,
    because Danzar's own excess over its lease can't be told from theirs.
    """
    for share in instance.placed.shares if instance.placed else ():
        device, watch = state.device(share.device_uuid), state.watches.get(share.device_uuid)
        if device is None or watch is None:
            continue
        before = instance.foreign_before.get(share.device_uuid)
        if before is None or not any(p.used_bytes is not None for p in device.processes):
            before = _seem_to_hold(state, device, before)
        watch.foreign_base_bytes = before


def _seem_to_hold(state: State, device: DeviceSnapshot, before: int | None) -> int | None:
    """Bytes of others by what is booked; where loads or unloads are under way, no less than before.

    What is given back and still booked would else be taken off what others hold.
    """
    room = state.ledger.room(device)
    held = room.foreign_bytes(state.own_pids)
    if held is None or not (room.claimed_bytes or room.releasing()):
        return held
    return max(held, before or 0)


def come_back(state: State, now_s: float) -> list[Effect]:
    """Load what left because of pressure, and load again as configured what runs worse."""
    effects: list[Effect] = []
    for instance in state.instances.values():
        if instance.yielded_s is not None:
            effects += _return(state, instance, now_s)
        elif instance.degraded is not None:
            effects += _restore(state, instance, now_s)
    return effects


def _follow(state: State, watch: DeviceWatch, room: Room, now_s: float) -> None:
    snapshot, rules = room.device, state.rules.yields
    before = watch.pressure
    watch.pressure = next_pressure(
        before, snapshot.free_bytes, snapshot.total_bytes, rules.levels, now_s
    )
    was_normal = before is None or before.level is Level.NORMAL
    watch.rises += was_normal and watch.pressure.level is not Level.NORMAL
    foreign = room.foreign_bytes(state.own_pids)
    if foreign is not None:
        # What is booked and not taken yet, or given back and still booked, seems to be less of it.
        seems_less = bool(room.claimed_bytes or room.releasing())
        if seems_less and room.own_bytes(state.own_pids) is None:
            foreign = max(foreign, watch.foreign_bytes or 0)
        watch.foreign_bytes = foreign
        base = watch.foreign_base_bytes
        if base is None or not seems_less:
            watch.foreign_base_bytes = foreign if base is None else min(base, foreign)
    if not _hold_more(state, watch):
        watch.grown_since_s = None
    elif watch.grown_since_s is None:
        watch.grown_since_s = now_s
    if watch.pressure.level is not Level.NORMAL:
        watch.calm_since_s = None
    elif watch.calm_since_s is None:
        watch.calm_since_s = now_s


def _hold_more(state: State, watch: DeviceWatch) -> bool:
    if watch.foreign_bytes is None or watch.foreign_base_bytes is None:
        return False
    return watch.foreign_bytes - watch.foreign_base_bytes >= state.rules.yields.growth_bytes


def _have_others_grown(state: State, watch: DeviceWatch, now_s: float) -> bool:
    """For a while: a worker that has just died still shows in the driver's figures."""
    since_s, hold_s = watch.grown_since_s, state.rules.yields.levels.hold_s
    return since_s is not None and now_s - since_s >= hold_s


def _is_yielded(state: State, watch: DeviceWatch, now_s: float) -> bool:
    under_pressure = watch.pressure is not None and watch.pressure.level is not Level.NORMAL
    return under_pressure and _have_others_grown(state, watch, now_s)


def _kept_bytes(state: State, watch: DeviceWatch, snapshot: DeviceSnapshot) -> int:
    """So much that the card stays below the level at which models leave. From the first moment."""
    if not _hold_more(state, watch):
        return 0
    return round(snapshot.total_bytes * (100 - state.rules.yields.levels.clear_pct) / 100)


def _leave(state: State, watch: DeviceWatch, room: Room, now_s: float) -> list[Effect]:
    """All idle models at once: whoever plays wants the memory now, not in portions."""
    leaving = [i for i in _on(state, room) if not (i.facts.pinned or i.facts.protected)]
    idle = sorted((i for i in leaving if i.is_idle), key=_cheapest_first(state, now_s))
    busy = sorted((i for i in leaving if not i.is_idle), key=_largest_first(state))
    severe = watch.pressure is not None and watch.pressure.level >= Level.CRITICAL
    chosen = [*idle, *(busy if severe and state.rules.yields.drain_busy else ())]
    effects: list[Effect] = []
    for instance in chosen:
        _note_leaving(state, instance, watch, now_s)
        why = Leaving(UnloadCause.OTHER_PROGRAMS, _why(state, watch, room))
        effects += unload(state, instance, why)
    return effects


def _on(state: State, room: Room) -> list[Instance]:
    here = {x.model for x in room.leases if x.state is LeaseState.RESIDENT}
    return [
        i for i in state.instances.values() if i.name in here and i.state is InstanceState.READY
    ]


def _note_leaving(state: State, instance: Instance, watch: DeviceWatch, now_s: float) -> None:
    long_s = _SETTLED_INTERVALS * state.rules.yields.move_interval_s
    came_back_early = instance.moved_s is not None and now_s - instance.moved_s < long_s
    instance.flaps = instance.flaps + 1 if came_back_early else 0
    instance.rises_seen = watch.rises
    instance.moved_s = instance.yielded_s = now_s


def _moved_long_ago(state: State, instance: Instance, now_s: float) -> bool:
    moved_s = instance.moved_s
    return moved_s is None or now_s - moved_s >= state.rules.yields.move_interval_s


def _cheapest_first(state: State, now_s: float) -> Callable[[Instance], tuple[float, float, str]]:
    def key(instance: Instance) -> tuple[float, float, str]:
        cost_s = reload_of(state, instance).seconds * instance.usage.use_probability(now_s)
        return (instance.facts.priority, cost_s, instance.name)

    return key


def _largest_first(state: State) -> Callable[[Instance], tuple[float, int, str]]:
    def key(instance: Instance) -> tuple[float, int, str]:
        size_bytes = sum(state.ledger.lease(x).size_bytes for x in instance.lease_ids)
        return (instance.facts.priority, -size_bytes, instance.name)

    return key


def _why(state: State, watch: DeviceWatch, room: Room) -> str:
    grown = (watch.foreign_bytes or 0) - (watch.foreign_base_bytes or 0)
    used_pct = room.device.memory_pct or 0.0
    return (
        f"makes way for {_largest_foreign(state, room.device)}: others grew by "
        f"{format_gib(grown)} on {room.device.label}, which is {used_pct:.0f} % full"
    )


def _largest_foreign(state: State, snapshot: DeviceSnapshot) -> str:
    others = [p for p in snapshot.processes if p.pid not in state.own_pids]
    largest = max(others, key=lambda p: (p.used_bytes or 0, -p.pid), default=None)
    if largest is None:
        return "other programs"
    return largest.name or f"process {largest.pid}"


def _strike_out_recovered(state: State, room: Room) -> None:
    """Quarantined bytes are back when less is in use than all leases together say."""
    lost = [x for x in room.leases if x.state is LeaseState.QUARANTINED]
    used, booked = room.device.used_bytes, sum(x.size_bytes for x in room.leases)
    if lost and used is not None and used <= booked - sum(x.size_bytes for x in lost):
        for lease in lost:
            state.ledger.release(lease.lease_id)


def _return(state: State, instance: Instance, now_s: float) -> list[Effect]:
    if instance.state is not InstanceState.COLD:
        if instance.state is InstanceState.READY:
            instance.yielded_s = None
        return []
    if not _moved_long_ago(state, instance, now_s):
        return []
    inputs = state.plan_inputs(instance, now_s)
    plan = state.planner(inputs)
    if not isinstance(plan, PlacedOn) or plan.rung is not Rung.FULL:
        return []
    if not _is_calm(state, instance, plan, now_s):
        return []
    instance.moved_s, instance.yielded_s = now_s, None
    return [*record(instance, inputs, plan), begin_load(state, instance, plan)]


def _is_calm(state: State, instance: Instance, plan: PlacedOn, now_s: float) -> bool:
    """Long enough without pressure there; the plan itself leaves others what they took."""
    watch, device = state.watches.get(plan.device_uuid), state.device(plan.device_uuid)
    if watch is None or device is None or watch.calm_since_s is None:
        return device is not None and device.kind is DeviceKind.CPU
    again = max(0, watch.rises - instance.rises_seen) + instance.flaps
    needed_s = state.rules.yields.calm_s * (1 << min(again, _MOST_DOUBLINGS))
    return now_s - watch.calm_since_s >= needed_s


def _restore(state: State, instance: Instance, now_s: float) -> list[Effect]:
    """A model that runs worse than configured leaves when all of it would fit without it there."""
    if instance.state is not InstanceState.READY or not instance.is_idle or instance.facts.pinned:
        return []
    settled = now_s - instance.loaded_s >= state.rules.yields.move_interval_s
    if not settled or not _moved_long_ago(state, instance, now_s):
        return []
    plan = state.planner(state.plan_without(instance, now_s))
    if not isinstance(plan, PlacedOn) or plan.degraded is not None:
        return []
    if not _is_calm(state, instance, plan, now_s):
        return []
    # Leaving and coming back is one move, noted when it is back.
    instance.yielded_s = now_s
    text = f"there is room for it as configured again: {plan.reason}"
    return unload(state, instance, Leaving(UnloadCause.BETTER_PLACE, text))
