"""Whether a load ahead would be in anybody's way. Pure.

The test is the planner itself: every other model that is not loaded is planned with the load ahead
in the book and without it, alone, and together with those that are likely to be asked for at the
same time. Where one plan differs, in its device, its size or whom it evicts, it is in the way.
Nobody who asks then waits for a load ahead, or is placed worse because of it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from danzar.core.book import Lease, LeaseState
from danzar.core.instance import Instance, InstanceState
from danzar.core.placement import plan_placement
from danzar.core.plan import NeedsEviction, PlacedOn, Plan, PlanInputs, Share, without
from danzar.core.state import State

# More models than this are not planned for one load ahead; the first ones are the likeliest.
_MOST_OTHERS = 24
_AHEAD_ID = -2_000_000
_CUSHION_ID = -3_000_000

Change = Callable[[PlanInputs], PlanInputs]
Likely = Sequence[str]


def with_cushion(state: State, inputs: PlanInputs, cushion_bytes: int) -> PlanInputs:
    """The same with so much less room on every device."""
    kept = tuple(
        Lease(_CUSHION_ID - n, "", "cushion", s.uuid, cushion_bytes, LeaseState.CLAIMED)
        for n, s in enumerate(state.snapshots)
    )
    return replace(inputs, book=replace(inputs.book, leases=(*inputs.book.leases, *kept)))


def is_in_the_way(
    state: State,
    ahead: Instance,
    shares: Sequence[Share],
    likely: Likely,
    now_s: float,
) -> str | None:
    """Whose plan would be another one with the shares booked; ``None`` where nobody's would.

    Args:
        state: As it is; ``ahead`` may be loaded, loading, or not.
        ahead: The model that is loaded ahead, or would be.
        shares: What it takes.
        likely: Who is likely to be asked for soon, the likeliest first, and with whom.
        now_s: The scheduler's clock.
    """
    unloaded = _unloaded(state, ahead)

    def with_it(inputs: PlanInputs) -> PlanInputs:
        return _with(unloaded(inputs), ahead, shares)

    for names in _groups(state, ahead, likely):
        before, after = (_plans(state, names, change, now_s) for change in (unloaded, with_it))
        for name, was, becomes in zip(names, before, after, strict=True):
            if _outline(was) != _outline(becomes):
                return name
    return None


def _groups(state: State, ahead: Instance, likely: Likely) -> Iterable[tuple[str, ...]]:
    """Who is planned together: the likely ones one after another, then each other one after them.

    Each is planned alone as well.
    """
    others = [i.name for i in state.instances.values() if i is not ahead and _wants_a_place(i)]
    first = [name for name in likely if name in others]
    rest = [name for name in others if name not in first]
    names = [*first, *rest][:_MOST_OTHERS]
    yield from ((name,) for name in names)
    if len(first) > 1:
        yield tuple(first)
    if first:
        yield from ((*first, name) for name in names if name not in first)


def _wants_a_place(instance: Instance) -> bool:
    """It is not loaded, or is worse off than it should be."""
    cold = instance.state in (InstanceState.COLD, InstanceState.FAILED)
    return cold or instance.degraded is not None


def _plans(state: State, names: Sequence[str], change: Change, now_s: float) -> list[Plan]:
    """Plans for these models, each with those before it booked."""
    plans: list[Plan] = []
    booked: tuple[Lease, ...] = ()
    for name in names:
        inputs = change(state.plan_without(state.instances[name], now_s))
        leases = (*inputs.book.leases, *booked)
        plan = plan_placement(replace(inputs, book=replace(inputs.book, leases=leases)))
        plans.append(plan)
        if isinstance(plan, PlacedOn):
            booked = (*booked, *_claims(state.instances[name], plan.shares, len(booked) + 1))
    return plans


def _claims(instance: Instance, shares: Iterable[Share], first: int) -> Iterable[Lease]:
    facts = instance.facts
    return (
        Lease(
            _AHEAD_ID - first - n,
            facts.name,
            facts.purpose,
            share.device_uuid,
            share.size_bytes,
            LeaseState.CLAIMED,
        )
        for n, share in enumerate(shares)
    )


def _unloaded(state: State, ahead: Instance) -> Change:
    """As if the model were not there, and the driver had its bytes back."""
    mine = frozenset(ahead.lease_ids)
    held = {
        lease.device_uuid: lease.size_bytes
        for lease in map(state.ledger.lease, ahead.lease_ids)
        if lease.state is not LeaseState.CLAIMED
    }

    return lambda inputs: without(inputs, ahead.name, mine, held) if mine else inputs


def _with(inputs: PlanInputs, ahead: Instance, shares: Sequence[Share]) -> PlanInputs:
    claims = tuple(_claims(ahead, shares, 0))
    return replace(inputs, book=replace(inputs.book, leases=(*inputs.book.leases, *claims)))


def _outline(plan: Plan) -> tuple[object, ...]:
    """What two plans are compared by: not their sentences, which name what is free."""
    match plan:
        case PlacedOn(shares, rung, settings):
            return (PlacedOn, shares, rung, settings)
        case NeedsEviction(device_uuid, victims):
            return (NeedsEviction, device_uuid, frozenset(victims))
        case _:
            return (type(plan),)
