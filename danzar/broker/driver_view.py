"""What the driver's snapshots say of Danzar's own processes. Pure.

A row that is missing, or whose figure is ``None`` (Windows WDDM, another container's process ids),
is unknown: nothing is concluded from it.
"""

from collections.abc import Iterable, Mapping

from danzar.core.device import CPU_UUID, DeviceSnapshot, find_device
from danzar.core.plan import Share
from danzar.units import format_size

DeviceBytes = tuple[tuple[str, int], ...]
"""``(device UUID, bytes)`` rows, as in ``danzar.core.events``."""

# An unload counts as done when all but this share of its bytes is back.
_MAY_STAY = 0.1


def held_by(snapshots: Iterable[DeviceSnapshot], pid: int) -> dict[str, int]:
    """What a process holds, by device UUID, where the driver says it."""
    return {
        s.uuid: p.used_bytes
        for s in snapshots
        for p in s.processes
        if p.pid == pid and p.used_bytes is not None
    }


def taken(before: Mapping[str, int], after: Mapping[str, int]) -> DeviceBytes:
    """By how much a process grew, on the devices where it did."""
    grown = {uuid: size - before.get(uuid, 0) for uuid, size in after.items()}
    return tuple((uuid, size) for uuid, size in grown.items() if size > 0)


def not_back(
    now: Mapping[str, int], due: Mapping[str, int], leaving: Mapping[str, int]
) -> DeviceBytes:
    """What a process still holds of the bytes that were to come back.

    Args:
        now: What it holds.
        due: What it holds once all are back.
        leaving: What was to come back. A tenth of that may stay without a word.
    """
    over = {uuid: now.get(uuid, 0) - due.get(uuid, 0) for uuid in leaving}
    return tuple((uuid, size) for uuid, size in over.items() if size > leaving[uuid] * _MAY_STAY)


def shortage(
    snapshots: tuple[DeviceSnapshot, ...],
    shares: Iterable[Share],
    coming_bytes: Mapping[str, int],
) -> str | None:
    """Why a load must not begin: a device has less free than it takes; ``None`` if none has.

    ``coming_bytes`` is what loads in flight will still take, by device UUID. A device that does
    not say what is free has no room.
    """
    for share in shares:
        device = find_device(snapshots, share.device_uuid)
        if device is None:
            return f"the device {share.device_uuid} is gone"
        coming = coming_bytes.get(share.device_uuid, 0)
        if device.free_bytes is None or device.free_bytes - coming < share.size_bytes:
            return _short_text(device, share, coming)
    return None


def is_on_cpu(shares: Iterable[Share]) -> bool:
    """Whether a placement takes host RAM alone."""
    return all(share.device_uuid == CPU_UUID for share in shares)


def _short_text(device: DeviceSnapshot, share: Share, coming_bytes: int) -> str:
    free = "unknown" if device.free_bytes is None else format_size(device.free_bytes)
    others = f", {format_size(coming_bytes)} of it promised to other loads" if coming_bytes else ""
    return (
        f"{device.label} has {free} free{others}, but {format_size(share.size_bytes)} were booked"
    )
