"""How a model's next load would go: from warm weights or cold, into which process. Pure."""

from typing import TYPE_CHECKING

from danzar.core.instance import HELD, Instance
from danzar.core.reload import LoadWay, ProcessFrom, Reload
from danzar.core.warm_items import WarmPhase, standby_of, weights_of

if TYPE_CHECKING:  # the state asks here what reloads cost
    from danzar.core.state import State

# With this share of its file in the page cache, a load is as good as warm.
_WARM_SHARE = 0.9


def reload_of(state: "State", instance: Instance) -> Reload:
    """What loading it would take as things stand; of a loaded model, were it evicted now."""
    sizes = [state.ledger.lease(x).size_bytes for x in instance.lease_ids]
    size_bytes = sum(sizes) or instance.facts.configured_bytes
    return instance.usage.reload(size_bytes, way_of(state, instance))


def way_of(state: "State", instance: Instance) -> LoadWay:
    """How loading it would go as things stand; of a loaded model, were it evicted now."""
    kept = is_kept(state, instance.name) or _would_be_kept(state, instance)
    return LoadWay(kept or are_pages_there(state, instance.name), _process(state, instance))


def note_ways(state: "State") -> None:
    """Let every model's usage know how its next load would go, where that can differ."""
    if state.warm.items or state.warm.homes or state.warm.pages:
        for instance in state.instances.values():
            instance.usage.way = way_of(state, instance)


def is_kept(state: "State", model: str) -> bool:
    """Whether the warm tier has its weights."""
    return state.warm.phase(weights_of(model)) is WarmPhase.KEPT


def are_pages_there(state: "State", model: str) -> bool:
    """Whether its file was in the page cache when that was last looked at; unknown is no."""
    pages = state.warm.pages.get(model)
    if pages is None or pages.resident_bytes is None:
        return False
    return pages.resident_bytes >= _WARM_SHARE * pages.file_bytes


def _would_be_kept(state: "State", instance: Instance) -> bool:
    needed_bytes = instance.facts.warm_bytes
    return instance.state in HELD and 0 < needed_bytes <= state.rules.warm.budget_bytes


def _process(state: "State", instance: Instance) -> ProcessFrom:
    worker = instance.facts.worker
    others = (
        other
        for other in state.instances.values()
        if other is not instance and other.facts.worker == worker and other.state in HELD
    )
    home = instance.device_uuid
    if any(home is None or other.device_uuid == home for other in others):
        return ProcessFrom.RUNNING
    if state.warm.phase(standby_of(worker)) is WarmPhase.KEPT:
        return ProcessFrom.STANDBY
    return ProcessFrom.NEW
