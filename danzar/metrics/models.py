"""What is told of the models, read from the scheduler's state without changing it. Pure."""

from collections.abc import Mapping

from danzar.core.instance import HELD, Instance, InstanceState
from danzar.core.state import State
from danzar.core.warm_items import WarmKind, WarmPhase
from danzar.metrics import names
from danzar.metrics.labels import DeviceLabels
from danzar.metrics.text import Family, Labels


def model_families(state: State, devices: Mapping[str, DeviceLabels]) -> list[Family]:
    """Which models are loaded where, who waits for them, and what loading ahead has brought."""
    instances = state.instances.values()
    failed = (i for i in instances if i.state is InstanceState.FAILED)
    total = state.prefetches.total()
    bounds = state.rules.queue.bounds_s
    return [
        (names.MODEL_LOADED, {x: 1 for i in instances for x in _places(i, devices)}),
        (names.MODEL_FAILED, {(i.name,): 1 for i in failed}),
        (names.QUEUE_WAITING, {(i.name,): len(i.queue) for i in instances}),
        (names.QUEUE_RUNNING, {(i.name,): len(i.in_flight) for i in instances}),
        (names.QUEUE_LIMIT, {(i.name,): i.queue.limit for i in instances}),
        (names.WAIT_BOUND, {(kind,): bound_s for kind, bound_s in bounds.items()}),
        (names.WARM_BYTES, {(): _warm_bytes(state)}),
        (
            names.PREFETCH,
            {("hit",): total.hits, ("wasted",): total.wasted, ("missed",): total.misses},
        ),
    ]


def _places(instance: Instance, devices: Mapping[str, DeviceLabels]) -> list[Labels]:
    """The devices that hold a part of a loaded model; one that is gone holds nothing."""
    if instance.state not in HELD or instance.placed is None:
        return []
    hosts = dict.fromkeys(s.device_uuid for s in instance.placed.shares if s.size_bytes)
    return [(*devices[uuid], instance.name) for uuid in hosts if uuid in devices]


def _warm_bytes(state: State) -> int:
    kept = (
        item
        for item in state.warm.items.values()
        if item.key.kind is WarmKind.WEIGHTS and item.phase is WarmPhase.KEPT
    )
    return sum(state.ledger.lease(item.lease_id).size_bytes for item in kept)
