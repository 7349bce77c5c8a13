"""Loading ahead on traces of people with habits: quicker answers, and nobody waits for it."""

from dataclasses import replace
from pathlib import Path
from random import Random
from statistics import median

import pytest

from danzar.core.events import Decided, StartLoad
from danzar.core.placement import plan_placement
from danzar.core.prediction_hints import HintKind
from danzar.simulate.files import parse_world
from danzar.simulate.makers import make_trace
from danzar.simulate.simulation import Simulation
from danzar.simulate.trace import Ask, Foreign, Hint, Turn, in_order
from danzar.units import GIB
from tests.simulate.worlds import described, random_trace, random_world

DAY_S, HOUR_S = 86_400.0, 3600.0
EVENINGS = Path(__file__).parents[2] / "config" / "examples" / "evenings.yaml"
RATES = {"load_rate": GIB, "load_s": 2.0, "cpu": False, "first_s": 0.5}
RULES = {"sample_interval_s": 600.0, "prediction": {"enabled": True}}
MODELS = {
    "chat": {"gib": 5, "purpose": "chat", **RATES},
    "yolo": {"gib": 1, "purpose": "vision", "worker": "torch", **RATES},
    "clip": {"gib": 2, "purpose": "vision", "worker": "torch", **RATES},
}


def server(cards=(12.0, 12.0), **models):
    return described(models or MODELS, cards, rules=RULES)


def every_evening(days, *, sign=None):
    """One question each day at eight, with a sign shortly before it where there is one."""
    lines = [Turn(DAY_S * day + 20 * HOUR_S, (("chat",),)) for day in range(days)]
    if sign is not None:
        lines += [Hint(line.at_s - 20, "chat", sign) for line in lines]
    return in_order(lines)


def run(world, trace, *, effects=None):
    simulation = Simulation(world, trace, None if effects is None else effects.append)
    simulation.run()
    return simulation


def test_a_question_that_comes_every_evening_finds_its_model_loaded():
    simulation = run(server(), every_evening(7))
    waits_s = [s for _, s in simulation.figures.first_s]
    assert waits_s[0] == pytest.approx(7.5)
    assert waits_s[-1] == 0.5
    none = run(server().with_prediction(enabled=False), every_evening(7))
    assert {s for _, s in none.figures.first_s} == {7.5}


def test_somebody_who_types_first_waits_less():
    simulation = run(server(), every_evening(1, sign=HintKind.UPLOAD))
    assert [s for _, s in simulation.figures.first_s] == [0.5]
    assert simulation.scheduler.state.prefetches.total().hits == 1


def test_a_sign_that_nobody_follows_is_a_load_in_vain_and_is_counted():
    trace = (Hint(10.0, "chat", HintKind.UPLOAD), Ask(20_000.0, "yolo", 1.0))
    counts = run(server(), trace).scheduler.state.prefetches.total()
    assert (counts.loads, counts.wasted, counts.wasted_bytes) == (1, 1, 5 * GIB)


def test_a_picture_question_has_its_stages_one_after_the_other():
    world = server().with_prediction(enabled=False)
    simulation = run(world, (Turn(0.0, (("clip", "yolo"), ("chat",))),))
    ((_, first_s),) = simulation.figures.first_s
    request_s = 2.0
    assert first_s == pytest.approx(4.0 + request_s + 7.0 + 0.5)


def test_the_chat_model_loads_while_the_picture_is_looked_at_once_that_was_learned():
    pictures = tuple(
        Turn(3 * HOUR_S * i + Random(i).uniform(0, HOUR_S), (("clip", "yolo"), ("chat",)))
        for i in range(8)
    )
    simulation = run(server(), pictures)
    waits_s = [s for _, s in simulation.figures.first_s]
    assert waits_s[-1] < waits_s[0] - 1.5
    assert simulation.ahead.delayed == []


def test_a_game_that_begins_gets_the_card_from_a_load_ahead_at_once():
    trace = (
        Hint(10.0, "chat", HintKind.VOICE),
        Hint(10.0, "chat", HintKind.UPLOAD),
        Foreign(60.0, "cuda:0", 4 * GIB),
        Ask(2000.0, "yolo", 1.0),
    )
    simulation = run(server((12.0,)), trace)
    assert simulation.figures.unloads >= 1
    assert simulation.scheduler.state.prefetches.of("chat").wasted == 1


@pytest.mark.parametrize(("maker", "seed"), [("friends", 7), ("guild", 7)])
def test_on_a_server_of_people_nobody_waits_for_a_load_ahead(maker, seed):
    names = {
        **MODELS,
        "coder": {"gib": 2, "purpose": "code", **RATES},
        "voice": {"gib": 1.2, "purpose": "speech", **RATES},
        "draw": {"gib": 3.4, "purpose": "pictures", **RATES},
    }
    world = server(**names)
    trace = make_trace(f"{maker}:{seed}:20", world)
    effects = []
    simulation = run(world, trace, effects=effects)
    counts = simulation.scheduler.state.prefetches.total()
    assert counts.loads > 0
    assert simulation.ahead.delayed == []
    assert simulation.ahead.shared == []
    assert simulation.figures.over_commits == []
    decided = [e for e in effects if isinstance(e, Decided) and e.inputs.demand.foreseen]
    assert len(decided) == counts.loads
    assert all(plan_placement(e.inputs) == e.plan for e in decided)
    assert len([e for e in effects if isinstance(e, StartLoad)]) >= counts.loads


@pytest.mark.parametrize("seed", range(20))
def test_in_a_crowded_world_signs_right_and_wrong_harm_nothing(seed):
    random = Random(seed)
    world = random_world(random)
    rules = replace(world.rules, prediction=server().rules.prediction)
    world = replace(world, rules=rules)
    asked = random_trace(random, world, 40)
    names = sorted(world.models)
    signs = [
        Hint(
            max(0.0, line.at_s - random.uniform(1, 30)),
            line.model if random.random() < 0.6 else random.choice(names),
            random.choice(tuple(HintKind)),
        )
        for line in asked
        if isinstance(line, Ask)
    ]
    simulation = Simulation(world, in_order((*asked, *signs)))
    report = simulation.run()
    assert report.unanswered == 0
    assert simulation.figures.over_commits == []
    assert simulation.ahead.shared == []
    # Whoever asks for a model in the very moment in which it makes room waits until it has left.
    assert len(simulation.ahead.delayed) <= 1


def test_on_a_small_server_the_median_wait_is_less_than_half_and_few_loads_are_in_vain():
    learned_s, days = 10 * DAY_S, 24
    world = replace(parse_world(EVENINGS.read_bytes(), EVENINGS.name), sample_interval_s=300.0)
    made = make_trace(f"friends:105:{days * 15}", world)
    trace = tuple(line for line in made if line.at_s < days * DAY_S)
    none = run(world.with_prediction(enabled=False), trace)
    ahead = run(world, trace)
    medians = [
        median(s for at_s, s in simulation.figures.first_s if at_s > learned_s)
        for simulation in (none, ahead)
    ]
    counts = ahead.scheduler.state.prefetches.total()
    assert medians[1] < medians[0] / 2
    assert counts.wasted_share < 0.2
    assert (ahead.ahead.delayed, ahead.ahead.shared) == ([], [])
