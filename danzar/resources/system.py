"""The whole machine at one instant, and what its hardware can do. Reads ``/proc`` and the disk."""

import ctypes
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psutil

from danzar.core.device import DeviceKind
from danzar.core.device_memory import DeviceMemory
from danzar.resources.machine import DeviceRoom
from danzar.resources.schema import Profiles

# Of IsProcessorFeaturePresent.
_WINDOWS_FEATURES = {"avx": 39, "avx2": 40, "avx512f": 41}
_BF16 = (8, 0)
_FP8 = (8, 9)
_FLASH = (8, 0)


@dataclass(frozen=True, slots=True)
class VRAMInfo:
    """One card's memory; ``None`` is unknown, never zero.

    Attributes:
        allocated_bytes: What processes hold.
        cached_bytes: What torch's allocators in Danzar's workers keep and do not use: a cleanup
            gives it back. ``None`` where none of them says.
        driver_bytes: What the driver keeps for itself: not free, and no process explains it.
        room_bytes: What a generation may take.
        own_bytes: Danzar's part.
    """

    device: str
    name: str
    simulated: bool
    total_bytes: int
    free_bytes: int | None
    allocated_bytes: int | None
    cached_bytes: int | None
    driver_bytes: int | None
    own_bytes: int
    foreign_bytes: int | None
    room_bytes: int | None
    utilisation_pct: float | None
    temperature_c: float | None


@dataclass(frozen=True, slots=True)
class SystemResourceInfo:
    """VRAM, RAM, CPU and disk at one instant; ``None`` is unknown.

    Attributes:
        cpu_pct: Mean over all cores since the last reading.
        disk_folder: The one that results go to.
    """

    at: datetime
    cards: tuple[VRAMInfo, ...]
    ram_total_bytes: int | None
    ram_available_bytes: int | None
    cpu_count: int
    cpu_pct: float | None
    disk_folder: str
    disk_total_bytes: int | None
    disk_free_bytes: int | None


@dataclass(frozen=True, slots=True)
class ResourceLows:
    """The least that there was over the history; ``None`` where it was never known.

    Attributes:
        readings: How many there are; 0 leaves all else empty.
        free_bytes: By device.
    """

    readings: int
    since: datetime | None
    free_bytes: dict[str, int]
    ram_available_bytes: int | None
    disk_free_bytes: int | None


@dataclass(frozen=True, slots=True)
class CardCapability:
    """What a card can compute in.

    Attributes:
        compute_capability: ``8.9``; ``None`` where neither the driver nor the name tells it.
        by_driver: Whether the driver said so; else it follows from the card's name.
        bf16: Whether bfloat16 runs at full speed; else float16 stands in.
        fp8: Whether it computes in 8 bits; keeping weights in 8 bits works on all.
        flash_attention: Whether FlashAttention 2 runs; else torch's memory-efficient kernels do.
    """

    device: str
    name: str
    simulated: bool
    compute_capability: str | None
    by_driver: bool
    bf16: bool | None
    fp8: bool | None
    flash_attention: bool | None


@dataclass(frozen=True, slots=True)
class HardwareCapabilities:
    """What the machine can do.

    Attributes:
        cpu_features: Of avx, avx2 and avx512f those that it has; ``None`` unknown.
    """

    cards: tuple[CardCapability, ...]
    cpu_name: str
    cpu_cores: int | None
    cpu_threads: int
    cpu_features: tuple[str, ...] | None
    ram_total_bytes: int | None
    system: str


def read_system(
    at: datetime,
    memory: Sequence[DeviceMemory],
    rooms: Sequence[DeviceRoom],
    folder: Path,
    cached_bytes: Mapping[str, int],
) -> SystemResourceInfo:
    """The machine now. Takes well under a millisecond on a local disk.

    Args:
        at: When.
        memory: The newest figures of all devices.
        rooms: What the cards have room for.
        folder: Where results go; it need not exist yet.
        cached_bytes: What torch's allocators keep and do not use, by UUID.
    """
    host = next((d.snapshot for d in memory if d.snapshot.kind is DeviceKind.CPU), None)
    by_label = {room.label: room.room_bytes for room in rooms}
    disk = disk_of(folder)
    return SystemResourceInfo(
        at=at,
        cards=tuple(
            _vram(d, by_label.get(d.snapshot.label), cached_bytes.get(d.snapshot.uuid))
            for d in memory
            if d.snapshot.kind is DeviceKind.CUDA
        ),
        ram_total_bytes=host.total_bytes if host else None,
        ram_available_bytes=host.free_bytes if host else None,
        cpu_count=os.cpu_count() or 1,
        cpu_pct=host.utilisation_pct if host else None,
        disk_folder=str(folder),
        disk_total_bytes=disk[0] if disk else None,
        disk_free_bytes=disk[1] if disk else None,
    )


