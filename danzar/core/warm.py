"""What is kept warm in host RAM, and what leaves first. Pure: functions over the scheduler's state.

When a model leaves its device, its weights may stay in host RAM, and a standby process may wait
with the engine's libraries imported. Both are worth ``seconds saved at the next load x probability
of that load`` for their bytes. After every event the least worth leave until

    the budget is kept, and
    host RAM has room for all that is booked, with its margin, limit and reservations.

So a placement that needs the room gets it at once, and other programs that grow do, too. Nothing
is ever evicted, refused or made to wait for what is kept warm: plans count it as free (``room``).
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from danzar.core.book import WARM_PURPOSE
from danzar.core.device import CPU_UUID
from danzar.core.events import (
    DropWarm,
    Effect,
    Event,
    LoadFinished,
    PagesSeen,
    StartStandby,
    StartUnload,
    Tick,
    UnloadFinished,
    WarmEvent,
    WarmGone,
    WarmKept,
)
from danzar.core.instance import HELD, Instance, InstanceState
from danzar.core.reload import COPY_BYTES_PER_S, LoadWay, ProcessFrom
from danzar.core.state import State
from danzar.core.warm_items import (
    WarmItem,
    WarmKey,
    WarmKind,
    WarmPhase,
    standby_of,
    weights_of,
)
from danzar.core.warm_ways import note_ways
from danzar.units import format_gib

# A copy of what is loaded is worth only a part: the model must leave before it is of use.
_SPARE_SHARE = 0.1
# A standby is started when nothing has moved for this long, and there is room for two of it.
_CALM_S = 30.0
_STANDBY_ROOM = 2
# After a standby had to leave, or was not used, before another one is started.
_STANDBY_PAUSE_S = 60.0
_MOVED_PAUSE_S = 600.0
_MOVING = (InstanceState.LOADING, InstanceState.DRAINING, InstanceState.UNLOADING)


def note_warm(state: State, event: WarmEvent, now_s: float) -> None:
    """Book what became of something warm."""
    match event:
        case WarmKept(key, size_bytes, snapshots):
            state.snapshots = snapshots or state.snapshots
            item = state.warm.items.get(key)
            if item is not None:
                state.ledger.commit(item.lease_id, size_bytes)
                if item.phase is WarmPhase.KEEPING:
                    state.warm.items[key] = replace(item, phase=WarmPhase.KEPT)
                else:  # it was to leave meanwhile, and is on its way
                    state.ledger.begin_release(item.lease_id)
        case WarmGone(key, _, snapshots):
            state.snapshots = snapshots or state.snapshots
            _forget(state, key)
            if key.kind is WarmKind.STANDBY:
                state.warm.no_standby_before_s = max(
                    state.warm.no_standby_before_s, now_s + _STANDBY_PAUSE_S
                )
        case PagesSeen(files):
            state.warm.pages.update((row.model, row) for row in files)


def follow_warm(
    state: State, event: Event, effects: Sequence[Effect], now_s: float
) -> list[Effect]:
    """What an event means for the warm tier; the effects with what it adds to them."""
    if isinstance(event, UnloadFinished):
        _give_up_keeping(state, event.model)
    adopted = _loaded(state, event) if isinstance(event, LoadFinished) else []
    planned = make_room(state, effects, now_s)
    _note_calm(state, now_s)
    if not isinstance(event, Tick):
        return [*adopted, *planned]
    note_ways(state)
    return [*planned, *_standby(state, now_s)]


def make_room(state: State, effects: Sequence[Effect], now_s: float) -> list[Effect]:
    """The effects, with what must leave for them, and with who is to be kept as it leaves."""
    leaving = [state.instances[e.model] for e in effects if isinstance(e, StartUnload)]
    fresh = [key for instance in leaving if (key := _keep(state, instance, now_s))]
    dropped = _settle(state, fresh, now_s)
    kept = {key.name: _size(state, item) for key in fresh if (item := state.warm.items.get(key))}
    planned = [
        replace(e, keep_bytes=kept.get(e.model, 0)) if isinstance(e, StartUnload) else e
        for e in effects
    ]
    return [*dropped, *planned]


def warm_bytes(state: State) -> int:
    """What is kept, or about to be; what is on its way out does not count."""
    return sum(_size(state, item) for item in _live(state))


# --- what comes in --------------------------------------------------------------------------


def _keep(state: State, instance: Instance, now_s: float) -> WarmKey | None:
    """Book room for the weights of a model that leaves; ``None`` where they are not to be kept."""
    facts, key = instance.facts, weights_of(instance.name)
    fits = 0 < facts.warm_bytes <= state.rules.warm.budget_bytes
    if not fits or key in state.warm.items or state.device(CPU_UUID) is None:
        return None
    if _does_anyone_wait(state) and not _is_worth_the_wait(state, instance, now_s):
        return None
    lease = state.ledger.claim(facts.name, WARM_PURPOSE, CPU_UUID, facts.warm_bytes)
    state.warm.items[key] = WarmItem(key, lease.lease_id, WarmPhase.KEEPING)
    return key


def _does_anyone_wait(state: State) -> bool:
    """For a model that is not there: whatever leaves now may leave for it."""
    cold = (InstanceState.COLD, InstanceState.FAILED)
    return any(i.state in cold and i.asked_s is not None for i in state.instances.values())


def _is_worth_the_wait(state: State, instance: Instance, now_s: float) -> bool:
    """Whether the copy saves more, as expected, than writing it keeps others waiting."""
    writing_s = instance.facts.warm_bytes / COPY_BYTES_PER_S
    return _saved_by_weights_s(state, instance, now_s) > writing_s


def _give_up_keeping(state: State, model: str) -> None:
    """An unload is over: what was not kept by now never will be."""
    key = weights_of(model)
    if state.warm.phase(key) is WarmPhase.KEEPING:
        _forget(state, key)


def _loaded(state: State, event: LoadFinished) -> list[Effect]:
    """On the CPU a model works on its warm weights themselves: they are its own from now on."""
    instance = state.instances[event.model]
    if instance.load_id != event.load_id or instance.device_uuid is None or event.way is None:
        return []
    if event.way.process is ProcessFrom.NEW:
        state.warm.homes[instance.facts.worker] = instance.device_uuid
    key = weights_of(event.model)
    if event.way.warm and instance.device_uuid == CPU_UUID and _is_live(state, key):
        return [_drop(state, key, f"{event.model} works on them")]
    return []


def _note_calm(state: State, now_s: float) -> None:
    instances = state.instances.values()
    if any(i.state in _MOVING or len(i.queue) for i in instances):
        state.warm.calm_since_s = None
    elif state.warm.calm_since_s is None:
        state.warm.calm_since_s = now_s


def _standby(state: State, now_s: float) -> list[Effect]:
    """Start one where there is room for it without anything leaving; one at a time."""
    tier, rules = state.warm, state.rules.warm
    here = [item for key, item in tier.items.items() if key.kind is WarmKind.STANDBY]
    calm_s = 0.0 if tier.calm_since_s is None else now_s - tier.calm_since_s
    if not rules.standby or calm_s < _CALM_S:
        return []
    if here:
        return _drop_displaced(state, here[0], now_s)
    facts = next((i.facts for i in state.instances.values() if _may_stand_by(state, i)), None)
    if facts is None or now_s < tier.no_standby_before_s:
        return []
    room = _room_bytes(state)
    if room is None or room < _STANDBY_ROOM * facts.process_bytes:
        return []
    if warm_bytes(state) + facts.process_bytes > rules.budget_bytes:
        return []
    key, home = standby_of(facts.worker), tier.homes[facts.worker]
    lease = state.ledger.claim(str(key), WARM_PURPOSE, CPU_UUID, facts.process_bytes)
    tier.items[key] = WarmItem(key, lease.lease_id, WarmPhase.KEEPING, home)
    return [StartStandby(facts.worker, home)]


def _may_stand_by(state: State, instance: Instance) -> bool:
    """Its worker has loaded something, and its weights can be kept: an engine worth waiting for."""
    return instance.facts.warm_bytes > 0 and instance.facts.worker in state.warm.homes


def _drop_displaced(state: State, item: WarmItem, now_s: float) -> list[Effect]:
    """A standby is of use on one device; models that moved for good take it with them."""
    home = state.warm.homes.get(item.key.name)
    if home == item.device_uuid or item.phase is not WarmPhase.KEPT:
        return []
    state.warm.no_standby_before_s = now_s + _MOVED_PAUSE_S
    return [_drop(state, item.key, f"the models of {item.key.name} are on another device now")]


# --- what goes out --------------------------------------------------------------------------


def _settle(state: State, fresh: Iterable[WarmKey], now_s: float) -> list[Effect]:
    """Let the least worth leave until the budget is kept and host RAM has room.

    What is ``fresh`` was never begun, and is forgotten without an effect.
    """
    excess, reason = _excess(state)
    dropped: list[Effect] = []
    if not excess and state.rules.warm.standby:
        return dropped
    new = frozenset(fresh)
    for item in sorted(_live(state), key=lambda i: (_worth(state, i, now_s), str(i.key))):
        unwanted = item.key.kind is WarmKind.STANDBY and not state.rules.warm.standby
        if excess <= 0 and not unwanted:
            continue
        excess -= _size(state, item)
        if item.key in new:
            _forget(state, item.key)
        else:
            dropped.append(_drop(state, item.key, "standby is off" if unwanted else reason))
    return dropped


def _excess(state: State) -> tuple[int, str]:
    """Bytes that must leave, and why; zero where nothing must."""
    held, budget = warm_bytes(state), state.rules.warm.budget_bytes
    room = _room_bytes(state) if held else None
    short = max(0, -room) if room is not None else 0
    if short > held - budget:
        return min(short, held), f"host RAM lacks {format_gib(short)}"
    return max(0, held - budget), f"the budget of the warm tier is {format_gib(budget)}"


def _room_bytes(state: State) -> int | None:
    """Headroom of host RAM with what is kept counted as taken; ``None`` unknown."""
    device = state.device(CPU_UUID)
    if device is None:
        return None
    headroom = state.ledger.room(device).headroom_bytes(WARM_PURPOSE)
    return None if headroom is None else headroom - warm_bytes(state)


def _worth(state: State, item: WarmItem, now_s: float) -> float:
    """Expected seconds saved for each byte."""
    if item.key.kind is WarmKind.WEIGHTS:
        saved_s = _saved_by_weights_s(state, state.instances[item.key.name], now_s)
    else:
        saved_s = _saved_by_standby_s(state, item.key.name, now_s)
    return saved_s / max(1, _size(state, item))


def _saved_by_weights_s(state: State, instance: Instance, now_s: float) -> float:
    size_bytes = instance.facts.warm_bytes
    cold_s = instance.usage.reload_s(size_bytes, LoadWay())
    saved_s = max(0.0, cold_s - instance.usage.reload_s(size_bytes, LoadWay(warm=True)))
    share = _SPARE_SHARE if instance.state in HELD else 1.0
    return saved_s * share * _soon(instance, now_s)


def _saved_by_standby_s(state: State, worker: str, now_s: float) -> float:
    """By the model that it saves most; any of them is likely to need it."""
    models = [i for i in state.instances.values() if i.facts.worker == worker]
    spared = [
        i.usage.reload_s(i.facts.warm_bytes, LoadWay())
        - i.usage.reload_s(i.facts.warm_bytes, LoadWay(process=ProcessFrom.STANDBY))
        for i in models
    ]
    unwanted = 1.0
    for instance in models:
        unwanted *= 1.0 - _soon(instance, now_s)
    share = _SPARE_SHARE if any(i.state in HELD for i in models) else 1.0
    return max(0.0, *spared) * share * (1.0 - unwanted)


def _soon(instance: Instance, now_s: float) -> float:
    """How likely it is loaded soon, 0 to 1."""
    coming = instance.state is InstanceState.LOADING or instance.asked_s is not None
    return 1.0 if coming else instance.usage.use_probability(now_s)


def _drop(state: State, key: WarmKey, reason: str) -> DropWarm:
    item = state.warm.items[key]
    state.warm.items[key] = replace(item, phase=WarmPhase.DROPPING)
    if item.phase is WarmPhase.KEPT:  # else its bytes are not there yet, and no one counts on them
        state.ledger.begin_release(item.lease_id)
    return DropWarm(key, reason)


def _forget(state: State, key: WarmKey) -> None:
    item = state.warm.items.pop(key, None)
    if item is not None:
        state.ledger.release(item.lease_id)


def _live(state: State) -> list[WarmItem]:
    return [i for i in state.warm.items.values() if i.phase is not WarmPhase.DROPPING]


def _is_live(state: State, key: WarmKey) -> bool:
    return state.warm.phase(key) in (WarmPhase.KEEPING, WarmPhase.KEPT)


def _size(state: State, item: WarmItem) -> int:
    return state.ledger.lease(item.lease_id).size_bytes
