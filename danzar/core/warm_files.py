"""Which models' files the page cache shall keep. Pure.

The pages cost nobody anything: the system takes them back when memory is needed. What they displace
is the cache of other programs, and that is what the budget bounds.
"""

from danzar.core.instance import Instance, InstanceState
from danzar.core.reload import LoadWay
from danzar.core.state import State


def files_to_drop(state: State, now_s: float) -> tuple[str, ...]:
    """Models whose files' pages are to be forgotten, so that the rest is within the budget.

    Only of models that are not loaded; those that save the fewest expected seconds for their bytes
    go first. Files of which the system tells nothing stay.
    """
    cold = [i for i in state.instances.values() if i.state is InstanceState.COLD]
    cached = [(i, size) for i in cold if (size := _resident_bytes(state, i))]
    excess = sum(size for _, size in cached) - state.rules.warm.page_cache_bytes
    dropped: list[str] = []
    for instance, size in sorted(cached, key=lambda x: (_worth(x[0], x[1], now_s), x[0].name)):
        if excess > 0:
            dropped.append(instance.name)
            excess -= size
    return tuple(dropped)


def _resident_bytes(state: State, instance: Instance) -> int:
    pages = state.warm.pages.get(instance.name)
    return pages.resident_bytes or 0 if pages is not None else 0


def _worth(instance: Instance, size_bytes: int, now_s: float) -> float:
    usage = instance.usage
    cold_s = usage.reload_s(size_bytes, LoadWay())
    saved_s = max(0.0, cold_s - usage.reload_s(size_bytes, LoadWay(warm=True)))
    return saved_s * usage.use_probability(now_s) / size_bytes
