"""Traces that can be followed by hand, and hostile ones that must come to an end."""

import os
from dataclasses import replace
from random import Random

import msgspec
import pytest

from danzar.core.events import StartJob, StartUnload
from danzar.simulate.makers import MAKERS, make_trace
from danzar.simulate.simulation import Simulation
from danzar.simulate.trace import Ask, Foreign, Lose, RunOut
from danzar.units import GIB
from tests.simulate.worlds import described, random_trace, random_world

HOSTILE_SEEDS = int(os.environ.get("DANZAR_HOSTILE_SEEDS", "16"))
RATES = {"load_rate": GIB, "load_s": 1.0, "cpu": False}


def run(world, *lines, effects=None):
    simulation = Simulation(world, lines, None if effects is None else effects.append)
    return simulation.run()


def test_two_models_that_take_turns_on_one_card_are_loaded_again_each_time():
    world = described({"a": {"gib": 8, **RATES}, "b": {"gib": 6, **RATES}})
    report = run(world, *(Ask(100.0 * i, "ab"[i % 2], 1.0) for i in range(6)))
    assert (report.loads, report.reloads, report.evictions) == (6, 4, 5)
    assert report.load_s == pytest.approx(3 * 9 + 3 * 7)
    assert report.reload_s == pytest.approx(2 * 9 + 2 * 7)
    assert (report.answered, report.futile_evictions, report.over_commits) == (6, 0, 0)


def test_waits_are_from_asking_to_starting():
    world = described({"a": {"gib": 8, **RATES}})
    report = run(world, Ask(0.0, "a", 2.0), Ask(50.0, "a", 2.0))
    chat = report.waits["chat"]
    assert (chat.requests, chat.p50_s, chat.max_s) == (2, 0.0, pytest.approx(9.0))


def test_what_fits_nowhere_is_refused_at_once():
    world = described({"huge": {"gib": 40, "cpu": False}})
    report = run(world, Ask(1.0, "huge"))
    assert (report.refused, report.answered, report.unanswered) == (1, 0, 0)


def test_on_the_cpu_a_request_takes_longer_and_says_why():
    world = described({"a": {"gib": 14, "cpu_slowdown": 5.0, "load_s": 0.0}})
    effects = []
    report = run(world, Ask(0.0, "a", 2.0), effects=effects)
    start = next(e for e in effects if isinstance(e, StartJob))
    assert report.degraded == 1
    assert "runs on the CPU" in start.degraded
    assert report.virtual_s == pytest.approx(14.0 + 5 * 2.0)


def test_a_worker_that_dies_loses_no_request():
    world = described({"a": {"gib": 4, **RATES}})
    report = run(world, Ask(0.0, "a", 20.0), Lose(10.0, "a"))
    assert (report.answered, report.failed, report.loads) == (1, 0, 2)


def test_a_request_that_ran_out_is_answered_one_rung_lower_and_says_so():
    smaller = {"rung": "context", "size": 5 * GIB, "loss": "with half the context"}
    world = described({"a": {"gib": 8, "variants": [smaller], **RATES}})
    effects = []
    report = run(world, RunOut(0.0, "a"), Ask(0.0, "a", 2.0), effects=effects)
    last = [e for e in effects if isinstance(e, StartJob)][-1]
    assert (report.answered, report.failed) == (1, 0)
    assert "with half the context" in last.degraded


def test_a_game_gets_its_memory_and_the_model_comes_back():
    rules = {"move_interval_s": 60.0}
    world = described({"a": {"gib": 8, **RATES}}, rules=rules)
    game = (Foreign(100.0, "cuda:0", 11 * GIB), Foreign(200.0, "cuda:0", 0))
    report = run(world, Ask(0.0, "a", 1.0), *game, Ask(300.0, "a", 1.0))
    assert report.unloads == 1
    assert report.waits["chat"].p50_s == 0.0
    assert report.over_commits == 0


def test_other_programs_never_get_more_than_the_card_has():
    world = described({"a": {"gib": 8, **RATES}})
    simulation = Simulation(world, (Ask(0.0, "a", 1.0), Foreign(20.0, "cuda:0", 12 * GIB)))
    simulation.advance(21.0)
    assert simulation.machine.free_bytes(world.device("cuda:0").uuid) >= 0


@pytest.mark.parametrize("maker", sorted(MAKERS))
def test_the_same_seed_gives_the_same_trace_and_the_same_report(maker):
    world = random_world(Random(5), cards=2)
    trace = make_trace(f"{maker}:3:120", world)
    assert trace == make_trace(f"{maker}:3:120", world)
    assert trace != make_trace(f"{maker}:4:120", world)
    # Some traces are of weeks: cards are looked at about a thousand times in each.
    world = replace(world, sample_interval_s=max(1.0, trace[-1].at_s / 1000))
    first, second = (Simulation(world, trace).run() for _ in range(2))
    assert msgspec.structs.replace(first, wall_s=0.0) == msgspec.structs.replace(second, wall_s=0.0)
    assert first.requests >= 120


@pytest.mark.parametrize("seed", range(HOSTILE_SEEDS))
def test_in_a_hostile_world_nothing_is_over_committed_and_every_request_ends(seed):
    world = random_world(Random(seed))
    trace = make_trace(f"hostile:{seed}:80", world)
    simulation = Simulation(world, trace)
    report = simulation.run()
    assert report.unanswered == 0
    assert simulation.figures.over_commits == []


def test_models_that_take_more_than_they_said_do_not_over_commit():
    models = {
        "a": {"gib": 6, "measured": 7 * GIB, **RATES},
        "b": {"gib": 5, "measured": 6 * GIB, **RATES},
    }
    world = described(models)
    report = Simulation(world, random_trace(Random(2), replace(world), 40)).run()
    assert (report.over_commits, report.unanswered) == (0, 0)


def test_a_model_answers_the_request_that_it_was_loaded_for_before_it_leaves_for_another():
    world = described({"a": {"gib": 8, **RATES}, "b": {"gib": 8, **RATES}})
    effects = []
    report = run(world, Ask(0.0, "a", 5.0), Ask(1.0, "b", 5.0), effects=effects)
    ours = [e for e in effects if isinstance(e, StartJob | StartUnload)]
    assert [type(e) for e in ours] == [StartJob, StartUnload, StartJob]
    assert (report.loads, report.evictions, report.answered) == (2, 1, 2)
