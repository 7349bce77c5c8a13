"""Days on which one class asks ten times as often as the others, by the production scheduler."""

from collections import Counter
from pathlib import Path

import msgspec
import pytest

from danzar.commands.described import read_trace, read_world
from danzar.core.asker import Asker, RequestClass
from danzar.simulate.class_waits import class_waits
from danzar.simulate.crowds import DAY_S, FLOODER, RATIO
from danzar.simulate.simulation import Simulation
from danzar.simulate.trace import Ask, in_order

WORLD = read_world(Path("config/examples/contended.yaml"))
CHAT, VISION, _, WATCH, JOB = RequestClass


def run(text):
    simulation = Simulation(WORLD, read_trace(text, WORLD))
    return simulation.run(), simulation.figures


def asks(text):
    return [line for line in read_trace(text, WORLD) if isinstance(line, Ask)]


@pytest.mark.parametrize(("maker", "busy"), [("tenfold", CHAT), ("tenframes", WATCH)])
def test_a_made_up_day_has_one_class_ten_times_as_often_as_the_others(maker, busy):
    counts = Counter(line.request_class for line in asks(f"{maker}:1:2200"))

    assert counts[busy] == RATIO * (counts.total() - counts[busy])
    assert set(counts) == {CHAT, VISION, WATCH, JOB}
    assert max(line.at_s for line in asks(f"{maker}:1:2200")) < DAY_S + 60
    assert sum(line.person == FLOODER for line in asks(f"{maker}:1:2200")) == 90


def test_the_rare_classes_wait_less_than_their_bounds_on_a_full_day_and_nobody_starves():
    """12,000 requests in 86,400 simulated seconds: 10,909 of chat, and 1,091 of the others."""
    report, figures = run("tenfold:7:12000")

    assert report.unanswered == report.failed == 0
    for kind in (VISION, WATCH, JOB):
        assert report.classes[kind].p99_s <= report.classes[kind].bound_s
        assert report.classes[kind].refused == 0
    assert report.classes[CHAT].p99_s <= report.classes[CHAT].bound_s
    people = {line.person for line in asks("tenfold:7:12000")}
    assert {asker.person for asker in figures.waits_by} == people
    assert max(max(waits) for waits in figures.waits_by.values()) < 300


def test_frames_of_watches_do_not_keep_people_waiting_and_go_on_themselves():
    report, figures = run("tenframes:7:3000")

    for kind in (CHAT, VISION, JOB):
        assert report.classes[kind].p99_s <= report.classes[kind].bound_s
    assert report.unanswered == 0
    flooder = figures.waits_by[Asker(WATCH, FLOODER)]
    assert len(flooder) + figures.refused_by[Asker(WATCH, FLOODER)] == 90


def test_who_floods_one_queue_does_not_delay_another_person():
    """Thirty questions at once; another person's, a second later, waits for those under way."""
    flood = [Ask(100.0, "chat-7b", 6.0, CHAT, "ann") for _ in range(30)]
    other = Ask(101.0, "chat-7b", 6.0, CHAT, "bob")
    simulation = Simulation(WORLD, in_order([Ask(1.0, "chat-7b", 1.0), *flood, other]))
    report = simulation.run()

    assert report.refused == 30 - 4 - WORLD.rules.queue.max_per_person
    assert simulation.figures.waits_by[Asker(CHAT, "bob")] == [5.0]


def test_figures_of_a_class_count_its_people_and_who_was_late():
    ann, bob = Asker(CHAT, "ann"), Asker(CHAT, "bob")
    waits = class_waits({ann: [1.0, 3.0], bob: [40.0]}, {bob: 2}, WORLD.rules.queue.bounds_s)

    assert msgspec.to_builtins(waits) == {
        "chat": {
            "requests": 3,
            "refused": 2,
            "p50_s": 3.0,
            "p99_s": 40.0,
            "max_s": 40.0,
            "bound_s": 30.0,
            "late": 1,
            "worst_person_s": 40.0,
        }
    }
