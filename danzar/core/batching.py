"""How many pictures a model computes at once. Pure.

optimal   the smallest batch whose throughput is within ``knee_share`` of the best, of those that
          fit into memory and answer within ``latency_s``; one that was measured, if there is one
target    the optimal one times the strategy's factor, between ``min_batch`` and ``max_batch``, and
          never more than fits: no strategy goes beyond memory

A change that memory, heat and the owner do not force waits until ``interval_s`` after the last one;
a growth also until there was room for it all that time, and a loss until it has lasted ``tight_s``.
Two things do not wait: when what may be used without the reserve is gone, the batch shrinks at
once, as far as fits beside the reserve, so that the next loss need not shrink it again; and a
request that ran out of memory halves it. A hot card halves its batches at once, again each
``interval_s`` while it stays hot, and doubles them at that pace after it has cooled down by
``cooled_by_c``.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from danzar.core.batch_curve import BatchCurve
from danzar.units import GIB, format_size

BY_HAND = "set by a person"
"""Why a size is what it is, where a person set it."""

# A change that nothing forces must be worth it: by at least this factor.
_WORTH = 1.25
_FULL_PATIENCE = 2
_BUSY_PCT = 90.0
_SLOW_SHARE, _QUICK_SHARE = 0.9, 0.5


class Strategy(StrEnum):
    """The seed's strategies."""

    CONSERVATIVE = "conservative"
    BALANCED = "balanced"
    AGGRESSIVE = "aggressive"
    ADAPTIVE = "adaptive"


FACTORS = {Strategy.CONSERVATIVE: 0.7, Strategy.BALANCED: 1.0, Strategy.AGGRESSIVE: 1.2}


@dataclass(frozen=True, slots=True)
class BatchRules:
    """What the owner decided; the seed's figures.

    Attributes:
        reserve_bytes: Of the device, left free beside the activations.
        warning_share: Of the device in use: above it, batches grow half as fast.
        critical_share: Above it they shrink, at the usual pace.
        oom_share: Above it they are as small as they may be, at once.
        hot_c: From this temperature on they shrink.
        cooled_by_c: So far below it they may grow again.
        latency_s: The longest that a batch may take.
        interval_s: The shortest time between two changes that nothing forces.
        tight_s: How long a smaller batch must be right before it is chosen without need.
        knee_share: Of the best throughput: as much is enough.
    """

    strategy: Strategy = Strategy.BALANCED
    min_batch: int = 1
    max_batch: int = 16
    reserve_bytes: int = GIB
    warning_share: float = 0.8
    critical_share: float = 0.9
    oom_share: float = 0.95
    hot_c: float = 80.0
    cooled_by_c: float = 5.0
    latency_s: float = 1.0
    interval_s: float = 60.0
    tight_s: float = 10.0
    knee_share: float = 0.97


@dataclass(frozen=True, slots=True)
class BatchState:
    """A loaded model's batch.

    Attributes:
        size: Pictures computed at once, at most.
        changed_s: When it last changed; of a model that was just loaded, long enough ago.
        room_since_s: Since when a larger one would fit; ``None`` while none does.
        room_size: The largest that fitted all that time.
        tight_since_s: Since when a smaller one would be right; ``None`` while none would.
        heat_size: What heat allows; ``None`` while it allows all.
        heat_s: When heat last changed that.
        ran_out: ``(size, until)``: a batch that ran out of memory is not tried again before.
    """

    size: int
    changed_s: float
    room_since_s: float | None = None
    room_size: int = 0
    tight_since_s: float | None = None
    heat_size: int | None = None
    heat_s: float = 0.0
    ran_out: tuple[int, float] | None = None


@dataclass(frozen=True, slots=True)
class BatchInputs:
    """What one decision is made from. ``None`` is unknown.

    Attributes:
        held_bytes: What is booked for the activations.
        room_bytes: What they may take besides and leave the reserve; negative when it is touched.
        hard_room_bytes: What they may take besides until something breaks.
        used_share: Of the device, by anyone, 0 to 1.
        waiting: Requests that wait for the model.
        fixed_size: What a person set; memory still goes first.
    """

    curve: BatchCurve
    held_bytes: int
    room_bytes: int | None
    hard_room_bytes: int | None
    used_share: float | None = None
    temperature_c: float | None = None
    utilisation_pct: float | None = None
    waiting: int = 0
    fixed_size: int | None = None


