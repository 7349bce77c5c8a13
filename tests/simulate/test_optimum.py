from collections.abc import Sequence
from itertools import combinations, product
from random import Random

import pytest

from danzar.simulate.optimum import Item, least_load_s
from danzar.simulate.regret import regret_of
from danzar.simulate.simulation import Simulation
from danzar.simulate.trace import Ask
from tests.simulate.worlds import described, random_trace, random_world

A, B, C = Item(4, 1.0), Item(4, 2.0), Item(6, 5.0)
ITEMS = {"a": A, "b": B, "c": C}


def every_way_s(served: Sequence[str], items, capacities) -> float:
    """The least over all contents of the cards at every step, without any cleverness."""
    names = sorted(items)
    every_set = [frozenset(c) for n in range(len(names) + 1) for c in combinations(names, n)]
    fitting = [
        [chosen for chosen in every_set if sum(items[x].size_bytes for x in chosen) <= capacity]
        for capacity in capacities
    ]

    def moved_s(old, new) -> float:
        return sum(items[x].load_s for i, card in enumerate(new) for x in card - old[i])

    costs = {tuple(frozenset() for _ in capacities): 0.0}
    for name in served:
        states = [state for state in product(*fitting) if any(name in card for card in state)]
        costs = {
            state: min(cost_s + moved_s(old, state) for old, cost_s in costs.items())
            for state in states
        }
    return min(costs.values())


@pytest.mark.parametrize(
    ("served", "capacities", "seconds"),
    [
        pytest.param("ab", [8], 3.0, id="both fit: each is loaded once"),
        pytest.param("cacac", [8], 5 + 1 + 5 + 1 + 5, id="two that do not fit together"),
        pytest.param("cacac", [8, 8], 6.0, id="a card for each"),
        pytest.param("acbcab", [10], 1 + 5 + 2 + 1, id="the dear one stays while the others swap"),
    ],
)
def test_the_optimum_of_a_trace_that_can_be_followed_by_hand(served, capacities, seconds):
    bound = least_load_s(served, ITEMS, capacities)
    assert bound.exact
    assert bound.seconds == pytest.approx(seconds)


@pytest.mark.parametrize("seed", range(30))
def test_it_is_what_trying_every_way_finds(seed):
    random = Random(seed)
    items = {
        name: Item(random.randint(1, 6), random.randint(1, 9)) for name in "abcd"[: 3 + seed % 2]
    }
    capacities = [random.randint(6, 9) for _ in range(random.randint(1, 2))]
    served = random.choices(sorted(items), k=8)
    bound = least_load_s(served, items, capacities)
    assert bound.exact
    assert bound.seconds == pytest.approx(every_way_s(served, items, capacities))


@pytest.mark.parametrize("seed", range(20))
def test_where_it_is_too_much_to_search_the_bound_is_not_above_the_optimum(seed):
    random = Random(seed)
    items = {name: Item(random.randint(1, 6), random.randint(1, 9)) for name in "abcdefg"}
    served = random.choices(sorted(items), k=60)
    exact = least_load_s(served, items, [9, 7])
    bound = least_load_s(served, items, [9, 7], most_states=4)
    assert exact.exact
    assert not bound.exact
    assert 0 < bound.seconds <= exact.seconds


@pytest.mark.parametrize("seed", range(25))
def test_no_run_spends_less_than_the_least(seed):
    random = Random(seed)
    world = random_world(random)
    trace = random_trace(random, world, 60)
    simulation = Simulation(world, trace)
    simulation.run()
    regret = regret_of(world, trace, simulation.figures)
    assert regret.regret_s >= -1e-6


def test_a_run_that_never_had_a_choice_has_no_regret():
    world = described({"a": {"gib": 4}, "b": {"gib": 4}}, (12.0,))
    trace = tuple(Ask(20.0 * i, name) for i, name in enumerate("abbabaab"))
    simulation = Simulation(world, trace)
    simulation.run()
    regret = regret_of(world, trace, simulation.figures)
    assert regret.exact
    assert regret.regret_s == pytest.approx(0)
