"""Builders for devices, leases and figures; plain values, nothing is asked of a driver."""

from danzar.core.book import Reservation
from danzar.core.device import DeviceKind, DeviceSnapshot, ProcessUse
from danzar.core.device_memory import DeviceMemory, describe_memory
from danzar.core.ledger import Ledger
from danzar.core.vision_device import VisionRules
from danzar.telemetry.sampler import Reading
from danzar.units import GIB

NAMES = ("NVIDIA GeForce RTX 4070", "NVIDIA GeForce RTX 4070 SUPER")
SEED_RULES = VisionRules(
    vision_device="cuda:1",
    main_llm_device="cuda:0",
    memory_limit_bytes=2 * GIB,
    threshold_bytes=1 * GIB,
)


def gib(value: float) -> int:
    return round(value * GIB)


def gpu(
    index: int,
    free_gib: float | None,
    *,
    total_gib: float = 12.0,
    name: str | None = None,
    processes: tuple[ProcessUse, ...] = (),
    simulated: bool = False,
    sampled_at_s: float = 0.0,
) -> DeviceSnapshot:
    free_bytes = None if free_gib is None else gib(free_gib)
    return DeviceSnapshot(
        uuid=f"GPU-{index}",
        index=index,
        name=name or NAMES[min(index, 1)],
        kind=DeviceKind.CUDA,
        total_bytes=gib(total_gib),
        free_bytes=free_bytes,
        used_bytes=None if free_bytes is None else gib(total_gib) - free_bytes,
        utilisation_pct=12.0,
        temperature_c=61.0,
        power_w=None,
        processes=processes,
        simulated=simulated,
        sampled_at_s=sampled_at_s,
    )


def cpu(free_gib: float | None = 20.0) -> DeviceSnapshot:
    free_bytes = None if free_gib is None else gib(free_gib)
    return DeviceSnapshot(
        uuid="cpu",
        index=-1,
        name="16 cores",
        kind=DeviceKind.CPU,
        total_bytes=gib(32),
        free_bytes=free_bytes,
        used_bytes=None if free_bytes is None else gib(32) - free_bytes,
        utilisation_pct=None,
        temperature_c=None,
        power_w=None,
        processes=(),
        simulated=False,
        sampled_at_s=0.0,
    )


def seed_ledger(*, chat_gib: float = 0.0, vision_gib: float = 0.0) -> Ledger:
    """8 GiB kept for chat on cuda:0, 2 GiB at most for vision; resident leases as given."""
    ledger = Ledger([Reservation("GPU-0", "chat", gib(8))], {"vision": gib(2)})
    for model, uuid, size in (("chat", "GPU-0", chat_gib), ("vision", "GPU-1", vision_gib)):
        if size:
            ledger.commit(ledger.claim(model, model, uuid, gib(size)).lease_id, None)
    return ledger


def memories(
    *snapshots: DeviceSnapshot, ledger: Ledger | None = None, own_pids: tuple[int, ...] = ()
) -> tuple[DeviceMemory, ...]:
    book = ledger or seed_ledger()
    return tuple(describe_memory(s, book, own_pids) for s in snapshots)


class FixedFigures:
    """Figures that a test sets by hand."""

    def __init__(self, *snapshots: DeviceSnapshot) -> None:
        self.reading = Reading(snapshots, 0.0)
        self.is_stale = False
        self.past: dict[str, tuple[DeviceSnapshot, ...]] = {}

    def show(self, *snapshots: DeviceSnapshot) -> None:
        self.reading, self.is_stale = Reading(snapshots, 0.0), False

    def fall_silent(self, error: str | None = "the driver hangs") -> None:
        self.reading = Reading(self.reading.snapshots, self.reading.sampled_at_s, error)
        self.is_stale = True

    def history(self, uuid: str) -> tuple[DeviceSnapshot, ...]:
        return self.past.get(uuid, ())
