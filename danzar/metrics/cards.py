"""What is told of the devices, from figures that were measured already. Pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from danzar.core.batch_tuning import BatchView
from danzar.core.book import LeaseState
from danzar.core.device import DeviceKind
from danzar.core.device_memory import DeviceMemory
from danzar.core.pressure import Level
from danzar.core.upkeep import AllocatorView
from danzar.metrics import names
from danzar.metrics.labels import DeviceLabels, device_labels
from danzar.metrics.names import Metric
from danzar.metrics.text import Family, Labels

_Table = dict[Metric, dict[Labels, float]]


def card_families(
    devices: Sequence[DeviceMemory],
    levels: Mapping[str, Level],
    allocators: Sequence[AllocatorView],
) -> list[Family]:
    """The seed's figures of every GPU, and what the ledger has for every device.

    Args:
        devices: As they were last measured.
        levels: How full a device is, by UUID; those that were never judged are not there.
        allocators: What each worker's torch holds.
    """
    table: _Table = defaultdict(dict)
    worst = _fragmentation(allocators)
    for device in devices:
        snapshot = device.snapshot
        where = device_labels(snapshot)
        table[names.DEVICE_INFO][*where, snapshot.name] = 1
        _put(table, names.FOREIGN_BYTES, where, device.foreign_bytes)
        _put(table, names.PRESSURE_LEVEL, where, levels.get(snapshot.uuid))
        _put_booked(table, device, where)
        if snapshot.kind is DeviceKind.CUDA:
            _put_measured(table, device, where)
            _put(table, names.FRAGMENTATION_PERCENT, where, worst.get(snapshot.uuid))
    return list(table.items())


def batch_families(
    batches: Sequence[BatchView], devices: Mapping[str, DeviceLabels]
) -> list[Family]:
    """The batch sizes of the loaded models on devices that are there."""
    there = [(b, (*devices[b.device_uuid], b.model)) for b in batches if b.device_uuid in devices]
    return [
        (names.CURRENT_BATCH, {labels: b.size for b, labels in there}),
        (names.OPTIMAL_BATCH, {x: b.optimal for b, x in there if b.optimal is not None}),
    ]


def _put_measured(table: _Table, device: DeviceMemory, where: DeviceLabels) -> None:
    snapshot = device.snapshot
    _put(table, names.USAGE_PERCENT, where, snapshot.memory_pct)
    _put(table, names.TOTAL_BYTES, where, snapshot.total_bytes)
    _put(table, names.USED_BYTES, where, snapshot.used_bytes)
    _put(table, names.FREE_BYTES, where, snapshot.free_bytes)
    _put(table, names.UTILIZATION_PERCENT, where, snapshot.utilisation_pct)
    _put(table, names.TEMPERATURE_CELSIUS, where, snapshot.temperature_c)
    _put(table, names.POWER_WATTS, where, snapshot.power_w)


def _put_booked(table: _Table, device: DeviceMemory, where: DeviceLabels) -> None:
    leased: dict[Labels, float] = table[names.LEASED_BYTES]
    lost_bytes = 0
    for lease in device.leases:
        labels = (*where, lease.model, lease.purpose, lease.state)
        leased[labels] = leased.get(labels, 0) + lease.size_bytes
        if lease.state is LeaseState.QUARANTINED:
            lost_bytes += lease.size_bytes
    for kept in device.reservations:
        table[names.RESERVED_BYTES][*where, kept.purpose] = kept.size_bytes
    _put(table, names.QUARANTINED_BYTES, where, lost_bytes)


def _put(table: _Table, metric: Metric, labels: Labels, value: float | None) -> None:
    """What is unknown has no row."""
    if value is not None:
        table[metric][labels] = value


def _fragmentation(allocators: Sequence[AllocatorView]) -> dict[str, float]:
    """The worst worker's share by device UUID, percent."""
    worst: dict[str, float] = {}
    for view in allocators:
        share = view.fragmentation
        if share is not None:
            worst[view.device_uuid] = max(worst.get(view.device_uuid, 0.0), 100 * share)
    return worst
