"""The scheduler in a hostile world, found by hypothesis and by a thousand seeded storms."""

import os
import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from tests.core.hostile import CARDS, MODELS, NAMES, World

SEEDS = int(os.environ.get("DANZAR_HOSTILE_SEEDS", "60"))
LOADS = 200


class HostileMachine(RuleBasedStateMachine):
    """Every job must still come to an end, and no card is ever overfull."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    @rule(name=st.sampled_from(NAMES))
    def submit(self, name: str) -> None:
        self.world.submit(name)

    @precondition(lambda self: self.world.running)
    @rule(data=st.data(), outcome=st.sampled_from(["ok", "failed", "oom"]))
    def finish(self, data, outcome: str) -> None:
        self.world.finish(data.draw(st.sampled_from(sorted(self.world.running))), outcome)

    @precondition(lambda self: self.world.waiting)
    @rule(data=st.data())
    def cancel(self, data) -> None:
        self.world.cancel(data.draw(st.sampled_from(sorted(self.world.waiting))))

    @precondition(lambda self: self.world.loading)
    @rule(
        data=st.data(),
        outcome=st.sampled_from(["ok", "ok", "oom", "error"]),
        factor=st.floats(0.8, 1.3),
    )
    def finish_load(self, data, outcome: str, factor: float) -> None:
        load_id = data.draw(st.sampled_from(sorted(self.world.loading)))
        self.world.finish_load(load_id, outcome, factor)

    @precondition(lambda self: self.world.unloading)
    @rule(data=st.data(), lost=st.sampled_from([0.0, 0.0, 0.5]))
    def finish_unload(self, data, lost: float) -> None:
        self.world.finish_unload(data.draw(st.sampled_from(sorted(self.world.unloading))), lost)

    @rule(worker=st.sampled_from("xyzef"), device=st.sampled_from([*CARDS, "cpu"]))
    def lose_worker(self, worker: str, device: str) -> None:
        self.world.lose_worker(worker, device)

    @rule(what=st.sampled_from(["load", "unload", "pin", "unpin"]), name=st.sampled_from(NAMES))
    def ask(self, what: str, name: str) -> None:
        self.world.ask(what, name)

    @rule(gib=st.integers(0, 8))
    def reserve(self, gib: int) -> None:
        self.world.reserve(gib)

    @rule(card=st.sampled_from(CARDS), gib=st.integers(0, 12))
    def play(self, card: str, gib: int) -> None:
        self.world.play(card, gib)

    @rule()
    def recover(self) -> None:
        self.world.recover()

    @rule(seconds=st.integers(1, 100))
    def wait(self, seconds: int) -> None:
        self.world.wait(seconds)

    def teardown(self) -> None:
        self.world.calm_down()


TestHostileMachine = HostileMachine.TestCase
TestHostileMachine.settings = settings(max_examples=150, stateful_step_count=60)


def storm(seed: int) -> World:
    """``LOADS`` requests, as many at once as there are, while everything goes wrong at random."""
    rng = random.Random(seed)
    world = World(rng.choice(["cost", "lru", "largest", "priority"]))
    happenings = [
        (35, lambda: world.submit(rng.choice(NAMES))),
        (15, lambda: _pick(rng, world.running, _finish(world, rng))),
        (15, lambda: _pick(rng, world.loading, _finish_load(world, rng))),
        (10, lambda: _pick(rng, world.unloading, _finish_unload(world, rng))),
        (10, lambda: world.play(rng.choice(CARDS), rng.uniform(0, 12))),
        (8, lambda: world.wait(rng.expovariate(0.2))),
        (2, lambda: world.lose_worker(rng.choice(MODELS).worker, rng.choice([*CARDS, "cpu"]))),
        (2, lambda: world.ask(rng.choice(["load", "unload", "pin", "unpin"]), rng.choice(NAMES))),
        (1, lambda: _pick(rng, world.waiting, world.cancel)),
        (2, world.recover),
    ]
    weights, actions = zip(*happenings, strict=True)
    while world.job_ids < LOADS:
        rng.choices(actions, weights)[0]()
    return world


def _pick(rng, among, act) -> None:
    if among:
        act(rng.choice(sorted(among)))


def _finish(world, rng):
    return lambda n: world.finish(n, rng.choices(["ok", "failed", "oom"], (8, 1, 1))[0])


def _finish_load(world, rng):
    outcome = rng.choices(["ok", "oom", "error"], (8, 1, 1))[0]
    return lambda n: world.finish_load(n, outcome, rng.uniform(0.8, 1.3))


def _finish_unload(world, rng):
    return lambda n: world.finish_unload(n, rng.choice([0, 0, 0, 0.5]))


@pytest.mark.parametrize("seed", range(SEEDS))
def test_in_a_storm_no_card_is_overfull_no_request_is_lost_and_none_waits_for_ever(seed):
    world = storm(seed)
    world.calm_down()
    assert set(world.ended) == set(range(1, world.job_ids + 1))
