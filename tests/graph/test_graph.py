from dataclasses import replace

from danzar.broker.decision import DecisionKind, make_decision
from danzar.core.device import ProcessUse
from danzar.graph import (
    DAY_S,
    DAY_STEP_S,
    MOST_CARDS,
    STEP_S,
    Levels,
    UseHistory,
    chart_request,
)
from danzar.units import GIB
from tests.gpu_memory.cards import cpu, gpu, memories

LEVELS = Levels(75.0, 85.0)


class World:
    """Cards that a test changes, and a clock that it moves."""

    def __init__(self, *snapshots):
        self.now_s = 1000.0
        self.show(*snapshots)
        self.history = UseHistory(lambda: self.devices, keep_s=60.0, clock_s=lambda: self.now_s)

    def show(self, *snapshots):
        self.devices = memories(*snapshots, own_pids=(5,))

    def pass_s(self, seconds):
        self.now_s += seconds
        self.history.note()

    def request(self, *decisions, span_s=60.0):
        return chart_request(self.history, self.devices, decisions, LEVELS, span_s)


def own(gib_held, index=0, free_gib=6.0):
    process = ProcessUse(5, "worker", round(gib_held * GIB))
    return gpu(index, free_gib, processes=(process,))


def test_a_cards_past_is_what_was_in_use_and_what_of_it_was_danzars():
    world = World(own(2.0, free_gib=10.0))
    world.pass_s(0)
    world.show(own(3.0, free_gib=4.0))
    world.pass_s(STEP_S)
    (card,) = world.request().cards
    assert card.used_bytes[:2] == (2 * GIB, 8 * GIB)
    assert card.own_bytes[:2] == (2 * GIB, 3 * GIB)
    assert card.at_s[-1] == world.now_s


def test_of_readings_within_one_step_the_fullest_is_kept():
    world = World(gpu(0, 10.0))
    world.pass_s(0)
    world.show(gpu(0, 2.0))
    world.pass_s(STEP_S / 4)
    world.show(gpu(0, 10.0))
    world.pass_s(STEP_S / 4)
    assert max(world.request().cards[0].used_bytes) == 10 * GIB


def test_it_does_not_grow_without_bound_and_forgets_what_is_older():
    world = World(gpu(0, 6.0))
    for _ in range(500):
        world.pass_s(STEP_S)
    points = world.history.points("GPU-0", 0.0)
    assert len(points) == 30
    assert world.now_s - points[0].at_s <= 60


def test_a_silent_driver_leaves_a_gap():
    world = World(gpu(0, 6.0))
    world.pass_s(0)
    world.pass_s(30)
    assert None in world.request().cards[0].used_bytes


def test_steps_are_marked_on_the_card_where_they_happened():
    world = World(gpu(0, 6.0), gpu(1, 6.0), cpu())
    load = make_decision(990.0, DecisionKind.LOAD, "yolo", "room", "cuda:1")
    failed = make_decision(991.0, DecisionKind.FAILED, "yolo", "broken", None)
    first, second = world.request(load, failed).cards
    assert first.marks == ()
    assert [(m.kind, m.text, m.at_s) for m in second.marks] == [("load", "yolo", 990.0)]


def test_of_many_cards_the_fullest_are_shown_in_order_and_it_says_so():
    cards = [gpu(n, 11.0) for n in range(9)]
    cards[7] = gpu(7, 1.0)
    world = World(*cards)
    request = world.request()
    assert len(request.cards) == MOST_CARDS
    assert request.note == "the 6 fullest of 9 cards"
    assert "cuda:7" in request.cards[-1].title
    assert (request.warning_pct, request.critical_pct) == (75.0, 85.0)


def test_simulated_cards_say_so():
    world = World(replace(gpu(0, 6.0), simulated=True))
    assert world.request().cards[0].simulated


def test_a_whole_day_is_remembered_in_coarse_steps_with_their_fullest_moments():
    world = World(gpu(0, 10.0))
    assert world.history.known_s == 0.0
    for step in range(3 * 1440):
        world.show(gpu(0, 1.0 if step == 3000 else 10.0))
        world.pass_s(DAY_STEP_S / 2)
    assert world.history.known_s == DAY_S - DAY_STEP_S / 2
    (card,) = world.request(span_s=DAY_S).cards
    assert len(card.at_s) <= 1441
    assert None not in card.used_bytes
    assert max(card.used_bytes) == 11 * GIB
    assert world.now_s - card.at_s[0] > DAY_S - 2 * DAY_STEP_S
