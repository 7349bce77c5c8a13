"""Machines gone silent, long queues and estimates that drift become incidents, each once."""

from dataclasses import replace

from danzar.broker.news import LoadEnded, LoadOutcome, UnloadBegan
from danzar.broker.queue_view import QueueView, WaitingView
from danzar.config.alerts import AlertSettings
from danzar.core.asker import RequestClass
from danzar.core.incident import NONE_OPEN, Change, follow_incidents
from danzar.core.instance import InstanceState
from danzar.core.leaving import UnloadCause
from danzar.core.pressure import Level
from danzar.incidents.sources import DriftWatch, Peer, QueueWatch, observe_peers
from danzar.units import GIB

SETTINGS = AlertSettings(queue_waiting=8, queue_s=120.0, drift_ratio=0.25)


def changes_of(*checks):
    state, seen = NONE_OPEN, []
    for at_s, observations in enumerate(checks):
        state, changes = follow_incidents(state, observations, float(at_s))
        seen += [(c.change, c.incident.key) for c in changes]
    return seen


def test_a_silent_machine_is_told_once_and_closed_when_it_answers():
    alive, lost = Peer("attic", lost=False, silent_s=3.0), Peer("attic", lost=True, silent_s=45.0)
    checks = [observe_peers([p]) for p in (alive, lost, replace(lost, silent_s=99.0), alive)]
    assert changes_of(*checks) == [(Change.OPENED, "node:attic"), (Change.CLOSED, "node:attic")]
    assert "Machine attic went silent: no sign of life for 45 s" in checks[1][0].text
    assert checks[1][0].level is Level.CRITICAL


def test_a_machines_name_means_nothing_in_a_message():
    (seen,) = observe_peers([Peer("@everyone `x`", lost=True, silent_s=1.0)])
    assert "@everyone" not in seen.text


class Queue:
    def __init__(self):
        self.now_s, self.waiting = 0.0, 0
        self.watch = QueueWatch(self.views, SETTINGS, lambda: self.now_s)

    def views(self):
        waiting = tuple(
            WaitingView(n, RequestClass.CHAT, n, 1.0, None, 30.0) for n in range(self.waiting)
        )
        return (QueueView("chat", InstanceState.READY, 1, None, (), waiting),)

    def at(self, at_s, waiting):
        self.now_s, self.waiting = at_s, waiting
        return [(o.key, o.level) for o in self.watch.observe()]


def test_a_queue_is_long_when_too_many_wait_for_too_long():
    queue = Queue()
    assert queue.at(0, 9) == []
    assert queue.at(119, 20) == []
    assert queue.at(120, 9) == [("queue:chat", Level.WARNING)]
    assert queue.at(150, 8) == [("queue:chat", Level.NORMAL)]
    assert queue.at(160, 9) == []


def test_a_queue_that_was_long_for_a_moment_is_no_trouble():
    queue = Queue()
    assert [queue.at(0, 9), queue.at(60, 3), queue.at(130, 9), queue.at(200, 9)] == [
        [],
        [("queue:chat", Level.NORMAL)],
        [],
        [],
    ]


def load(booked_gib, measured_gib, outcome=LoadOutcome.LOADED):
    measured = None if measured_gib is None else round(measured_gib * GIB)
    return LoadEnded("chat", "GPU-1", outcome, 1.0, "", round(booked_gib * GIB), measured)


def test_an_estimate_that_is_off_is_told_with_both_figures_until_a_load_fits():
    drift = DriftWatch(SETTINGS)
    drift.hear(load(4.0, 6.0))
    (off,) = drift.observe()
    assert (off.key, off.level) == ("drift:chat", Level.WARNING)
    assert "chat took 6.0GB at its last load, but 4.0GB were booked" in off.text
    assert "off by 33%" in off.text
    drift.hear(load(5.9, 6.0))
    (fits,) = drift.observe()
    assert fits.level is Level.NORMAL


def test_loads_that_failed_or_were_not_measured_say_nothing():
    drift = DriftWatch(SETTINGS)
    drift.hear(load(4.0, None))
    drift.hear(UnloadBegan("chat", "GPU-1", UnloadCause.IDLE))
    drift.hear(load(4.0, 9.0, LoadOutcome.ERROR))
    assert drift.observe() == []


def test_the_limits_follow_the_settings():
    queue, drift = Queue(), DriftWatch(SETTINGS)
    queue.watch.settings = AlertSettings(queue_waiting=1, queue_s=0.0)
    assert queue.at(0, 2) == [("queue:chat", Level.WARNING)]
    drift.hear(load(4.0, 6.0))
    drift.settings = AlertSettings(drift_ratio=0.5)
    assert drift.observe()[0].level is Level.NORMAL
