from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from danzar.core.eviction import POLICIES, Need, Resident, choose_victims

residents = st.lists(
    st.builds(
        Resident,
        model=st.text("abcdefgh", min_size=1, max_size=4),
        shares=st.integers(1, 100).map(lambda size: (("GPU-0", size, size),)),
        priority=st.integers(0, 3),
        waiting=st.integers(0, 1),
        last_used_s=st.floats(0, 100),
        reload_s=st.floats(0.1, 30),
        use_probability=st.floats(0, 1),
    ),
    max_size=8,
    unique_by=lambda r: r.model,
)


def size_of(chosen) -> int:
    return sum(r.bytes_on("GPU-0") for r in chosen)


def choose(loaded, missing: int, policy: str):
    need = Need("GPU-0", missing, lambda c: size_of(c) >= missing)
    found = choose_victims(loaded, need, policy)
    return () if found is None else found.residents


@given(residents, st.integers(-5, 400), st.sampled_from(POLICIES))
def test_victims_are_enough_and_none_is_superfluous(loaded, missing, policy):
    victims = choose(loaded, missing, policy)
    if missing <= 0 or size_of(loaded) < missing:
        assert victims == ()
    else:
        assert size_of(victims) >= missing
        assert all(size_of(victims) - size_of([v]) < missing for v in victims)


@given(residents, st.integers(1, 400))
def test_no_other_set_that_is_enough_costs_less(loaded, missing):
    victims = choose(loaded, missing, "cost")
    if not victims:
        return
    sets = (c for n in range(1, len(loaded) + 1) for c in combinations(loaded, n))
    cheapest = min(sum(r.cost_s for r in c) for c in sets if size_of(c) >= missing)
    assert sum(r.cost_s for r in victims) == pytest.approx(cheapest)


def resident(name: str, size: int = 5, **changes) -> Resident:
    return Resident(name, (("GPU-0", 1, size),), **changes)


@pytest.mark.parametrize(
    ("policy", "stays", "goes"),
    [
        pytest.param("lru", {"last_used_s": 9.0}, {"last_used_s": 1.0}, id="lru: long unused"),
        pytest.param("largest", {"size": 5}, {"size": 50}, id="largest: the largest"),
        pytest.param("priority", {"priority": 9}, {"priority": 1}, id="priority: the lowest"),
        pytest.param("cost", {"reload_s": 30.0}, {"reload_s": 2.0}, id="cost: quick to reload"),
        pytest.param(
            "cost",
            {"use_probability": 0.9},
            {"use_probability": 0.1},
            id="cost: unlikely to be wanted",
        ),
        pytest.param("lru", {"waiting": 1}, {"last_used_s": 9.0}, id="not what others wait for"),
    ],
)
def test_each_policy_takes(policy, stays, goes):
    loaded = [resident("stays", **stays), resident("goes", **goes)]
    assert [v.model for v in choose(loaded, 4, policy)] == ["goes"]


def test_two_cheap_ones_go_rather_than_one_dear_one():
    dear = resident("dear", 8, reload_s=40.0)
    cheap = [resident(f"cheap{i}", 4, reload_s=2.0) for i in range(2)]
    assert {v.model for v in choose([dear, *cheap], 8, "cost")} == {"cheap0", "cheap1"}
