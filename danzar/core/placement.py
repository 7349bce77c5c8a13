"""Where and how a model may be loaded: a plan made from values alone, with its reasons. Pure.

For each variant, best first: every GPU as it stands; every GPU once begun unloads are done; the GPU
on which the cheapest idle models make room; several GPUs together (after all variants that lose no
quality were tried on one GPU, which leaves the others free). Then a part of the layers on a GPU,
then the CPU; protected models go last of all. While a request has waited less than ``patience_s``,
busy models that would make room for all of it are waited for instead.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial as bind

from danzar.core.book import Lease, LeaseState
from danzar.core.candidates import Candidate, bytes_on_gpu, on_host, partial, split, whole
from danzar.core.device import DeviceSnapshot
from danzar.core.eviction import Need, Resident, Victims, choose_victims
from danzar.core.plan import (
    Impossible,
    NeedsEviction,
    PlacedOn,
    Plan,
    PlanInputs,
    WaitForIdle,
    WaitForRelease,
)
from danzar.core.plan_text import (
    eviction_text,
    impossible_text,
    placed_text,
    waiting_text,
    why_worse,
)
from danzar.core.plan_view import Leavers, View
from danzar.core.room import Room
from danzar.core.split_rooms import SplitRooms
from danzar.core.variant import LayerShape, Rung, Variant

# Smaller batches make prompts slower, fewer slots make people wait; answers are no worse.
_LOSSLESS = (Rung.FULL, Rung.BATCH, Rung.SLOTS)


def plan_placement(inputs: PlanInputs) -> Plan:
    """The plan for one demand; the same inputs always give the same plan."""
    view = View(inputs)
    for attempt in _attempts(view):
        if (plan := attempt()) is not None:
            return plan
    return _once_loaded(inputs) or Impossible(view.shortfall_bytes(), impossible_text(view))


def _once_loaded(inputs: PlanInputs) -> WaitForIdle | None:
    """Where it would go, were it not for loads under way and room that older requests wait for.

    None of them can leave now; all may once they are loaded.
    """
    leases = inputs.book.leases
    arriving = {x.model for x in leases if _arrives(x)}
    if not arriving:
        return None
    book = replace(inputs.book, leases=tuple(x for x in leases if not _arrives(x)))
    devices = tuple(_without_arriving(device, leases) for device in inputs.devices)
    later = plan_placement(replace(inputs, book=book, devices=devices))
    if isinstance(later, Impossible):
        return None
    names = tuple(sorted(arriving))
    reason = f"{inputs.demand.model} waits until {', '.join(names)} can leave: they are loading"
    return WaitForIdle(later.device_uuid, names, reason)


def _arrives(lease: Lease) -> bool:
    return lease.state is LeaseState.CLAIMED and bool(lease.model)


def _without_arriving(device: DeviceSnapshot, leases: Iterable[Lease]) -> DeviceSnapshot:
    """The device as it may be when loads under way have left it again.

    How much of their bytes they have taken by now is not known: as if it were all.
    """
    here = [x for x in leases if x.device_uuid == device.uuid]
    taken_bytes = sum(x.size_bytes for x in here if _arrives(x))
    if device.free_bytes is None or not taken_bytes:
        return device
    others_bytes = sum(x.size_bytes for x in here if x.state is LeaseState.RESIDENT)
    most_bytes = max(device.free_bytes, device.total_bytes - others_bytes)
    return replace(device, free_bytes=min(device.free_bytes + taken_bytes, most_bytes))


def _attempts(view: View) -> Iterable[Callable[[], Plan | None]]:
    """Every way, best first."""
    variants = view.demand.variants
    lossless = [v for v in variants if v.rung in _LOSSLESS]
    for variant in lossless:
        yield from _on_one_gpu(view, variant)
        if variant is variants[0] and view.demand.waited_s < view.rules.patience_s:
            yield bind(_once_idle, view, variant, view.unprotected)
    for variant in lossless:
        yield bind(_split, view, variant)
    for variant in variants[len(lossless) :]:
        yield from _on_one_gpu(view, variant)
        yield bind(_split, view, variant)
    yield bind(_in_part, view, variants[-1])
    for variant in variants:
        yield bind(_on_cpu, view, variant)
        yield bind(_on_cpu_after_eviction, view, variant)
    for variant in variants:
        yield bind(_once_idle, view, variant, view.unprotected)
        yield bind(_once_idle_on_cpu, view, variant)
    # Where nothing is protected, these ways were tried above.
    for variant in variants if view.movable.residents != view.unprotected.residents else ():
        yield bind(_after_eviction, view, variant, view.last_resort)
        yield bind(_once_idle, view, variant, view.movable)


def _on_one_gpu(view: View, variant: Variant) -> Iterable[Callable[[], Plan | None]]:
    yield bind(_as_it_stands, view, variant)
    yield bind(_after_release, view, variant)
    yield bind(_after_eviction, view, variant, view.evictable)


def _as_it_stands(view: View, variant: Variant) -> PlacedOn | None:
    for room, missing_bytes in _missing(view, variant):
        if missing_bytes > 0:
            continue
        candidate = whole(view.demand, variant, room.device.uuid, view.host_uuid)
        if view.fits(candidate):
            return _placed(view, candidate)
    return None


def _after_release(view: View, variant: Variant) -> WaitForRelease | None:
    if not view.coming:
        return None
    for room, missing_bytes in _missing(view, variant):
        if missing_bytes > 0:
            continue
        candidate = whole(view.demand, variant, room.device.uuid, view.host_uuid)
        if view.fits(candidate, gone=view.coming):
            return _wait_for_release(room)
    return None


def _wait_for_release(room: Room) -> WaitForRelease:
    return WaitForRelease(room.device.uuid, f"unloads on {room.device.label} are making room")


def _missing(view: View, variant: Variant) -> Iterable[tuple[Room, int]]:
    """The GPUs that may take a variant, with what each lacks for it."""
    for room in view.usable:
        missing_bytes = view.missing_bytes(room, variant)
        if missing_bytes is not None:
            yield room, missing_bytes


def _after_eviction(view: View, variant: Variant, leavers: Leavers) -> NeedsEviction | None:
    """On the GPU where it costs least; the better-liked one of equals."""
    best: tuple[Room, Victims] | None = None
    for room, missing_bytes in _missing(view, variant):
        if leavers.bytes_on(room.device.uuid) < missing_bytes:
            continue
        candidate = whole(view.demand, variant, room.device.uuid, view.host_uuid)
        below = best[1].rank if best is not None else None
        found = _victims(view, candidate, leavers, below)
        if found is not None and (best is None or found.rank < best[1].rank):
            best = room, found
    if best is None:
        return None
    room, victims = best
    needed_bytes = bytes_on_gpu(view.demand, variant.cuda_bytes, room.device.uuid)
    return _evict(view, needed_bytes, room, victims)


def _victims(
    view: View,
    candidate: Candidate,
    leavers: Leavers,
    below: tuple[float, ...] | None = None,
) -> Victims | None:
    """The best of the leavers whose going makes the candidate fit on all its devices.

    ``below`` spares the search where no set has a lower rank.
    """
    short = view.short_of(candidate)
    if not short or any(leavers.bytes_on(uuid) < missing for uuid, missing in short):
        return None

    def is_enough(gone: Sequence[Resident]) -> bool:
        lease_ids = {lease_id for r in gone for _, lease_id, _ in r.shares}
        return view.fits(candidate, lease_ids | view.coming)

    uuid, missing_bytes = short[0]
    need = Need(uuid, missing_bytes, is_enough)
    return choose_victims(leavers.on_any(u for u, _ in short), need, view.rules.policy, below)


def _evict(view: View, needed_bytes: int, room: Room, victims: Victims) -> NeedsEviction:
    names = tuple(v.model for v in victims.residents)
    reason = eviction_text(view, room, needed_bytes, victims)
    return NeedsEviction(room.device.uuid, names, reason)


def _split(view: View, variant: Variant) -> Plan | None:
    """Over several GPUs as they stand, or after idle models left them, the cheapest first."""
    shape = variant.layers
    if shape is None or len(view.usable) < 2:  # noqa: PLR2004 - one card is no split
        return None
    rooms = SplitRooms(view, shape)
    if rooms.most_layers(view.evictable) < shape.layers:
        return None
    for gone in rooms.emptied_by(view.evictable):
        candidate = split(view.demand, variant, rooms.headrooms, view.host_uuid)
        if candidate is None or not view.fits(candidate, gone=rooms.gone):
            continue
        if gone:
            return _evict_for_split(view, variant, rooms)
        if view.coming and not view.fits(candidate):
            return WaitForRelease(candidate.shares[0].device_uuid, "unloads are making room")
        return _placed(view, candidate)
    return None


def _evict_for_split(view: View, variant: Variant, rooms: SplitRooms) -> NeedsEviction:
    """Spare whoever left for nothing: the dearest first, as long as the others make room."""
    best = split(view.demand, variant, rooms.headrooms, view.host_uuid)
    for resident in reversed(rooms.left):
        rooms.bring_back(resident)
        found = (
            split(view.demand, variant, rooms.headrooms, view.host_uuid)
            if rooms.is_enough
            else None
        )
        if found is not None and view.fits(found, gone=rooms.gone):
            best = found
        else:
            rooms.send_away(resident)
    if best is None:
        raise AssertionError(f"{view.demand.model} can't be split over what was emptied for it")
    names = tuple(r.model for r in rooms.left)
    reason = f"{view.demand.model} goes {best.loss} once {', '.join(names)} left them"
    return NeedsEviction(best.shares[0].device_uuid, names, reason)


def _in_part(view: View, variant: Variant) -> Plan | None:
    """Some of the layers on the first GPU that can have enough of them."""
    shape = variant.layers
    if shape is None or view.host_uuid is None or not view.demand.allow_cpu:
        return None
    for room in view.usable:
        candidate = _part_on(view, variant, shape, room, gone=frozenset())
        if candidate is not None and view.fits(candidate):
            return _placed(view, candidate)
    gone = view.coming | view.evictable.lease_ids
    for room in view.usable:
        candidate = _part_on(view, variant, shape, room, gone)
        if candidate is not None and view.fits(candidate, gone=view.coming):
            return _wait_for_release(room)
        found = candidate and _victims(view, candidate, view.evictable)
        if candidate is not None and found:
            return _evict(view, candidate.shares[0].size_bytes, room, found)
    return None


def _part_on(
    view: View, variant: Variant, shape: LayerShape, room: Room, gone: frozenset[int]
) -> Candidate | None:
    headroom_bytes = room.headroom_bytes(view.demand.purpose, gone)
    if headroom_bytes is None or view.host_uuid is None:
        return None
    found = partial(view.demand, variant, room.device.uuid, headroom_bytes, view.host_uuid)
    enough = shape.layers * view.rules.min_layer_share
    return found if found is not None and (found.shares[0].layers or 0) >= enough else None


def _on_host(view: View, variant: Variant) -> tuple[Room, Candidate] | None:
    """Host RAM, and the variant in it; ``None`` where it may not be used."""
    demand = view.demand
    if view.host_uuid is None or not (demand.allow_cpu or demand.wants_cpu):
        return None
    return view.rooms[view.host_uuid], on_host(demand, variant, view.host_uuid)


def _on_cpu(view: View, variant: Variant) -> PlacedOn | None:
    host = _on_host(view, variant)
    return _placed(view, host[1]) if host is not None and view.fits(host[1]) else None


def _on_cpu_after_eviction(view: View, variant: Variant) -> Plan | None:
    """In host RAM, once unloads are done or idle models have left it."""
    host = _on_host(view, variant)
    if host is None:
        return None
    room, candidate = host
    if view.coming and view.fits(candidate, gone=view.coming):
        return _wait_for_release(room)
    found = _victims(view, candidate, view.evictable)
    return _evict(view, candidate.shares[0].size_bytes, room, found) if found else None


def _once_idle(view: View, variant: Variant, leavers: Leavers) -> WaitForIdle | None:
    """The GPU that busy or just loaded models would free, were they to go."""
    if view.demand.wants_cpu:
        return None
    for room, missing_bytes in _missing(view, variant):
        if leavers.bytes_on(room.device.uuid) < missing_bytes:
            continue
        candidate = whole(view.demand, variant, room.device.uuid, view.host_uuid)
        found = _victims(view, candidate, leavers)
        if found is not None:
            return _wait_for_idle(view, room, found)
    return None


def _once_idle_on_cpu(view: View, variant: Variant) -> WaitForIdle | None:
    """Host RAM, once busy or just loaded models have left it."""
    host = _on_host(view, variant)
    if host is None:
        return None
    room, candidate = host
    found = _victims(view, candidate, view.unprotected)
    return _wait_for_idle(view, room, found) if found else None


def _wait_for_idle(view: View, room: Room, victims: Victims) -> WaitForIdle:
    names = tuple(v.model for v in victims.residents)
    return WaitForIdle(room.device.uuid, names, waiting_text(view, room, names))


def _placed(view: View, candidate: Candidate) -> PlacedOn:
    return PlacedOn(
        candidate.shares,
        candidate.rung,
        candidate.settings,
        placed_text(view, candidate),
        why_worse(view, candidate),
    )
