"""What this machine has for every model it knows, from the planner's own answers."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from danzar.broker.manager import ModelManager
from danzar.broker.model_view import ModelView
from danzar.config.settings import Config
from danzar.core.device import DeviceKind, DeviceSnapshot, find_device
from danzar.core.instance import InstanceState
from danzar.core.placement import plan_placement
from danzar.core.plan import (
    Impossible,
    NeedsEviction,
    PlacedOn,
    Plan,
    PlanInputs,
    WaitForIdle,
    WaitForRelease,
)
from danzar.errors import ModelError
from danzar.models.files import resolve
from danzar.nodes.choice import Fit
from danzar.nodes.state import NodeDevice, NodeModel

# A purpose that has no reservation and no budget: what is kept for others stays whole.
_ANY_PURPOSE = ""
_HERE = (InstanceState.LOADING, InstanceState.READY, InstanceState.DRAINING)


@dataclass(frozen=True, slots=True)
class Survey:
    """Devices and models of this machine at one instant.

    Attributes:
        absent: Models whose files are not here: this machine never answers with them.
    """

    devices: tuple[NodeDevice, ...] = ()
    models: tuple[NodeModel, ...] = ()
    absent: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a model would find here: the way, the device, and one sentence."""

    fit: Fit
    device: DeviceSnapshot | None
    why: str
    degraded: bool = False


async def survey(config: Config, manager: ModelManager, jobs: Mapping[str, int]) -> Survey:
    """Everything that others need to know; ``jobs`` are those that run, by model.

    Plans are made in a thread: a dozen models on several cards take longer than the loop may wait.
    """
    views = manager.models()
    now_s, state = manager.now_s(), manager.scheduler.state
    inputs = {
        view.name: state.plan_without(manager.scheduler.instances[view.name], now_s)
        for view in views
        if view.state not in _HERE
    }
    absent = await asyncio.to_thread(_absent, config, tuple(inputs))
    plans = await asyncio.to_thread(_plans, inputs)
    snapshots = manager.scheduler.snapshots
    models = []
    for view in views:
        answer = _answer(view, plans.get(view.name), absent.get(view.name), snapshots)
        models.append(_told(config, view, answer, jobs.get(view.name, 0)))
    return Survey(_devices(manager), tuple(models), frozenset(absent))


def _absent(config: Config, names: tuple[str, ...]) -> dict[str, str]:
    """Why a model's file can't be used, for those whose can't."""
    found = {}
    for name in names:
        try:
            resolve(name, config)
        except (ModelError, OSError) as exc:
            found[name] = str(exc)
    return found


def _plans(inputs: Mapping[str, PlanInputs]) -> dict[str, Plan]:
    return {name: plan_placement(asked) for name, asked in inputs.items()}


def _answer(
    view: ModelView, plan: Plan | None, absent: str | None, snapshots: tuple[DeviceSnapshot, ...]
) -> _Answer:
    if plan is None:
        return _loaded(view, snapshots)
    if absent is not None:
        return _Answer(Fit.NEVER, None, absent)
    if view.retry_in_s is not None:
        return _Answer(Fit.NEVER, None, view.last_error or "its last load failed")
    return _planned(plan, snapshots)


def _loaded(view: ModelView, snapshots: tuple[DeviceSnapshot, ...]) -> _Answer:
    devices = [find_device(snapshots, share.device_uuid) for share in view.hosts]
    largest = max(filter(None, devices), key=lambda d: d.total_bytes, default=None)
    why = view.degraded or f"{view.state} on {view.device or 'no device yet'}"
    return _Answer(Fit.LOADED, largest, why, view.degraded is not None)


def _planned(plan: Plan, snapshots: tuple[DeviceSnapshot, ...]) -> _Answer:
    match plan:
        case PlacedOn():
            device = find_device(snapshots, plan.device_uuid)
            why = plan.degraded or plan.reason
            return _Answer(Fit.FREE, device, why, plan.degraded is not None)
        case WaitForRelease():
            return _Answer(Fit.FREE, find_device(snapshots, plan.device_uuid), plan.reason)
        case NeedsEviction() | WaitForIdle():
            return _Answer(Fit.EVICT, find_device(snapshots, plan.device_uuid), plan.reason)
        case Impossible():
            return _Answer(Fit.NEVER, None, plan.reason)
        case _:
            assert_never(plan)


def _told(config: Config, view: ModelView, answer: _Answer, jobs: int) -> NodeModel:
    entry = config.models.models[view.name]
    device = answer.device
    planned = device.label if device else None
    on_card = device is not None and device.kind is DeviceKind.CUDA
    return NodeModel(
        name=view.name,
        role=entry.role,
        backend=entry.backend,
        state=view.state.value,
        fit=answer.fit,
        device=view.device or planned,
        card_bytes=device.total_bytes if device is not None and on_card else 0,
        size_bytes=view.leased_bytes or view.estimated_bytes,
        degraded=answer.degraded,
        why=answer.why,
        jobs=jobs,
    )


def _devices(manager: ModelManager) -> tuple[NodeDevice, ...]:
    return tuple(_device(manager, snapshot) for snapshot in manager.scheduler.snapshots)


def _device(manager: ModelManager, snapshot: DeviceSnapshot) -> NodeDevice:
    ledger = manager.scheduler.ledger
    leases = ledger.leases_on(snapshot.uuid)
    return NodeDevice(
        label=snapshot.label,
        name=snapshot.name,
        total_bytes=snapshot.total_bytes,
        free_bytes=snapshot.free_bytes,
        used_bytes=snapshot.used_bytes,
        room_bytes=ledger.room(snapshot).headroom_bytes(_ANY_PURPOSE),
        own_bytes=sum(lease.size_bytes for lease in leases),
        simulated=snapshot.simulated,
    )
