"""Why a plan is as it is: every way that was weighed, best first, with its numbers. Pure.

Nothing here decides. Each row is the planner's own answer to the same question with one way and
one device alone, so that an explanation can't differ from the decision.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from danzar.core.book import LeaseState
from danzar.core.candidates import bytes_on_gpu, bytes_on_host
from danzar.core.device import CPU_UUID, DeviceKind
from danzar.core.eviction import Resident
from danzar.core.placement import plan_placement
from danzar.core.plan import (
    Impossible,
    NeedsEviction,
    PlacedOn,
    Plan,
    PlanInputs,
    WaitForIdle,
    WaitForRelease,
)
from danzar.core.plan_view import View
from danzar.core.room import Room
from danzar.core.state import OTHERS
from danzar.core.variant import Rung, Variant


class Verdict(StrEnum):
    """What became of one way on one device."""

    FITS = "fits"
    EVICT = "evict"
    RELEASE = "release"
    BUSY = "busy"
    SHORT = "short"
    TOO_FULL = "too_full"
    RAN_OUT = "ran_out"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Weighed:
    """One way to load the model on one device, or divided over several.

    Attributes:
        loss: What a person would lose; empty as configured.
        device: ``cuda:0``, ``cuda:0 + cuda:1`` or ``cpu``.
        needed_bytes: With the CUDA context or the process where they must be paid for.
        room_bytes: What the device had for it; ``None`` where the driver did not say.
        models: Who would have to leave (``EVICT``) or to finish first (``BUSY``).
    """

    rung: Rung
    loss: str
    device: str
    needed_bytes: int
    room_bytes: int | None
    verdict: Verdict
    models: tuple[str, ...] = ()
    chosen: bool = False


@dataclass(frozen=True, slots=True)
class DeviceRoom:
    """What one device had, and why not all of it was room.

    Attributes:
        free_bytes: Measured; ``None`` where the driver did not say.
        in_flight_bytes: Booked, but not taken yet: loads, and the next two.
        others_bytes: The part of it that was left to other programs, which had grown.
        promised_bytes: The part of it that older requests waited for.
        kept: ``(purpose, bytes)`` that others' reservations still kept.
        limit_left_bytes: What Danzar might still lease there; ``None`` without a limit.
        budget_left_bytes: What the model's purpose might still lease; ``None`` without a budget.
        room_bytes: What was left for the model; negative when overbooked, ``None`` when unknown.
        warm_bytes: What was kept warm there, and counted as free.
    """

    device_uuid: str
    device: str
    simulated: bool
    total_bytes: int
    free_bytes: int | None
    in_flight_bytes: int
    others_bytes: int
    promised_bytes: int
    kept: tuple[tuple[str, int], ...]
    margin_bytes: int
    limit_left_bytes: int | None
    budget_left_bytes: int | None
    room_bytes: int | None
    warm_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Leaving:
    """A model that had to go, and what that is expected to cost."""

    model: str
    size_bytes: int
    reload_s: float
    use_probability: float
    cost_s: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """One decision, taken apart.

    Attributes:
        weighed: Every way that was looked at, in the planner's order, up to the chosen one.
        leaving: Who goes first; empty where nobody has to.
        at_s: The scheduler's clock when it was decided, monotonic seconds.
    """

    model: str
    plan: Plan
    devices: tuple[DeviceRoom, ...]
    weighed: tuple[Weighed, ...]
    leaving: tuple[Leaving, ...]
    policy: str
    at_s: float


@dataclass(frozen=True, slots=True)
class _Way:
    """A row before it is judged: the question to ask the planner, and the figures to show."""

    rung: Rung
    loss: str
    rooms: tuple[Room, ...]
    needed_bytes: int
    inputs: PlanInputs


def explain(inputs: PlanInputs, plan: Plan) -> Explanation:
    """Take a decision apart; ``plan`` is what ``plan_placement(inputs)`` gave."""
    view = View(inputs)
    rows: list[Weighed] = []
    for ways in _groups(view, inputs):
        rows += [_judged(view, way, plan) for way in ways]
        if any(row.chosen for row in rows) and not _is_last_resort(inputs, plan):
            break
    return Explanation(
        model=inputs.demand.model,
        plan=plan,
        devices=tuple(_device_room(view, room) for room in _shown(view)),
        weighed=tuple(rows),
        leaving=_leaving(inputs, plan),
        policy=inputs.rules.policy,
        at_s=inputs.now_s,
    )


def _is_last_resort(inputs: PlanInputs, plan: Plan) -> bool:
    """Waiting for busy models after its patience ended comes after everything else."""
    return isinstance(plan, WaitForIdle) and inputs.demand.waited_s >= inputs.rules.patience_s


def _shown(view: View) -> tuple[Room, ...]:
    hosts = [room for room in view.rooms.values() if room.device.kind is DeviceKind.CPU]
    asks_host = view.demand.allow_cpu or view.demand.wants_cpu
    return (*view.gpus, *(hosts if asks_host else ()))


# --- the ways, in the planner's order --------------------------------------------------------


def _groups(view: View, inputs: PlanInputs) -> Iterator[list[_Way]]:
    variants = view.demand.variants
    for variant in variants:
        yield [_whole(view, inputs, variant, room) for room in view.gpus]
        yield _split(view, inputs, variant)
    yield _parts(view, inputs, variants[-1])
    for variant in variants:
        yield _on_host(view, inputs, variant)


def _whole(view: View, inputs: PlanInputs, variant: Variant, room: Room) -> _Way:
    uuid = room.device.uuid
    asked = _only(inputs, variant, (uuid,), allow_cpu=False)
    needed = bytes_on_gpu(view.demand, variant.cuda_bytes, uuid)
    return _Way(variant.rung, variant.loss, (room,), needed, asked)


def _split(view: View, inputs: PlanInputs, variant: Variant) -> list[_Way]:
    shape = variant.layers
    if shape is None or len(view.usable) < 2:  # noqa: PLR2004 - one card is no split
        return []
    uuids = tuple(room.device.uuid for room in view.usable)
    fixed = sum(bytes_on_gpu(view.demand, shape.fixed_bytes, uuid) for uuid in uuids)
    needed = shape.layers * shape.layer_bytes + fixed
    loss = f"{variant.loss} over {len(uuids)} cards".strip()
    asked = _only(inputs, variant, uuids, allow_cpu=False)
    return [_Way(Rung.SPLIT, loss, view.usable, needed, asked)]


def _parts(view: View, inputs: PlanInputs, variant: Variant) -> list[_Way]:
    shape = variant.layers
    if shape is None or view.host_uuid is None or not view.demand.allow_cpu:
        return []
    fewest = max(1, math.ceil(shape.layers * view.rules.min_layer_share))
    loss = f"{variant.loss} with at least {fewest} of {shape.layers} layers on the card".strip()
    return [
        _Way(
            Rung.LAYERS,
            loss,
            (room,),
            bytes_on_gpu(view.demand, shape.fixed_bytes + fewest * shape.layer_bytes, uuid),
            _only(inputs, variant, (uuid,), allow_cpu=True),
        )
        for room in view.usable
        if (uuid := room.device.uuid)
    ]


def _on_host(view: View, inputs: PlanInputs, variant: Variant) -> list[_Way]:
    demand, host_uuid = view.demand, view.host_uuid
    if host_uuid is None or not (demand.allow_cpu or demand.wants_cpu):
        return []
    needed = bytes_on_host(demand, variant.host_bytes, host_uuid)
    asked = _only(inputs, variant, (), allow_cpu=True)
    return [_Way(Rung.CPU, variant.loss, (view.rooms[host_uuid],), needed, asked)]


def _only(
    inputs: PlanInputs, variant: Variant, uuids: tuple[str, ...], *, allow_cpu: bool
) -> PlanInputs:
    """The same question with one variant, on these GPUs only, and without patience."""
    demand = replace(inputs.demand, variants=(variant,), device_order=uuids, allow_cpu=allow_cpu)
    rules = replace(inputs.rules, patience_s=0.0)
    asked = (*uuids, CPU_UUID)
    devices = tuple(device for device in inputs.devices if device.uuid in asked)
    return replace(inputs, demand=demand, rules=rules, devices=devices)


# --- what became of them ---------------------------------------------------------------------


def _judged(view: View, way: _Way, plan: Plan) -> Weighed:
    answer = plan_placement(way.inputs)
    is_answered = not isinstance(answer, PlacedOn) or answer.rung is way.rung
    verdict, models = _verdict(view, way, answer) if is_answered else (Verdict.SHORT, ())
    return Weighed(
        rung=way.rung,
        loss=way.loss,
        device=" + ".join(room.device.label for room in way.rooms),
        needed_bytes=way.needed_bytes,
        room_bytes=_room_bytes(view, way.rooms),
        verdict=verdict,
        models=models,
        chosen=is_answered and _is_same(answer, plan),
    )


def _verdict(view: View, way: _Way, answer: Plan) -> tuple[Verdict, tuple[str, ...]]:
    match answer:
        case PlacedOn():
            return Verdict.FITS, ()
        case NeedsEviction(_, victims, _):
            return Verdict.EVICT, victims
        case WaitForRelease():
            return Verdict.RELEASE, ()
        case WaitForIdle(_, models, _):
            return Verdict.BUSY, models
        case Impossible():
            return _why_not(view, way), ()


def _why_not(view: View, way: _Way) -> Verdict:
    device = way.rooms[0].device
    if _room_bytes(view, way.rooms) is None:
        return Verdict.UNKNOWN
    if len(way.rooms) > 1:
        return Verdict.SHORT
    if not view.may_take(way.rooms[0], way.needed_bytes):
        return Verdict.RAN_OUT
    is_gpu = device.kind is DeviceKind.CUDA
    too_full = is_gpu and (device.free_bytes or 0) < view.demand.min_free_bytes
    return Verdict.TOO_FULL if too_full else Verdict.SHORT


def _room_bytes(view: View, rooms: tuple[Room, ...]) -> int | None:
    found = [room.headroom_bytes(view.demand.purpose) for room in rooms]
    known = [size for size in found if size is not None]
    return sum(known) if len(known) == len(found) else None


def _is_same(answer: Plan, plan: Plan) -> bool:
    match answer, plan:
        case PlacedOn(), PlacedOn():
            ours, theirs = (answer.shares, answer.rung), (plan.shares, plan.rung)
            return ours == theirs and answer.settings == plan.settings
        case NeedsEviction(), NeedsEviction():
            return (answer.device_uuid, answer.victims) == (plan.device_uuid, plan.victims)
        case WaitForRelease(), WaitForRelease():
            return answer.device_uuid == plan.device_uuid
        case WaitForIdle(), WaitForIdle():
            return (answer.device_uuid, answer.models) == (plan.device_uuid, plan.models)
        case _:
            return False


# --- what each device had --------------------------------------------------------------------


def _device_room(view: View, room: Room) -> DeviceRoom:
    purpose, device = view.demand.purpose, room.device
    held = sum(lease.size_bytes for lease in room.leases)
    budget = room.budgets_bytes.get(purpose) if device.kind is DeviceKind.CUDA else None
    claimed = [lease for lease in room.leases if lease.state is LeaseState.CLAIMED]
    limit = room.limit_bytes
    return DeviceRoom(
        device_uuid=device.uuid,
        device=device.label,
        simulated=device.simulated,
        total_bytes=device.total_bytes,
        free_bytes=device.free_bytes,
        in_flight_bytes=sum(lease.size_bytes for lease in claimed),
        others_bytes=sum(x.size_bytes for x in claimed if x.purpose == OTHERS),
        promised_bytes=sum(x.size_bytes for x in claimed if x.lease_id < 0 and x.model),
        kept=tuple(_kept(room, purpose)),
        margin_bytes=room.margin_bytes,
        limit_left_bytes=None if limit is None else limit - held,
        budget_left_bytes=None if budget is None else budget - _held_by(room, purpose),
        room_bytes=room.headroom_bytes(purpose),
        warm_bytes=room.warm_bytes,
    )


def _kept(room: Room, purpose: str) -> Iterator[tuple[str, int]]:
    for reservation in room.reservations:
        left = reservation.size_bytes - _held_by(room, reservation.purpose)
        if reservation.purpose != purpose and left > 0:
            yield reservation.purpose, left


def _held_by(room: Room, purpose: str) -> int:
    return sum(lease.size_bytes for lease in room.leases if lease.purpose == purpose)


def _leaving(inputs: PlanInputs, plan: Plan) -> tuple[Leaving, ...]:
    if not isinstance(plan, NeedsEviction):
        return ()
    known = {resident.model: resident for resident in inputs.residents}
    return tuple(_left(known[name], plan.device_uuid) for name in plan.victims if name in known)


def _left(resident: Resident, uuid: str) -> Leaving:
    probability = 1.0 if resident.waiting else resident.use_probability
    size_bytes = resident.bytes_on(uuid)
    return Leaving(resident.model, size_bytes, resident.reload_s, probability, resident.cost_s)
