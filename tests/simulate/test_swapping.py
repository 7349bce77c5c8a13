"""An hour of mixed load on one 8 GB card that can't hold all its models, by the real scheduler."""

from collections import Counter
from pathlib import Path

import pytest

from benchmarks.swapping import UNBOOKED, compare, run, unbooked
from danzar.commands.described import read_trace, read_world
from danzar.core.asker import RequestClass
from danzar.core.events import Decided, RefuseJob
from danzar.simulate.machine import Machine
from danzar.simulate.mixed import HOUR_S
from danzar.simulate.simulation import Simulation
from danzar.simulate.trace import Ask, in_order
from danzar.units import GIB
from tests.simulate.worlds import described

EXAMPLES = Path("config/examples")
WORLD = read_world(EXAMPLES / "eight-gig.yaml")
REQUESTS = 400


def asks(text):
    return [line for line in read_trace(text, WORLD) if isinstance(line, Ask)]


def test_the_mix_has_every_class_and_every_model_within_an_hour():
    lines = asks(f"mixed:3:{REQUESTS}")
    assert len(lines) == REQUESTS
    assert {line.request_class for line in lines} == set(RequestClass)
    assert {line.model for line in lines} == set(WORLD.models)
    assert 0 <= min(line.at_s for line in lines) < max(line.at_s for line in lines) <= HOUR_S
    assert lines == asks(f"mixed:3:{REQUESTS}")
    assert lines != asks(f"mixed:4:{REQUESTS}")


def test_the_models_do_not_fit_together():
    card = WORLD.device("cuda:0")
    free = card.total_bytes - card.foreign_bytes - WORLD.margins.cuda_bytes
    sizes = {name: m.facts.cuda_bytes + m.facts.context_bytes for name, m in WORLD.models.items()}
    assert all(size < free for size in sizes.values())
    assert sizes["sdxl-turbo"] + min(sizes.values()) > free
    assert sizes["chat-7b"] + sizes["clip-vit-l"] + WORLD.models["yolo11s"].facts.cuda_bytes > free


@pytest.mark.parametrize("policy", ["cost", "lru"])
@pytest.mark.parametrize(("world", "requests"), [("eight-gig", 600), ("eight-gig-small", 900)])
def test_nothing_runs_out_is_refused_or_forgotten_and_rare_classes_keep_their_bounds(
    world, requests, policy
):
    row = run(read_world(EXAMPLES / f"{world}.yaml").with_policy(policy), [f"mixed:102:{requests}"])
    lost = ("out_of_memory", "over_commits", "failed_loads", "unanswered", "failed", "refused")
    assert {key: row[key] for key in lost} == dict.fromkeys(lost, 0)
    assert row["answered"] == requests
    assert row["evictions"] > 50
    for kind in ("vision", "watch", "job"):
        assert row["classes"][kind]["p99_s"] <= row["classes"][kind]["bound_s"], kind
    assert max(wait["max_s"] for wait in row["classes"].values()) < 300


def test_activations_that_nobody_booked_run_out():
    """The counter-test: with the same load, the simulated card does run out where it is due."""
    row = run(unbooked(WORLD), [f"mixed:102:{REQUESTS}"])
    assert row["out_of_memory"] > 0


def test_both_policies_and_the_counter_test_are_compared_on_the_same_hours():
    rows = compare("eight-gig", [1], ["lru", "cost"])
    assert list(rows) == ["lru", "cost", UNBOOKED]
    assert rows["lru"]["requests"] == rows["cost"]["requests"] == 600
    assert rows["cost"]["loaded_gib"] > 8


def test_loads_in_flight_are_not_taken_for_another_program():
    """A desktop on the card, and two loads at once: what is booked hides it for a moment.

    Its return was taken for a program that grew, room was kept for it, and models refused.
    """
    kept, refused = [], Counter()

    def hear(effect):
        if isinstance(effect, Decided):
            kept.extend(x for x in effect.inputs.book.leases if x.purpose == "other programs")
        elif isinstance(effect, RefuseJob):
            refused[effect.kind] += 1

    for seed in (101, 104):
        Simulation(WORLD, read_trace(f"mixed:{seed}:600", WORLD), hear).run()
    assert kept == []
    assert refused == {}


# --- what a request takes beside its lease -------------------------------------------------------


def test_a_request_takes_what_nobody_booked_and_gives_it_back():
    world = described({"a": {"gib": 6, "unbooked": GIB, "cpu": False}}, cards_gib=(8.0,))
    simulation = Simulation(world, in_order([Ask(1.0, "a", 5.0)]))
    free = lambda: simulation.machine.free_bytes("GPU-described-0")  # noqa: E731
    simulation.advance(9.0)
    assert free() == 1 * GIB
    simulation.advance(20.0)
    assert free() == 2 * GIB
    assert simulation.figures.answered == 1


def test_a_request_that_finds_no_room_runs_out_and_is_counted():
    world = described({"a": {"gib": 7.5, "unbooked": GIB, "cpu": False}}, cards_gib=(8.0,))
    report = Simulation(world, in_order([Ask(1.0, "a", 5.0)])).run()
    assert (report.out_of_memory, report.answered) == (1, 0)
    assert report.refused + report.failed == 1


def test_what_a_request_took_is_gone_with_its_load():
    machine = Machine(described({"a": {"gib": 1}}).devices)
    machine.hold(1, [("GPU-described-0", GIB)])
    assert machine.compute(1, "GPU-described-0", GIB)
    machine.release(1)
    machine.computed(1, "GPU-described-0", GIB)
    assert machine.free_bytes("GPU-described-0") == 12 * GIB
    assert not machine.compute(2, "GPU-described-0", 13 * GIB)
