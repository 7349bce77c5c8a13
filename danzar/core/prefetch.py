"""Loading models ahead of their use, into spare room only, and letting them go. Pure.

This is what the scheduler does when nothing else is to be done (``Scheduler.look_ahead``), so that
whatever was asked for comes first. A load ahead

- evicts nothing, leaves reservations, margins and a cushion, and changes no other model's plan;
- begins only while nothing that was asked for waits or loads, and is cancelled when that changes;
- never begins on a card where other programs grow, and leaves it when they do;
- is the first to go, at no cost, until somebody has asked for its model;
- is given up when its window has passed and nothing speaks for it any more.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from danzar.core.device import DeviceKind
from danzar.core.events import CancelLoad, Decided, Effect, StartLoad
from danzar.core.instance import HELD, Instance, InstanceState
from danzar.core.leaving import Leaving, UnloadCause
from danzar.core.loading import begin_load, begin_release, unload
from danzar.core.plan import PlacedOn, PlanInputs, Share
from danzar.core.prediction import Moment, Prediction, predict
from danzar.core.prediction_hints import HintKind
from danzar.core.prefetch_counts import Prefetch
from danzar.core.prefetch_room import is_in_the_way, with_cushion
from danzar.core.state import State
from danzar.core.variant import Rung

_LOOK_EVERY_S = 1.0
# Who is at least this likely to be asked for soon must find room beside a load ahead.
_LIKELY = 0.1
_COMPANION = 0.3
_FAILED_PAUSE_S = 600.0
_REFUSED_PAUSE_S = 10.0
_MOST_TRIED = 3
_GRAIN_BYTES = 64 * 1024 * 1024


def look_ahead(state: State, now_s: float) -> list[Effect]:
    """Let go what is not to stay, then begin at most one load ahead."""
    effects: list[Effect] = []
    for instance in _ahead(state):
        _settle(state, instance, now_s)
    for instance in _ahead(state):
        reason = _why_it_goes(state, instance, now_s)
        if reason is not None:
            effects += _let_go(state, instance, reason, now_s)
    effects += _make_room_again(state, now_s)
    rules = state.rules.prediction
    if rules.enabled and state.snapshots and now_s >= state.outlook.next_look_s:
        state.outlook.next_look_s = now_s + _LOOK_EVERY_S
        _predict_all(state, now_s)
        effects += _load_ahead(state, now_s)
    return effects


def note_asked(state: State, model: str, now_s: float, *, again: bool = False) -> None:
    """Somebody asks for a model: what was loaded ahead for it was right.

    A request that is asked ``again`` teaches nothing.
    """
    instance = state.instances.get(model)
    if instance is None:
        return
    rules = state.rules.prediction
    if instance.prefetch is not None:
        state.prefetches.hit(instance.prefetch, now_s, rules.max_wasted)
        instance.prefetch = None
    state.outlook.paused_until_s.pop(model, None)
    if not again:
        state.habits.note_use(model, now_s, rules)
    state.outlook.next_look_s = now_s


def note_hint(state: State, model: str, kind: HintKind, now_s: float) -> None:
    """A sign was seen that somebody is about to ask."""
    if model in state.instances:
        state.habits.hints.note(model, kind, now_s)
        state.outlook.paused_until_s.pop(model, None)
        state.outlook.next_look_s = now_s


def note_sent_away(state: State, model: str, now_s: float) -> None:
    """A person unloads a model: it comes back when somebody asks, or is about to."""
    state.outlook.paused_until_s[model] = now_s + state.rules.prediction.window_s


def count_misses(state: State, effects: Iterable[Effect]) -> None:
    """Loads that somebody waits for were not foreseen."""
    for effect in effects:
        if isinstance(effect, StartLoad) and state.instances[effect.model].asked_s is not None:
            state.prefetches.of(effect.model).misses += 1


def keep(state: State, instance: Instance, now_s: float) -> bool:
    """Whether a model that has been idle for long stays, because it is expected.

    It then counts as loaded ahead: it is in nobody's way, and goes first.
    """
    if instance.prefetch is not None:
        return True
    rules = state.rules.prediction
    if not rules.enabled or instance.placed is None or instance.degraded is not None:
        return False
    prediction = predict(state.habits, instance.name, instance.usage, _moment(state, now_s))
    if prediction is None or prediction.probability < state.rules.prediction.min_probability:
        return False
    shares = instance.placed.shares
    if _are_others_growing(state, shares):
        return False
    if is_in_the_way(state, instance, shares, _likely(state), now_s) is not None:
        return False
    instance.prefetch = replace(_prefetch(instance, prediction, now_s), kept=True)
    state.prefetches.begun(instance.prefetch)
    return True


# --- those that are loaded ahead ---------------------------------------------------------------


def _ahead(state: State) -> list[Instance]:
    return [i for i in state.instances.values() if i.prefetch is not None]


def _settle(state: State, instance: Instance, now_s: float) -> None:
    """Account for one that left by another way: evicted, yielded, unloaded by hand, failed."""
    if instance.prefetch is None or instance.state in (InstanceState.LOADING, InstanceState.READY):
        return
    failed = instance.state is InstanceState.FAILED
    if failed:
        # Whoever asks now is not to be refused because of a load that nobody asked for.
        instance.not_before_s = now_s
        state.outlook.paused_until_s[instance.name] = now_s + _FAILED_PAUSE_S
    _write_off(state, instance, 0 if failed else instance.prefetch.size_bytes)


def _write_off(state: State, instance: Instance, loaded_bytes: int) -> None:
    if instance.prefetch is not None:
        max_wasted = state.rules.prediction.max_wasted
        state.prefetches.wasted(instance.prefetch, loaded_bytes, max_wasted)
        instance.prefetch = None
    instance.yielded_s = None


def _why_it_goes(state: State, instance: Instance, now_s: float) -> str | None:
    prefetch, placed = instance.prefetch, instance.placed
    if prefetch is None or placed is None:
        return None
    if not state.rules.prediction.enabled:
        return "loading ahead was switched off"
    urgent = _asked_for(state) if instance.state is InstanceState.LOADING else None
    if urgent is not None:
        return f"{urgent} was asked for and loads first"
    if _are_others_growing(state, placed.shares):
        return "other programs need the card"
    if now_s < prefetch.until_s or _is_still_expected(state, instance, prefetch, now_s):
        return None
    waited_s = now_s - prefetch.begun_s
    return f"nobody asked for it in {waited_s / 60:.0f} min, and it is not expected any more"


def _is_still_expected(state: State, instance: Instance, prefetch: Prefetch, now_s: float) -> bool:
    """Whether it waits for another window."""
    prediction = predict(state.habits, instance.name, instance.usage, _moment(state, now_s))
    if prediction is None or prediction.probability < state.rules.prediction.min_probability:
        return False
    instance.prefetch = replace(prefetch, until_s=now_s + prediction.window_s)
    return True


def _asked_for(state: State) -> str | None:
    """A model that somebody waits for, and that is not loaded yet."""
    for instance in state.instances.values():
        loading = instance.state is InstanceState.LOADING and instance.prefetch is None
        waits = instance.asked_s is not None and instance.state not in HELD
        if loading or waits:
            return instance.name
    return None


def _are_others_growing(state: State, shares: Sequence[Share]) -> bool:
    watches = (state.watches.get(share.device_uuid) for share in shares)
    return any(w is not None and w.grown_since_s is not None for w in watches)


def _make_room_again(state: State, now_s: float) -> list[Effect]:
    """Let those go that came to be in the way of others, before anybody asks for these."""
    ahead = _ahead(state)
    if not ahead:
        return []
    likely = _likely(state)
    free = tuple((s.uuid, (s.free_bytes or 0) // _GRAIN_BYTES) for s in state.snapshots)
    seen = (state.ledger.book, free, likely)
    if seen == state.outlook.checked:
        return []
    effects: list[Effect] = []
    for instance in ahead:
        shares = instance.placed.shares if instance.placed else ()
        other = is_in_the_way(state, instance, shares, likely, now_s)
        if other is not None:
            effects += _let_go(state, instance, f"makes room again for {other}", now_s)
    state.outlook.checked = None if effects else seen
    return effects


def _let_go(state: State, instance: Instance, reason: str, now_s: float) -> list[Effect]:
    prefetch = instance.prefetch
    if prefetch is None:
        return []
    if instance.state is not InstanceState.LOADING:
        _write_off(state, instance, prefetch.size_bytes)
        return unload(state, instance, Leaving(UnloadCause.NOT_NEEDED, reason))
    share = min(1.0, (now_s - prefetch.begun_s) / max(prefetch.load_s, 0.001))
    _write_off(state, instance, min(prefetch.size_bytes - 1, int(share * prefetch.size_bytes)))
    return [_cancel(state, instance, reason)]


def _cancel(state: State, instance: Instance, reason: str) -> CancelLoad:
    if instance.load_id is None or instance.device_uuid is None:
        raise AssertionError(f"{instance.name} is {instance.state} without a lease")
    instance.become(InstanceState.UNLOADING)
    begin_release(state, instance)
    return CancelLoad(instance.name, instance.load_id, instance.device_uuid, reason)


# --- those that may be -------------------------------------------------------------------------


def _moment(state: State, now_s: float) -> Moment:
    running = frozenset(i.name for i in state.instances.values() if not i.is_idle)
    return Moment(now_s, state.rules.prediction, running)


def _predict_all(state: State, now_s: float) -> None:
    moment = _moment(state, now_s)
    found = {
        i.name: predict(state.habits, i.name, i.usage, moment)
        for i in state.instances.values()
        if i.state is InstanceState.COLD or i.prefetch is not None
    }
    state.outlook.predicted = {name: p for name, p in found.items() if p is not None}


def _likely(state: State) -> tuple[str, ...]:
    """Who may be asked for soon, the likeliest first, each with those that are asked with it."""
    soon = [p for p in state.outlook.predicted.values() if p.soon >= _LIKELY]
    names: dict[str, None] = {}
    for prediction in sorted(soon, key=lambda p: (-p.soon, p.model)):
        names[prediction.model] = None
        for companion in state.habits.follows.companions(prediction.model, _COMPANION):
            names[companion] = None
    return tuple(names)


def _load_ahead(state: State, now_s: float) -> list[Effect]:
    busy = any(i.state is InstanceState.LOADING for i in state.instances.values())
    if busy or _asked_for(state) is not None:
        return []
    for instance, prediction in _candidates(state, now_s)[:_MOST_TRIED]:
        found = _place(state, instance, prediction, now_s)
        if found is not None:
            return _begin(state, instance, prediction, found, now_s)
        state.outlook.paused_until_s[instance.name] = now_s + _REFUSED_PAUSE_S
    return []


def _candidates(state: State, now_s: float) -> list[tuple[Instance, Prediction]]:
    """Who is worth it, the most important first, then who saves most."""
    rules, prices = state.rules.prediction, state.prefetches
    usual_s = usual_load_s(state)
    found = [
        (instance, prediction)
        for name, prediction in state.outlook.predicted.items()
        if _may_be_loaded(state, instance := state.instances[name], now_s)
        and prediction.probability >= rules.min_probability
        and prediction.timely
        and prices.is_worth_it(prediction.probability, _load_s(instance), usual_s, rules.max_wasted)
    ]
    return sorted(found, key=lambda row: (-row[0].facts.priority, -_worth_s(*row), row[0].name))


def _may_be_loaded(state: State, instance: Instance, now_s: float) -> bool:
    paused_s = max(instance.paused_until_s, state.outlook.paused_until_s.get(instance.name, now_s))
    return (
        instance.state is InstanceState.COLD
        and not instance.facts.pinned
        and instance.yielded_s is None
        and now_s >= paused_s
    )


def usual_load_s(state: State) -> float:
    """What loading a model takes on average."""
    return sum(map(_load_s, state.instances.values())) / max(1, len(state.instances))


def _load_s(instance: Instance) -> float:
    return instance.usage.reload_s(instance.facts.configured_bytes)


def _worth_s(instance: Instance, prediction: Prediction) -> float:
    return prediction.probability * _load_s(instance)


def _place(
    state: State, instance: Instance, prediction: Prediction, now_s: float
) -> tuple[PlanInputs, PlacedOn] | None:
    """Room that is spare; ``None`` where there is none."""
    rules = state.rules.prediction
    inputs = with_cushion(state, state.plan_inputs(instance, now_s), rules.cushion_bytes)
    why = f"loaded ahead: {prediction.reason}; a load takes {_load_s(instance):.1f} s"
    inputs = replace(inputs, demand=replace(inputs.demand, foreseen=why))
    plan = state.planner(inputs)
    if not isinstance(plan, PlacedOn) or plan.degraded is not None:
        return None
    if plan.rung is not Rung.FULL and not instance.facts.wants_cpu:
        return None
    if not _is_quiet(state, plan.shares) or not _can_be_cancelled(state, instance, plan):
        return None
    if is_in_the_way(state, instance, plan.shares, _likely(state), now_s) is not None:
        return None
    return inputs, plan


def _is_quiet(state: State, shares: Sequence[Share]) -> bool:
    """No other program grows on these cards, and they stay below the level of a warning."""
    if _are_others_growing(state, shares):
        return False
    for share in shares:
        device = state.device(share.device_uuid)
        if device is None or device.kind is DeviceKind.CPU:
            continue
        used_bytes = device.total_bytes - (device.free_bytes or 0) + share.size_bytes
        if 100 * used_bytes > state.rules.yields.levels.warning_pct * device.total_bytes:
            return False
    return True


def _can_be_cancelled(state: State, instance: Instance, plan: PlacedOn) -> bool:
    """Its process hosts nobody who is in use: it may be ended at any moment."""
    return not any(
        other.facts.worker == instance.facts.worker
        and other.device_uuid == plan.device_uuid
        and other.prefetch is None
        for other in state.instances.values()
        if other is not instance and other.placed is not None
    )


def _begin(
    state: State,
    instance: Instance,
    prediction: Prediction,
    found: tuple[PlanInputs, PlacedOn],
    now_s: float,
) -> list[Effect]:
    inputs, plan = found
    instance.last_plan = found
    effect = begin_load(state, instance, plan)
    instance.prefetch = _prefetch(instance, prediction, now_s)
    state.prefetches.begun(instance.prefetch)
    return [Decided(inputs, plan), effect]


def _prefetch(instance: Instance, prediction: Prediction, now_s: float) -> Prefetch:
    placed = instance.placed
    load_s = _load_s(instance)
    return Prefetch(
        model=instance.name,
        source=prediction.source,
        probability=prediction.probability,
        begun_s=now_s,
        until_s=now_s + prediction.window_s + load_s,
        size_bytes=sum(s.size_bytes for s in placed.shares) if placed else 0,
        load_s=load_s,
        reason=prediction.reason,
    )