@dataclass(frozen=True, slots=True)
class Optimum:
    """The best batch for now.

    Attributes:
        size: The optimal batch, before the strategy.
        limit: The largest that memory has room for.
        why: What it is limited by, with the numbers.
    """

    size: int
    limit: int
    why: str


def optimal_batch(curve: BatchCurve, rules: BatchRules, room_bytes: int) -> Optimum:
    """The best batch whose activations take at most ``room_bytes``; see the module's docstring."""
    sizes = range(rules.min_batch, rules.max_batch + 1)
    fitting = [b for b in sizes if (curve.bytes_at(b) or 0) <= room_bytes]
    limit = max(fitting, default=rules.min_batch)
    timed = [(b, curve.seconds_at(b)) for b in fitting]
    prompt = [b for b, seconds in timed if seconds is None or seconds <= rules.latency_s]
    allowed = prompt or [rules.min_batch]
    rates = {b: rate for b in allowed if (rate := curve.pictures_per_s(b)) is not None}
    if not rates:
        return Optimum(max(allowed), limit, _memory_text(limit, room_bytes))
    enough = rules.knee_share * max(rates.values())
    reaching = [b for b, rate in rates.items() if rate >= enough]
    # Between two measured sizes lies a line, and a computer that may like neither: 14 pictures can
    # take longer than 16.
    size = min([b for b in reaching if b in curve.sizes()] or reaching)
    if size < max(allowed) or limit == rules.max_batch == size:
        return Optimum(size, limit, f"{rates[size]:.1f} pictures/s; more at once gain little")
    if max(allowed) < limit:
        return Optimum(size, limit, f"more would take over {rules.latency_s:g} s")
    return Optimum(size, limit, _memory_text(limit, room_bytes))


def next_batch(
    before: BatchState, seen: BatchInputs, rules: BatchRules, now_s: float
) -> tuple[BatchState, str]:
    """The batch from now on, and why it changed (empty where it did not)."""
    state = _follow_heat(_forgiven(before, now_s), seen, rules, now_s)
    forced = _forced(state, seen, rules)
    if forced is not None and forced[0] < state.size:
        return _changed(state, forced[0], now_s), forced[1]
    if seen.room_bytes is None:
        return replace(state, room_since_s=None, tight_since_s=None), ""
    target, why = target_batch(state, seen, rules)
    if target > state.size:
        state = replace(state, tight_since_s=None)
        return _grow(state, target, why, seen, rules, now_s)
    return _ease(state, target, why, seen, rules, now_s)


