"""When memory that nothing uses is given back, and when a worker is started anew."""

import itertools

import pytest

from danzar.core.upkeep import (
    UpkeepAction,
    UpkeepRules,
    WorkerCare,
    WorkerSeen,
    fragmentation,
    next_care,
)
from danzar.units import GIB, MIB

RULES = UpkeepRules()


def seen(reserved=2 * GIB, allocated=2 * GIB, **more):
    return WorkerSeen(reserved, allocated, **more)


def live(readings, *, step_s=60.0, rules=RULES, start_s=0.0):
    """The actions, by the time of each."""
    care, actions = WorkerCare(start_s, start_s), []
    for number, reading in enumerate(readings, start=1):
        care, action, why = next_care(care, reading, rules, start_s + number * step_s)
        if action is not None:
            assert why
            actions.append((start_s + number * step_s, action))
    return actions


@pytest.mark.parametrize(
    ("reserved", "allocated", "share"),
    [(1000, 700, 0.3), (1000, 1000, 0.0), (0, 0, None), (None, None, None), (1000, 1200, 0.0)],
)
def test_fragmentation_is_the_unused_share_of_what_torch_holds(reserved, allocated, share):
    assert fragmentation(reserved, allocated) == share


def test_a_worker_in_order_is_left_alone():
    assert live([seen(busy=True)] * 100) == []


def test_an_idle_worker_is_cleaned_up_each_five_minutes():
    assert [at for at, _ in live([seen()] * 20)] == [300, 600, 900, 1200]


def test_unused_memory_above_the_threshold_is_given_back():
    actions = live([seen(allocated=GIB, busy=True)])
    assert actions == [(60.0, UpkeepAction.EMPTY)]
    assert live([seen(allocated=round(1.5 * GIB), busy=True)]) == [], "a quarter is below 30 %"


def test_what_the_next_batch_needs_is_no_waste():
    assert live([seen(allocated=GIB, booked_bytes=GIB, busy=True)]) == []


def test_little_memory_is_not_worth_it():
    assert live([seen(reserved=100 * MIB, allocated=50 * MIB, busy=True)]) == []


def test_a_worker_is_started_anew_when_emptying_its_cache_did_not_help():
    actions = live([seen(allocated=GIB, busy=True)] * 5)
    told = [a for _, a in actions]
    assert told[:3] == [UpkeepAction.EMPTY, UpkeepAction.EMPTY, UpkeepAction.RECYCLE]
    assert UpkeepAction.RECYCLE not in told[3:]


def test_a_worker_whose_cache_could_be_emptied_is_not_started_anew():
    wasteful, fine = seen(allocated=GIB, busy=True), seen(busy=True)
    actions = live([wasteful, fine] * 10)
    assert {a for _, a in actions} == {UpkeepAction.EMPTY}


def test_a_worker_is_started_anew_ever_less_often():
    actions = live([seen(allocated=GIB, busy=True)] * (60 * 24))
    recycled = [at for at, action in actions if action is UpkeepAction.RECYCLE]
    gaps = [round((b - a) / 3600) for a, b in itertools.pairwise(recycled)]
    assert gaps[:3] == [1, 2, 4]
    assert len(recycled) <= 6


def test_stuck_memory_that_is_little_is_not_worth_a_new_process():
    stuck = seen(reserved=500 * MIB, allocated=300 * MIB, busy=True)
    assert UpkeepAction.RECYCLE not in {a for _, a in live([stuck] * 20)}


def test_a_filled_device_has_garbage_collected():
    filled = seen(allocated=round(1.8 * GIB), used_share=0.86, busy=True)
    assert live([filled])[0][1] is UpkeepAction.COLLECT
    assert live([seen(used_share=0.86, busy=True)]) == [], "there is nothing to give back"


def test_a_nearly_full_device_does_not_wait_for_the_interval():
    full = seen(allocated=round(1.8 * GIB), used_share=0.96, busy=True)
    actions = live([full] * 6, step_s=5.0, start_s=100.0)
    assert [a for _, a in actions] == [UpkeepAction.AGGRESSIVE] * 3, "each ten seconds"


def test_a_worker_without_torch_has_only_routine():
    assert [a for _, a in live([WorkerSeen(None, None)] * 5)] == [UpkeepAction.COLLECT]
