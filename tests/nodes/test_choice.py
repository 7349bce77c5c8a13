"""Which node takes a model's jobs: the decision as values."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from danzar.nodes.choice import Fit, Offer, hold_back_s, rank, ranked
from danzar.units import GIB

fits = st.sampled_from(Fit)
sizes = st.sampled_from([0, 8 * GIB, 12 * GIB, 24 * GIB])


@st.composite
def worlds(draw) -> list[Offer]:
    names = draw(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=6, unique=True))
    return [Offer(name, draw(fits), draw(sizes), draw(st.booleans())) for name in names]


def waits(world: list[Offer], model: str = "m", head_start_s: float = 2.0) -> dict[str, float]:
    return {
        mine.node: hold_back_s(
            model,
            mine,
            [offer for offer in world if offer is not mine],
            head_start_s=head_start_s,
            patience_s=30.0,
        )
        for mine in world
    }


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        pytest.param(
            Offer("a", Fit.LOADED, 24 * GIB),
            Offer("b", Fit.FREE, 8 * GIB),
            id="who has it loaded, before the one that would load it",
        ),
        pytest.param(
            Offer("a", Fit.FREE, 8 * GIB),
            Offer("b", Fit.FREE, 24 * GIB),
            id="the weakest card that suffices, so that the powerful one stays free",
        ),
        pytest.param(
            Offer("a", Fit.FREE, 24 * GIB),
            Offer("b", Fit.EVICT, 8 * GIB),
            id="room without an eviction, even on the more powerful card",
        ),
        pytest.param(
            Offer("a", Fit.EVICT, 24 * GIB),
            Offer("b", Fit.FREE, 0, degraded=True),
            id="whole on a card after an eviction, before in part or on the CPU",
        ),
        pytest.param(
            Offer("a", Fit.EVICT, 8 * GIB),
            Offer("b", Fit.EVICT, 24 * GIB),
            id="less powerful cards are freed first",
        ),
        pytest.param(
            Offer("a", Fit.FREE, 0, degraded=True), Offer("b", Fit.NEVER), id="worse before never"
        ),
    ],
)
def test_the_better_node_is(better: Offer, worse: Offer) -> None:
    assert rank("m", better) < rank("m", worse)
    assert ranked("m", [worse, better])[0] is better
    assert waits([worse, better])["a"] == 0
    assert waits([worse, better])["b"] > 0


def test_two_that_have_it_loaded_both_take_jobs_at_once() -> None:
    assert waits([Offer("a", Fit.LOADED, 8 * GIB), Offer("b", Fit.LOADED, 24 * GIB)]) == {
        "a": 0,
        "b": 0,
    }


def test_each_better_node_is_one_head_start_more() -> None:
    world = [
        Offer("a", Fit.LOADED),
        Offer("b", Fit.FREE, 8 * GIB),
        Offer("c", Fit.FREE, 12 * GIB),
    ]

    assert waits(world) == {"a": 0, "b": 2, "c": 4}


def test_a_node_evicts_late_where_another_needs_not() -> None:
    found = waits([Offer("a", Fit.LOADED), Offer("b", Fit.EVICT, 8 * GIB)])

    assert found["b"] == 12


def test_a_node_that_cannot_place_it_takes_nothing_from_one_that_can() -> None:
    assert waits([Offer("a", Fit.NEVER), Offer("b", Fit.EVICT)])["a"] == math.inf


def test_where_nobody_can_place_it_somebody_says_so_in_the_end() -> None:
    assert waits([Offer("a", Fit.NEVER), Offer("b", Fit.NEVER)]) == {"a": 30, "b": 30}


def test_models_spread_over_machines_that_are_alike() -> None:
    alike = [Offer("pc1", Fit.FREE, 8 * GIB), Offer("pc2", Fit.FREE, 8 * GIB)]

    first = {ranked(f"model-{n}", alike)[0].node for n in range(20)}

    assert first == {"pc1", "pc2"}


@given(worlds())
def test_somebody_always_takes_a_job_in_the_end(world: list[Offer]) -> None:
    assert any(math.isfinite(wait_s) for wait_s in waits(world).values())


@given(worlds())
def test_where_one_can_place_it_one_takes_jobs_at_once(world: list[Offer]) -> None:
    able = [offer for offer in world if offer.fit is not Fit.NEVER]

    assert not able or min(waits(world).values()) == 0


@given(worlds(), st.integers(min_value=0, max_value=5))
def test_a_node_that_is_gone_makes_nobody_wait_longer(world: list[Offer], gone: int) -> None:
    lost = world[gone % len(world)]
    left = [offer for offer in world if offer is not lost]
    before, after = waits(world), waits(left)
    able = any(offer.fit is not Fit.NEVER for offer in left)

    assert all(after[name] <= before[name] or not able for name in after)


@given(worlds())
def test_all_nodes_agree_whatever_order_they_read_each_other_in(world: list[Offer]) -> None:
    assert ranked("m", world) == ranked("m", list(reversed(world)))
    assert waits(world) == waits(list(reversed(world)))