def target_batch(state: BatchState, seen: BatchInputs, rules: BatchRules) -> tuple[int, str]:
    """Where the batch should go, whenever it may, and why."""
    best = optimal_batch(seen.curve, rules, seen.held_bytes + (seen.room_bytes or 0))
    wanted, why = best.size * factor(seen, rules), best.why
    if seen.fixed_size is not None:
        wanted, why = seen.fixed_size, BY_HAND
    caps = [(best.limit, best.why)]
    if state.heat_size is not None:
        caps.append((state.heat_size, f"the card reached {rules.hot_c:.0f} °C"))
    if state.ran_out is not None:
        caps.append((state.ran_out[0] // 2, f"{state.ran_out[0]} at once ran out of memory"))
    cap, cap_why = min(caps)
    if cap < wanted:
        wanted, why = cap, cap_why
    return max(rules.min_batch, min(rules.max_batch, int(wanted))), why


def factor(seen: BatchInputs, rules: BatchRules) -> float:
    """What the strategy makes of the optimal batch.

    ``adaptive`` is bold while requests wait, the card has time and answers are quick, and careful
    while the card is busy or answers are slow.
    """
    if rules.strategy in FACTORS:
        return FACTORS[rules.strategy]
    optimum = optimal_batch(seen.curve, rules, seen.held_bytes + (seen.room_bytes or 0)).size
    slow = (seen.curve.seconds_at(optimum) or 0.0) / rules.latency_s
    busy = seen.utilisation_pct is not None and seen.utilisation_pct >= _BUSY_PCT
    if busy or slow > _SLOW_SHARE:
        return FACTORS[Strategy.CONSERVATIVE]
    eager = seen.waiting > 0 and slow < _QUICK_SHARE
    return FACTORS[Strategy.AGGRESSIVE if eager else Strategy.BALANCED]


def after_running_out(
    state: BatchState, rules: BatchRules, now_s: float, until_s: float
) -> BatchState | None:
    """The batch after a request ran out of memory; ``None`` where it can't be smaller."""
    if state.size <= rules.min_batch:
        return None
    smaller = max(rules.min_batch, state.size // 2)
    return replace(_changed(state, smaller, now_s), ran_out=(state.size, until_s))


def _forced(state: BatchState, seen: BatchInputs, rules: BatchRules) -> tuple[int, str] | None:
    """The batch that memory or heat demands at once, and why."""
    if seen.used_share is not None and seen.used_share >= rules.oom_share:
        return rules.min_batch, f"{seen.used_share:.0%} of the device is in use"
    if state.heat_size is not None and state.heat_size < state.size:
        return max(rules.min_batch, state.heat_size), _heat_text(seen, rules)
    if seen.hard_room_bytes is None or seen.hard_room_bytes >= 0:
        return None
    room_bytes = seen.held_bytes + min(seen.hard_room_bytes, seen.room_bytes or 0)
    best = optimal_batch(seen.curve, rules, room_bytes)
    return best.limit, _memory_text(best.limit, room_bytes)


def _grow(
    state: BatchState,
    target: int,
    why: str,
    seen: BatchInputs,
    rules: BatchRules,
    now_s: float,
) -> tuple[BatchState, str]:
    fixed = seen.fixed_size is not None
    if not fixed and target < state.size * _WORTH:
        return replace(state, room_since_s=None), ""
    since_s = state.room_since_s
    size = target if since_s is None else min(target, state.room_size)
    begun_s = now_s if since_s is None else since_s
    full = seen.used_share is not None and seen.used_share > rules.warning_share
    wait_s = rules.interval_s * (_FULL_PATIENCE if full else 1)
    held = now_s - max(begun_s, state.changed_s) >= wait_s
    if fixed or (held and size >= state.size * _WORTH):
        return _changed(state, size, now_s), why
    return replace(state, room_since_s=begun_s, room_size=size), ""


def _ease(
    state: BatchState,
    target: int,
    why: str,
    seen: BatchInputs,
    rules: BatchRules,
    now_s: float,
) -> tuple[BatchState, str]:
    """Shrink without need: when a smaller batch has been right for a while."""
    state = replace(state, room_since_s=None)
    limit = optimal_batch(seen.curve, rules, seen.held_bytes + (seen.room_bytes or 0)).limit
    worth = state.size > max(limit, rules.min_batch) or state.size >= target * _WORTH
    if target == state.size or not worth:
        return replace(state, tight_since_s=None), ""
    since_s = now_s if state.tight_since_s is None else state.tight_since_s
    waited = now_s - state.changed_s >= rules.interval_s and now_s - since_s >= rules.tight_s
    if waited or seen.fixed_size is not None:
        return _changed(state, target, now_s), why
    return replace(state, tight_since_s=since_s), ""


def _follow_heat(
    state: BatchState, seen: BatchInputs, rules: BatchRules, now_s: float
) -> BatchState:
    measured_c, allowed = seen.temperature_c, state.heat_size
    if measured_c is None:
        return state
    due = allowed is None or now_s - state.heat_s >= rules.interval_s
    if measured_c >= rules.hot_c and due:
        halved = max(rules.min_batch, (allowed or state.size) // 2)
        return replace(state, heat_size=halved, heat_s=now_s)
    if allowed is not None and due and measured_c <= rules.hot_c - rules.cooled_by_c:
        doubled = allowed * 2
        free = doubled >= rules.max_batch
        return replace(state, heat_size=None if free else doubled, heat_s=now_s)
    return state


def _forgiven(state: BatchState, now_s: float) -> BatchState:
    over = state.ran_out is not None and now_s >= state.ran_out[1]
    return replace(state, ran_out=None) if over else state


def _changed(state: BatchState, size: int, now_s: float) -> BatchState:
    return replace(state, size=size, changed_s=now_s, room_since_s=None, tight_since_s=None)


def _memory_text(limit: int, room_bytes: int) -> str:
    return f"{format_size(max(0, room_bytes))} of memory have room for {limit} at once"


def _heat_text(seen: BatchInputs, rules: BatchRules) -> str:
    measured = "hot" if seen.temperature_c is None else f"{seen.temperature_c:.0f} °C"
    return f"the card is {measured}; the limit is {rules.hot_c:.0f} °C"
