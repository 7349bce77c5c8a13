"""What a simulation spent on loads above the least that had to be spent. Pure."""

from collections import defaultdict
from dataclasses import replace

import msgspec

from danzar.simulate.figures import Figures, Loaded
from danzar.simulate.optimum import MOST_STATES, Bound, Item, least_load_s
from danzar.simulate.trace import Foreign, Trace
from danzar.simulate.world import World, label_of


class Regret(msgspec.Struct, frozen=True):
    """Load seconds on GPUs: spent, the least possible, and the difference.

    ``exact`` says that ``least_s`` is the optimum for these cards; else it is a bound from below,
    and the true regret is at most what is shown.
    """

    spent_s: float
    least_s: float
    regret_s: float
    exact: bool
    windows: int


def regret_of(
    world: World, trace: Trace, figures: Figures, most_states: int = MOST_STATES
) -> Regret:
    """Compare what was spent with the optimum for the requests as they were served on GPUs."""
    loads = [x for x in figures.loads if x.gpus and x.failed is None]
    served = [model for model, on_gpu in figures.served if on_gpu]
    bound = _bound(world, trace, served, loads, most_states)
    spent_s = sum(x.seconds for x in loads)
    return Regret(
        spent_s=round(spent_s, 3),
        least_s=round(bound.seconds, 3),
        regret_s=round(spent_s - bound.seconds, 3),
        exact=bound.exact,
        windows=bound.windows,
    )


def _bound(
    world: World, trace: Trace, served: list[str], loads: list[Loaded], most_states: int
) -> Bound:
    """Each model at the smallest size and the shortest load that were seen for it."""
    by_model: dict[str, list[Loaded]] = defaultdict(list)
    for load in loads:
        by_model[load.model].append(load)
    items = {
        model: Item(min(x.size_bytes for x in seen), min(x.seconds for x in seen))
        for model, seen in by_model.items()
    }
    capacities = _capacities(world, trace)
    if any(x.gpus > 1 for x in loads):
        # A model that was divided is where no whole one could have been.
        pooled = least_load_s(served, items, (sum(capacities),), most_states)
        return replace(pooled, exact=False)
    return least_load_s(served, items, capacities, most_states)


def _capacities(world: World, trace: Trace) -> list[int]:
    """What each card has for models while other programs hold least."""
    least = {label_of(d): d.foreign_bytes for d in world.devices if d.index >= 0}
    for line in trace:
        if isinstance(line, Foreign):
            least[line.device] = min(least[line.device], line.size_bytes)
    return [
        d.total_bytes - least[label_of(d)] - world.margins.cuda_bytes
        for d in world.devices
        if d.index >= 0
    ]
