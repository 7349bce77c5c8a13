"""Starting a worker anew: its requests end, its models leave, and come back together. Pure.

The process ends with its last model, so none may return before all have left.
"""

from danzar.core.events import Effect, RecycleRequested, SpillFound
from danzar.core.instance import HELD, Instance, InstanceState
from danzar.core.leaving import Leaving, UnloadCause
from danzar.core.loading import RAN_OUT_S, unload
from danzar.core.state import State

# A recycling that is not done after this time is given up: its models may load wherever they can.
PATIENCE_S = 180.0
_MOVING = (InstanceState.LOADING, InstanceState.UNLOADING)
_GONE = (InstanceState.COLD, InstanceState.FAILED)


def recycle(state: State, event: RecycleRequested, now_s: float) -> list[Effect]:
    """Let all models of a worker leave; nothing where one is on its way in or out."""
    key = (event.worker, event.device_uuid)
    hosted = [i for i in _on(state, key) if i.state in HELD]
    moving = any(i.state in _MOVING for i in _on(state, key))
    if moving or not hosted or key in state.recycling:
        return []
    state.recycling[key] = (frozenset(i.name for i in hosted), now_s + PATIENCE_S)
    effects: list[Effect] = []
    for instance in hosted:
        instance.paused_until_s = now_s + PATIENCE_S
        effects += unload(state, instance, Leaving(UnloadCause.RECYCLED, event.reason))
    return effects


def bring_back(state: State, now_s: float) -> None:
    """Ask for the models of workers that have ended."""
    for key, (names, until_s) in tuple(state.recycling.items()):
        if now_s < until_s and any(i.state not in _GONE for i in _on(state, key)):
            continue
        del state.recycling[key]
        for name in names:
            instance = state.instances[name]
            instance.paused_until_s = 0.0
            if instance.state in _GONE:
                instance.wanted_s = now_s


def load_smaller(state: State, event: SpillFound, now_s: float) -> list[Effect]:
    """The driver moved part of a model to host RAM: load it again with less on the device."""
    instance = state.instances[event.model]
    if instance.state is not InstanceState.READY or instance.placed is None:
        return []
    for share in instance.placed.shares:
        instance.ran_out_bytes[share.device_uuid] = (share.size_bytes, now_s + RAN_OUT_S)
    effects = unload(state, instance, Leaving(UnloadCause.SPILLED, event.reason))
    instance.wanted_s = now_s
    return effects


def _on(state: State, key: tuple[str, str]) -> list[Instance]:
    """The models that a worker hosts, or is about to; one that has left is on no device."""
    return [i for i in state.instances.values() if (i.facts.worker, i.device_uuid) == key]
