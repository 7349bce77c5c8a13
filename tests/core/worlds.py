"""Small worlds of devices and models for the core's tests."""

from danzar.core.device import CPU_UUID, DeviceKind, DeviceSnapshot
from danzar.core.eviction import EvictionPolicy, lru
from danzar.core.ledger import Ledger, Margins, Reservation
from danzar.core.model import ModelFacts
from danzar.core.scheduler import Scheduler
from danzar.units import GIB


def gpu(index: int = 0, free_gib: float | None = 12.0, total_gib: float = 12.0) -> DeviceSnapshot:
    free = None if free_gib is None else round(free_gib * GIB)
    total = round(total_gib * GIB)
    return DeviceSnapshot(
        uuid=f"GPU-{index}",
        index=index,
        name=f"RTX {index}",
        kind=DeviceKind.CUDA,
        total_bytes=total,
        free_bytes=free,
        used_bytes=None if free is None else total - free,
        utilisation_pct=0.0,
        temperature_c=40.0,
        power_w=20.0,
        processes=(),
        simulated=True,
        sampled_at_s=0.0,
    )


def host(free_gib: float = 16.0) -> DeviceSnapshot:
    return DeviceSnapshot(
        uuid=CPU_UUID,
        index=-1,
        name="host",
        kind=DeviceKind.CPU,
        total_bytes=32 * GIB,
        free_bytes=round(free_gib * GIB),
        used_bytes=32 * GIB - round(free_gib * GIB),
        utilisation_pct=0.0,
        temperature_c=None,
        power_w=None,
        processes=(),
        simulated=False,
        sampled_at_s=0.0,
    )


def model(
    name: str = "chat", cuda_gib: float = 4.0, *, purpose: str = "chat", **changes: object
) -> ModelFacts:
    size = round(cuda_gib * GIB)
    facts = {
        "name": name,
        "engine": name,
        "purpose": purpose,
        "cuda_bytes": size,
        "context_bytes": 0,
        "host_bytes": size,
        "preferred": ("cuda:0",),
        **changes,
    }
    return ModelFacts(**facts)


def book(*reservations: Reservation, vision_gib: float | None = None) -> Ledger:
    budgets = {} if vision_gib is None else {"vision": round(vision_gib * GIB)}
    return Ledger(reservations, budgets, Margins(cuda_bytes=0, host_bytes=0))


def reserve(device: str, gib: float, purpose: str = "chat") -> Reservation:
    return Reservation(device, purpose, round(gib * GIB))


def make_scheduler(
    *models: ModelFacts,
    ledger: Ledger | None = None,
    keep_alive_s: float = 900.0,
    max_queue: int = 4,
    policy: EvictionPolicy = lru,
) -> Scheduler:
    return Scheduler(
        models,
        ledger or book(),
        keep_alive_s=keep_alive_s,
        max_queue=max_queue,
        policy=policy,
    )
