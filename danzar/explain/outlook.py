"""What a person's wish would do, told before it is done. Pure.

Each outlook has the lines for the person and the ``facts`` that matter: when these have changed by
the time of the click, the person is asked again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from danzar.broker.model_view import ModelView
from danzar.core.book import Reservation
from danzar.core.device import DeviceSnapshot
from danzar.core.placement import plan_placement
from danzar.core.plan import Impossible, NeedsEviction, PlacedOn, Plan, PlanInputs, WaitForIdle
from danzar.explain.explain_text import leaving_text, outcome_text, reason_text
from danzar.explain.model_text import amount, kept_text, place_text, size_text, use_text
from danzar.explain.plan_explain import Explanation, explain


@dataclass(frozen=True, slots=True)
class Outlook:
    """What would happen.

    Attributes:
        lines: For the person, without markup.
        facts: What the person agrees to; compared at the click.
        refusal: Why it can't be done; ``None`` when it can.
    """

    lines: tuple[str, ...]
    facts: tuple[object, ...] = ()
    refusal: str | None = None


def load_outlook(
    view: ModelView, inputs: PlanInputs, plan: Plan, views: Sequence[ModelView]
) -> Outlook:
    """Loading a model now."""
    told = explain(inputs, plan)
    if view.is_loaded:
        return Outlook((), refusal=f"{view.name} is loaded already: {place_text(view)}.")
    if isinstance(plan, Impossible):
        return Outlook((), refusal=plan.reason)
    lines = [f"{_outcome(inputs, plan)}.", reason_text(plan)]
    lines += [f"Leaves first: {leaving_text(left)}" for left in told.leaving]
    lines += _in_flight(told, plan, views)
    return Outlook(tuple(lines), (type(plan).__name__, *_agreed(plan)))


def unload_outlook(view: ModelView) -> Outlook:
    """Unloading a model."""
    if not view.is_loaded:
        return Outlook((), refusal=f"{view.name} is not loaded: {place_text(view)}.")
    lines = [f"{view.name} is {place_text(view)}; {size_text(view)} would come back."]
    if view.in_flight or view.waiting:
        lines.append(
            f"{view.in_flight} requests run on it and {view.waiting} wait: those that run are "
            "finished first, and those that wait load it again."
        )
    if (kept := kept_text(view)) is not None:
        lines.append(f"It is {kept}; unloading it by hand is possible all the same.")
    lines.append(f"The next request loads it again ({use_text(view)}).")
    return Outlook(tuple(lines), (view.device, view.in_flight > 0))


def reserve_outlook(
    wanted: Reservation,
    device: DeviceSnapshot,
    after: tuple[Reservation, ...],
    plans: Mapping[str, PlanInputs],
    views: Sequence[ModelView],
) -> Outlook:
    """Keeping bytes free on a device.

    Args:
        wanted: The new reservation.
        device: As it was last measured.
        after: All reservations with it.
        plans: What a plan for each model would be made from now.
        views: Every model.
    """
    if wanted.size_bytes > device.total_bytes:
        return Outlook(
            (),
            refusal=f"{device.label} has {amount(device.total_bytes)}, "
            f"so {amount(wanted.size_bytes)} can't be kept there.",
        )
    line = (
        f"{amount(wanted.size_bytes)} on {device.label} would be kept for {wanted.purpose}; "
        f"{amount(device.free_bytes)} of {amount(device.total_bytes)} are free now."
    )
    changes = _changes(after, plans)
    return Outlook((line, *_short(wanted, device, views), *changes), changes)


def _agreed(plan: Plan) -> tuple[object, ...]:
    match plan:
        case PlacedOn():
            return plan.device_uuid, plan.rung
        case NeedsEviction() | WaitForIdle():
            return (getattr(plan, "victims", None) or getattr(plan, "models", ()),)
        case _:
            return ()


def _in_flight(told: Explanation, plan: Plan, views: Sequence[ModelView]) -> list[str]:
    names = {left.model for left in told.leaving}
    if isinstance(plan, WaitForIdle):
        names |= set(plan.models)
    busy = [f"{v.name} {v.in_flight}" for v in views if v.name in names and v.in_flight]
    return (
        [f"Requests running on them: {', '.join(busy)}; they are finished first."] if busy else []
    )


def _short(
    wanted: Reservation, device: DeviceSnapshot, views: Sequence[ModelView]
) -> tuple[str, ...]:
    held = [
        (v.name, share.leased_bytes)
        for v in views
        for share in v.shares
        if share.device_uuid == device.uuid
    ]
    own = sum(size for name, size in held if _purpose(views, name) == wanted.purpose)
    short = wanted.size_bytes - own - (device.free_bytes or 0)
    if device.free_bytes is None or short <= 0:
        return ()
    there = ", ".join(f"{name} {amount(size)}" for name, size in held)
    who = f" Unload some of {there}." if there else " Other programs hold the rest."
    return (f"{amount(short)} of that are taken now: nothing leaves by itself.{who}",)


def _purpose(views: Sequence[ModelView], name: str) -> str:
    return next(view.purpose for view in views if view.name == name)


def _changes(after: tuple[Reservation, ...], plans: Mapping[str, PlanInputs]) -> tuple[str, ...]:
    """The models that would be placed differently from then on."""
    lines = []
    for inputs in plans.values():
        changed = replace(inputs, book=replace(inputs.book, reservations=after))
        before = _outcome(inputs, plan_placement(inputs))
        then = _outcome(changed, plan_placement(changed))
        if before != then:
            lines.append(f"From then on {then}; as it stands, {before}.")
    return tuple(lines)


def _outcome(inputs: PlanInputs, plan: Plan) -> str:
    return outcome_text(inputs.demand.model, plan, inputs.devices, dry_run=True)
