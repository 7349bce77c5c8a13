"""What a plan says of itself: every sentence carries the numbers that forced it. Pure."""

from danzar.core.candidates import Candidate, bytes_on_gpu
from danzar.core.device import DeviceKind
from danzar.core.eviction import Victims
from danzar.core.plan_view import View
from danzar.core.room import Room
from danzar.core.variant import Rung
from danzar.units import format_gib


def placed_text(view: View, candidate: Candidate) -> str:
    """Why a model goes where it goes, for the log and ``!gpu why``."""
    parts = [
        f"{room.device.label} has {format_gib(max(0, headroom))} of headroom, "
        f"{format_gib(share.size_bytes)} are needed"
        for share in candidate.shares
        if (room := view.rooms[share.device_uuid]).device.kind is DeviceKind.CUDA
        and (headroom := room.headroom_bytes(view.demand.purpose)) is not None
    ]
    if not parts:
        parts = [why_worse(view, candidate) or f"{view.demand.model} runs on the CPU"]
    loss = f" ({candidate.loss})" if candidate.loss else ""
    ahead = [view.demand.foreseen] if view.demand.foreseen else []
    return "; ".join([*ahead, *parts]) + loss


def why_worse(view: View, candidate: Candidate) -> str | None:
    """One sentence for whoever asked, when this is not the first device and the first variant."""
    demand = view.demand
    where = view.rooms[candidate.shares[0].device_uuid].device
    if demand.wants_cpu or not view.gpus:
        return None
    first = view.gpus[0]
    as_wished = where.uuid == first.device.uuid or not demand.prefers
    if candidate.rung is Rung.FULL and as_wished:
        return None
    better = [r for r in view.gpus if r is not view.rooms[where.uuid]] or [first]
    if candidate.rung not in (Rung.FULL, Rung.CPU):
        better = list(view.gpus)
    needed = bytes_on_gpu(demand, demand.variants[0].cuda_bytes, first.device.uuid)
    rooms = ", ".join(room_text(view, r) for r in better[:3])
    place = _place(candidate, where.label)
    return f"{demand.model} runs {place}: {format_gib(needed)} are needed, {rooms}."


def _place(candidate: Candidate, label: str) -> str:
    if candidate.rung is Rung.SPLIT:
        return candidate.loss
    where = "on the CPU" if label == "cpu" else f"on {label}"
    return f"{where} {candidate.loss}".strip()


def eviction_text(view: View, room: Room, needed_bytes: int, victims: Victims) -> str:
    """Who goes, and what that is expected to cost."""
    headroom = room.headroom_bytes(view.demand.purpose, view.coming) or 0
    who = ", ".join(
        f"{v.model} ({format_gib(v.bytes_on(room.device.uuid))}, reload {v.reload_s:.1f} s x "
        f"{100 * (1.0 if v.waiting else v.use_probability):.0f} %)"
        for v in victims.residents
    )
    missing_bytes = needed_bytes - headroom
    lack = f"{room.device.label} lacks {format_gib(missing_bytes)}"
    if missing_bytes <= 0:
        lack = f"{room.device.label} has room, but host RAM is short beside it"
    return f"{lack}; goes: {who}; policy {view.rules.policy}"


def waiting_text(view: View, room: Room, names: tuple[str, ...]) -> str:
    """Who is waited for."""
    return f"{view.demand.model} waits until {', '.join(names)} can leave {room.device.label}"


def impossible_text(view: View) -> str:
    """The refusal, with what would help."""
    demand = view.demand
    smallest = min(demand.variants, key=lambda v: v.cuda_bytes)
    hosts = [r for r in view.rooms.values() if r.device.kind is DeviceKind.CPU]
    shown = [*view.gpus, *(hosts if demand.allow_cpu or demand.wants_cpu else ())]
    rooms = ", ".join(room_text(view, r, view.movable.lease_ids) for r in shown[:4])
    host = f" or {format_gib(smallest.host_bytes)} of host RAM" if demand.allow_cpu else ""
    return (
        f"{demand.model} needs {format_gib(smallest.cuda_bytes)} on a GPU{host}; "
        f"{rooms or 'no device answers'}. {_pinned_text(view)}"
        "Close other programs or choose a smaller model."
    )


def _pinned_text(view: View) -> str:
    if not view.pinned:
        return ""
    held = (f"{r.model} ({format_gib(sum(size for *_, size in r.shares))})" for r in view.pinned)
    return f"These are pinned: {', '.join(held)}. "


def room_text(view: View, room: Room, gone: frozenset[int] = frozenset()) -> str:
    """What one device offers, or why it does not."""
    demand, device = view.demand, room.device
    headroom = room.headroom_bytes(demand.purpose, gone)
    if device.uuid in dict(demand.ran_out):
        return f"{device.label} ran out of memory with that"
    if headroom is None or device.free_bytes is None:
        return f"{device.label} has an unknown amount free"
    if device.kind is DeviceKind.CUDA and device.free_bytes < demand.min_free_bytes:
        return (
            f"{device.label} has {format_gib(device.free_bytes)} free, less than "
            f"{format_gib(demand.min_free_bytes)}"
        )
    return f"{device.label} has room for {format_gib(max(0, headroom))}"
