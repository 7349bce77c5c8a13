"""The optimizer's figures, put together from what others measured. Pure."""

from collections.abc import Mapping, Sequence

from danzar.broker.model_view import ModelView
from danzar.core.batch_tuning import BatchView
from danzar.core.device import DeviceKind
from danzar.core.device_memory import DeviceMemory
from danzar.core.upkeep import AllocatorView
from danzar.optimizer.results import BatchSize, MemoryMetrics, WarmModel


def memory_metrics(
    devices: Sequence[DeviceMemory],
    allocators: Sequence[AllocatorView],
    batches: Sequence[BatchView],
) -> tuple[MemoryMetrics, ...]:
    """One row for each GPU."""
    return tuple(
        _metrics(device, allocators, [b for b in batches if b.device_uuid == device.snapshot.uuid])
        for device in devices
        if device.snapshot.kind is DeviceKind.CUDA
    )


def batch_sizes(batches: Sequence[BatchView], labels: Mapping[str, str]) -> tuple[BatchSize, ...]:
    """One row for each loaded vision model; ``labels`` are the devices' by UUID."""
    return tuple(
        BatchSize(
            b.model, labels.get(b.device_uuid, b.device_uuid), b.size, b.optimal, b.limit, b.reason
        )
        for b in batches
    )


def warm_models(views: Sequence[ModelView]) -> tuple[WarmModel, ...]:
    """The models whose weights are in host RAM, loaded or not."""
    return tuple(WarmModel(v.name, v.warm_bytes, v.reload_s) for v in views if v.warm_bytes)


def smallest_batch(batches: Sequence[BatchView]) -> int | None:
    """Of the loaded vision models; ``None`` where none is loaded."""
    return min((b.size for b in batches), default=None)


def _metrics(
    device: DeviceMemory, allocators: Sequence[AllocatorView], batches: Sequence[BatchView]
) -> MemoryMetrics:
    snapshot = device.snapshot
    shares = [a.fragmentation for a in allocators if a.device_uuid == snapshot.uuid]
    known = [share for share in shares if share is not None]
    return MemoryMetrics(
        device=snapshot.label,
        uuid=snapshot.uuid,
        name=snapshot.name,
        simulated=snapshot.simulated,
        total_bytes=snapshot.total_bytes,
        used_bytes=snapshot.used_bytes,
        free_bytes=snapshot.free_bytes,
        used_pct=snapshot.memory_pct,
        utilisation_pct=snapshot.utilisation_pct,
        temperature_c=snapshot.temperature_c,
        power_w=snapshot.power_w,
        fragmentation_pct=100 * max(known) if known else None,
        current_batch_size=smallest_batch(batches),
        optimal_batch_size=min((b.optimal for b in batches if b.optimal is not None), default=None),
    )