def lows(history: Sequence[SystemResourceInfo]) -> ResourceLows:
    """The tightest moments of the history, each figure by itself."""
    free: dict[str, int] = {}
    for reading in history:
        for card in reading.cards:
            if card.free_bytes is not None:
                free[card.device] = min(card.free_bytes, free.get(card.device, card.free_bytes))
    ram = [r.ram_available_bytes for r in history if r.ram_available_bytes is not None]
    disk = [r.disk_free_bytes for r in history if r.disk_free_bytes is not None]
    return ResourceLows(
        readings=len(history),
        since=history[0].at if history else None,
        free_bytes=free,
        ram_available_bytes=min(ram, default=None),
        disk_free_bytes=min(disk, default=None),
    )


def disk_of(folder: Path) -> tuple[int, int] | None:
    """Total and free bytes of the disk that holds a folder, or will; ``None`` unknown."""
    existing = next((f for f in (folder, *folder.absolute().parents) if f.is_dir()), None)
    if existing is None:
        return None
    try:
        usage = psutil.disk_usage(str(existing))
    except OSError:
        return None
    return usage.total, usage.free


def read_capabilities(profiles: Profiles, rooms: Sequence[DeviceRoom]) -> HardwareCapabilities:
    """What the cards and the host can do. Reads ``/proc/cpuinfo`` on Linux."""
    return HardwareCapabilities(
        cards=tuple(_capability(profiles, room) for room in rooms),
        cpu_name=platform.processor() or platform.machine(),
        cpu_cores=psutil.cpu_count(logical=False),
        cpu_threads=os.cpu_count() or 1,
        cpu_features=_cpu_features(),
        ram_total_bytes=psutil.virtual_memory().total,
        system=f"{platform.system()} {platform.release()}",
    )


def _vram(device: DeviceMemory, room_bytes: int | None, cached_bytes: int | None) -> VRAMInfo:
    snapshot, reserved, allocated = device.snapshot, device.reserved_bytes, device.allocated_bytes
    known = reserved is not None and allocated is not None
    return VRAMInfo(
        device=snapshot.label,
        name=snapshot.name,
        simulated=snapshot.simulated,
        total_bytes=snapshot.total_bytes,
        free_bytes=snapshot.free_bytes,
        allocated_bytes=allocated,
        cached_bytes=cached_bytes,
        driver_bytes=(reserved or 0) - (allocated or 0) if known else None,
        own_bytes=device.own_bytes,
        foreign_bytes=device.foreign_bytes,
        room_bytes=room_bytes,
        utilisation_pct=snapshot.utilisation_pct,
        temperature_c=snapshot.temperature_c,
    )


def _capability(profiles: Profiles, room: DeviceRoom) -> CardCapability:
    card = profiles.card(room.name)
    by_name = card.compute_capability if card is not None else None
    told = room.compute_capability or by_name
    version = None if told is None else tuple(int(part) for part in told.split("."))
    return CardCapability(
        device=room.label,
        name=room.name,
        simulated=room.simulated,
        compute_capability=told,
        by_driver=room.compute_capability is not None,
        bf16=None if version is None else version >= _BF16,
        fp8=None if version is None else version >= _FP8,
        flash_attention=None if version is None else version >= _FLASH,
    )


def _cpu_features() -> tuple[str, ...] | None:
    if sys.platform == "win32":
        present = ctypes.windll.kernel32.IsProcessorFeaturePresent
        return tuple(name for name, number in _WINDOWS_FEATURES.items() if present(number))
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    words = frozenset(text.split())
    return tuple(name for name in _WINDOWS_FEATURES if name in words)
