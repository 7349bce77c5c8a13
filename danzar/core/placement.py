"""Where a model may be loaded: a plan made from values alone, with its reasons. Pure.

Candidates are tried in the demand's own order: first every GPU as it stands, then every GPU after
evicting idle models, then the CPU. Eviction is only planned where it is enough.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from danzar.core.device import DeviceKind, DeviceSnapshot
from danzar.core.eviction import EvictionPolicy, Resident, choose_victims
from danzar.core.ledger import Ledger
from danzar.units import format_gib


@dataclass(frozen=True, slots=True)
class Demand:
    """A model that needs a place.

    Attributes:
        cuda_bytes: What it takes on a GPU, without the CUDA context.
        context_bytes: The CUDA context of a new process.
        shared_on: UUIDs of GPUs on which its engine already has a process and so a context.
        host_bytes: What it takes in host RAM when it runs on the CPU.
        device_order: UUIDs of GPUs to try, best first; others are not tried.
        ran_out: UUIDs of GPUs that ran out while it was loaded there; not tried.
        min_free_bytes: A GPU with less measured free memory than this is not used.
        allow_cpu: Whether the CPU may host it.
        wants_cpu: It belongs on the CPU, so that being there degrades nothing.
    """

    model: str
    purpose: str
    cuda_bytes: int
    context_bytes: int
    host_bytes: int
    device_order: tuple[str, ...]
    shared_on: frozenset[str]
    allow_cpu: bool
    wants_cpu: bool = False
    ran_out: frozenset[str] = frozenset()
    min_free_bytes: int = 0

    def bytes_on(self, gpu: DeviceSnapshot) -> int:
        """What it takes on this GPU, with the context where it must pay for one."""
        return self.cuda_bytes + (0 if gpu.uuid in self.shared_on else self.context_bytes)


@dataclass(frozen=True, slots=True)
class PlacedOn:
    """Load here now.

    Attributes:
        degraded: One sentence for people with the number that forced a worse place, or ``None``.
    """

    device_uuid: str
    size_bytes: int
    reason: str
    degraded: str | None = None


@dataclass(frozen=True, slots=True)
class NeedsEviction:
    """Unload the victims, then plan again."""

    device_uuid: str
    victims: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class WaitForRelease:
    """Unloads that have begun will make room; evict nothing more."""

    device_uuid: str
    reason: str


@dataclass(frozen=True, slots=True)
class Impossible:
    """No device can take it.

    Attributes:
        shortfall_bytes: How much is missing on the device that came closest; ``None`` if no
            device could be measured.
    """

    shortfall_bytes: int | None
    reason: str


Plan = PlacedOn | NeedsEviction | WaitForRelease | Impossible


def plan_placement(
    demand: Demand,
    snapshots: Sequence[DeviceSnapshot],
    ledger: Ledger,
    residents: Iterable[Resident],
    policy: EvictionPolicy,
) -> Plan:
    """The plan for one demand; the same values always give the same plan."""
    gpus = _in_order(demand, snapshots)
    usable = [g for g in gpus if _is_usable(demand, g)]
    return (
        _as_it_stands(demand, usable, gpus, ledger)
        or _after_release(demand, usable, ledger)
        or _after_eviction(demand, usable, ledger, tuple(residents), policy)
        or _on_cpu(demand, snapshots, gpus, ledger)
        or _impossible(demand, snapshots, gpus, ledger)
    )


def _in_order(demand: Demand, snapshots: Sequence[DeviceSnapshot]) -> tuple[DeviceSnapshot, ...]:
    if demand.wants_cpu:
        return ()
    by_uuid = {s.uuid: s for s in snapshots if s.kind is DeviceKind.CUDA}
    return tuple(by_uuid[uuid] for uuid in demand.device_order if uuid in by_uuid)


def _is_usable(demand: Demand, gpu: DeviceSnapshot) -> bool:
    known_free = gpu.free_bytes is not None and gpu.free_bytes >= demand.min_free_bytes
    return known_free and gpu.uuid not in demand.ran_out


def _as_it_stands(
    demand: Demand,
    usable: Sequence[DeviceSnapshot],
    gpus: Sequence[DeviceSnapshot],
    ledger: Ledger,
) -> PlacedOn | None:
    for gpu in usable:
        headroom = ledger.headroom_bytes(gpu, demand.purpose)
        if headroom is not None and headroom >= demand.bytes_on(gpu):
            reason = (
                f"{gpu.label} has {format_gib(headroom)} of headroom, "
                f"{format_gib(demand.bytes_on(gpu))} are needed"
            )
            return PlacedOn(
                gpu.uuid, demand.bytes_on(gpu), reason, _second_choice(demand, gpu, gpus, ledger)
            )
    return None


def _after_release(
    demand: Demand, gpus: Sequence[DeviceSnapshot], ledger: Ledger
) -> WaitForRelease | None:
    for gpu in gpus:
        coming = ledger.releasing_on(gpu.uuid)
        headroom = _headroom_without(demand, gpu, ledger, coming)
        if coming and headroom is not None and headroom >= demand.bytes_on(gpu):
            return WaitForRelease(gpu.uuid, f"unloads on {gpu.label} make room")
    return None


def _after_eviction(
    demand: Demand,
    gpus: Sequence[DeviceSnapshot],
    ledger: Ledger,
    residents: tuple[Resident, ...],
    policy: EvictionPolicy,
) -> NeedsEviction | None:
    for gpu in gpus:
        coming = ledger.releasing_on(gpu.uuid)
        headroom = _headroom_without(demand, gpu, ledger, coming)
        if headroom is None:
            continue
        missing = demand.bytes_on(gpu) - headroom
        here = [r for r in residents if r.device_uuid == gpu.uuid and r.lease_id not in coming]
        victims = choose_victims(here, missing, policy)
        gone = (*coming, *(v.lease_id for v in victims))
        after = _headroom_without(demand, gpu, ledger, gone)
        if victims and after is not None and after >= demand.bytes_on(gpu):
            names = tuple(v.model for v in victims)
            reason = f"{gpu.label} lacks {format_gib(missing)}; idle: {', '.join(names)}"
            return NeedsEviction(gpu.uuid, names, reason)
    return None


def _headroom_without(
    demand: Demand, gpu: DeviceSnapshot, ledger: Ledger, lease_ids: Collection[int]
) -> int | None:
    """Headroom once these leases are gone."""
    headroom = ledger.headroom_bytes(gpu, demand.purpose)
    if headroom is None:
        return None
    return headroom + ledger.gain_bytes(gpu.uuid, lease_ids, demand.purpose)


def _on_cpu(
    demand: Demand,
    snapshots: Sequence[DeviceSnapshot],
    gpus: Sequence[DeviceSnapshot],
    ledger: Ledger,
) -> PlacedOn | None:
    if not (demand.allow_cpu or demand.wants_cpu):
        return None
    for host in (s for s in snapshots if s.kind is DeviceKind.CPU):
        headroom = ledger.headroom_bytes(host, demand.purpose)
        if headroom is not None and headroom >= demand.host_bytes:
            degraded = None if demand.wants_cpu or not gpus else _why_cpu(demand, gpus, ledger)
            reason = degraded or f"{demand.model} runs on the CPU"
            return PlacedOn(host.uuid, demand.host_bytes, reason, degraded)
    return None


def _second_choice(
    demand: Demand, chosen: DeviceSnapshot, gpus: Sequence[DeviceSnapshot], ledger: Ledger
) -> str | None:
    if chosen is gpus[0]:
        return None
    return (
        f"{demand.model} runs on {chosen.label}: {format_gib(demand.bytes_on(gpus[0]))} are "
        f"needed, {_room_text(demand, gpus[0], ledger)}."
    )


def _why_cpu(demand: Demand, gpus: Sequence[DeviceSnapshot], ledger: Ledger) -> str:
    rooms = ", ".join(_room_text(demand, g, ledger) for g in gpus)
    return (
        f"{demand.model} runs on the CPU: {format_gib(demand.bytes_on(gpus[0]))} are needed, "
        f"{rooms}."
    )


def _impossible(
    demand: Demand,
    snapshots: Sequence[DeviceSnapshot],
    gpus: Sequence[DeviceSnapshot],
    ledger: Ledger,
) -> Impossible:
    hosts = [s for s in snapshots if s.kind is DeviceKind.CPU] if demand.allow_cpu else []
    missing = [
        demand.bytes_on(g) - room
        for g in gpus
        if (room := ledger.headroom_bytes(g, demand.purpose)) is not None
    ]
    rooms = ", ".join(_room_text(demand, d, ledger) for d in (*gpus, *hosts))
    reason = (
        f"{demand.model} needs {format_gib(demand.cuda_bytes)} on a GPU or "
        f"{format_gib(demand.host_bytes)} of host RAM; "
        f"{rooms or 'no device answers'}. Close other programs or choose a smaller model."
    )
    return Impossible(min(missing, default=None), reason)


def _room_text(demand: Demand, device: DeviceSnapshot, ledger: Ledger) -> str:
    room = ledger.headroom_bytes(device, demand.purpose)
    if device.uuid in demand.ran_out:
        return f"{device.label} ran out of memory while loading"
    if room is None or device.free_bytes is None:
        return f"{device.label} has an unknown amount free"
    if device.kind is DeviceKind.CUDA and device.free_bytes < demand.min_free_bytes:
        return (
            f"{device.label} has {format_gib(device.free_bytes)} free, less than "
            f"{format_gib(demand.min_free_bytes)}"
        )
    return f"{device.label} has room for {format_gib(max(0, room))}"
