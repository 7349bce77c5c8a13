"""Small worlds of devices and models for the core's tests."""

from danzar.core.book import Lease, Margins, Reservation
from danzar.core.device import CPU_UUID, DeviceKind, DeviceSnapshot
from danzar.core.ledger import Ledger
from danzar.core.model import ModelFacts
from danzar.core.plan import PlanRules
from danzar.core.scheduler import Scheduler
from danzar.core.state import SchedulerRules, YieldRules
from danzar.core.variant import Rung, Variant
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
    name: str = "chat",
    cuda_gib: float = 4.0,
    *smaller_gib: float,
    purpose: str = "chat",
    **changes: object,
) -> ModelFacts:
    """A model; each of ``smaller_gib`` is a way to load it with less."""
    facts = {
        "name": name,
        "worker": name,
        "purpose": purpose,
        "variants": (whole(cuda_gib), *(less(gib) for gib in smaller_gib)),
        "preferred": ("cuda:0",),
        **changes,
    }
    return ModelFacts(**facts)


def whole(gib: float, **changes: object) -> Variant:
    return Variant(Rung.FULL, round(gib * GIB), round(gib * GIB), **changes)


def less(gib: float) -> Variant:
    size = round(gib * GIB)
    settings = (("n_ctx", size // GIB * 1024),)
    return Variant(Rung.CONTEXT, size, size, settings, loss="with less context")


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
    plan: PlanRules | None = None,
    yields: YieldRules | None = None,
) -> Scheduler:
    rules = SchedulerRules(
        keep_alive_s, max_queue, plan or PlanRules(policy="lru"), yields or YieldRules()
    )
    return Scheduler(models, ledger or book(), rules)


def leased_bytes(leases: tuple[Lease, ...], device_uuid: str) -> int:
    return sum(x.size_bytes for x in leases if x.device_uuid == device_uuid)
