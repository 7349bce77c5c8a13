"""What the driver measured, and what that leaves for a new lease. Pure."""

from dataclasses import dataclass
from enum import StrEnum

CPU_UUID = "cpu"


class DeviceKind(StrEnum):
    """What a device is made of."""

    CUDA = "cuda"
    CPU = "cpu"


@dataclass(frozen=True, slots=True)
class ProcessUse:
    """One process that holds memory on a device.

    Attributes:
        pid: Process id as the driver gives it.
        name: Executable's name, or ``None`` where it can't be read.
        used_bytes: Memory held; ``None`` means unknown (Windows WDDM, MIG), not zero.
    """

    pid: int
    name: str | None
    used_bytes: int | None


@dataclass(frozen=True, slots=True)
class DeviceSnapshot:
    """One device at one instant. ``None`` always means unknown.

    Attributes:
        uuid: Identity; survives reboots and reordering. ``"cpu"`` for host RAM.
        index: The ``N`` of ``cuda:N`` in PCI bus order; -1 for host RAM. For display only.
        total_bytes: Capacity.
        free_bytes: What the driver would still hand out. Decisions use this, not ``used``,
            because ``used`` includes memory that the driver keeps for itself.
        used_bytes: Capacity in use by anyone.
        utilisation_pct: Share of time that the device computed, 0 to 100.
        simulated: The figures are invented; say so wherever they are shown.
        sampled_at_s: Monotonic seconds.
    """

    uuid: str
    index: int
    name: str
    kind: DeviceKind
    total_bytes: int
    free_bytes: int | None
    used_bytes: int | None
    utilisation_pct: float | None
    temperature_c: float | None
    power_w: float | None
    processes: tuple[ProcessUse, ...]
    simulated: bool
    sampled_at_s: float

    @property
    def label(self) -> str:
        """``cuda:N`` or ``cpu``, as people write it."""
        return f"cuda:{self.index}" if self.kind is DeviceKind.CUDA else "cpu"

    @property
    def is_real_gpu(self) -> bool:
        """Whether work is done there: a simulated card computes on the CPU."""
        return self.kind is DeviceKind.CUDA and not self.simulated

    @property
    def memory_pct(self) -> float | None:
        """Share of the capacity in use, 0 to 100."""
        if self.used_bytes is None or self.total_bytes == 0:
            return None
        return 100 * self.used_bytes / self.total_bytes


def matches_device(snapshot: DeviceSnapshot, wanted: str) -> bool:
    """Whether ``wanted`` (``cuda:1``, a UUID or ``cpu``) names this device."""
    return wanted in (snapshot.uuid, snapshot.label)


def find_device(snapshots: tuple[DeviceSnapshot, ...], wanted: str) -> DeviceSnapshot | None:
    """The device that ``wanted`` names, or ``None`` where there is none."""
    return next((s for s in snapshots if matches_device(s, wanted)), None)
