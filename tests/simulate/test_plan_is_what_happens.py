"""``!gpu plan`` says where a model would go; then it is asked for, and goes there."""

import os
from collections import Counter
from itertools import count, islice
from random import Random

import pytest

from danzar.core.events import Effect, RefuseJob, StartLoad, StartUnload
from danzar.core.instance import InstanceState
from danzar.core.plan import Impossible, NeedsEviction, PlacedOn, Plan
from danzar.simulate.simulation import Simulation
from tests.simulate.worlds import random_trace, random_world

WORLDS = int(os.environ.get("DANZAR_TEST_WORLDS", "400"))
BATCHES = 4
PATIENCE_S = 300.0


def comes_true(plan: Plan, effects: list[Effect], model: str) -> bool:
    """Whether what happened to the model is what the plan said."""
    load = next((e for e in effects if isinstance(e, StartLoad) and e.model == model), None)
    refusal = next((e for e in effects if isinstance(e, RefuseJob)), None)
    if isinstance(plan, Impossible):
        # What yielded to other programs may still come back later, asked for or not.
        return refusal is not None and (
            load is None or effects.index(refusal) < effects.index(load)
        )
    if load is None:
        return False
    before = effects[: effects.index(load)]
    gone = {e.model for e in before if isinstance(e, StartUnload)}
    if isinstance(plan, PlacedOn):
        return load.placed.shares == plan.shares
    if isinstance(plan, NeedsEviction) and not gone.issuperset(plan.victims):
        return False
    return load.device_uuid == plan.device_uuid


def is_known(plan: Plan, effects: list[Effect], model: str) -> bool:
    """Whether nothing that follows can change what ``comes_true`` says."""
    return any(
        (isinstance(e, StartLoad) and e.model == model)
        or (isinstance(plan, Impossible) and isinstance(e, RefuseJob))
        for e in effects
    )


def ask_in_a_random_world(seed: int) -> tuple[str, bool] | None:
    """``(kind of plan, whether it came true)``; ``None`` where every model was loaded."""
    random = Random(seed)
    world = random_world(random)
    effects: list[Effect] = []
    trace = random_trace(random, world, random.randint(3, 25))
    simulation = Simulation(world, trace, effects.append)
    simulation.advance(trace[-1].at_s + random.choice((0.5, 5, 40)))
    instances = simulation.scheduler.instances.values()
    cold = [i.name for i in instances if i.state is InstanceState.COLD and i.asked_s is None]
    if not cold:
        return None
    model = random.choice(cold)
    plan = simulation.scheduler.plan(model, simulation.now_s)
    effects.clear()
    simulation.ask(model)
    until_s = simulation.now_s + PATIENCE_S
    while simulation.now_s < until_s and not is_known(plan, effects, model):
        simulation.advance(simulation.now_s + 1.0)
    return type(plan).__name__, comes_true(plan, effects, model)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_what_is_planned_happens_in_at_least_95_percent_of_random_worlds(batch):
    asked = (ask_in_a_random_world(seed) for seed in count(batch, BATCHES))
    outcomes = list(islice((x for x in asked if x is not None), WORLDS // BATCHES))
    kinds = Counter(kind for kind, _ in outcomes)
    assert min(kinds["PlacedOn"], kinds["NeedsEviction"], kinds["Impossible"]) > 0
    wrong = Counter(kind for kind, true in outcomes if not true)
    assert sum(wrong.values()) <= 0.05 * len(outcomes), (wrong, kinds)
