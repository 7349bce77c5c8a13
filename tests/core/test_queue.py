"""What waits for a model, who is refused, and which model is placed first."""

from dataclasses import replace

import pytest

from danzar.core.asker import NOBODY, Asker, RequestClass
from danzar.core.events import (
    JobEnded,
    JobSubmitted,
    LoadFinished,
    QueueMoved,
    Refusal,
    RefuseJob,
    SnapshotsTaken,
    StartJob,
    StartLoad,
    StartUnload,
    Tick,
    UnloadFinished,
)
from danzar.core.instance import Instance, InstanceState
from danzar.core.model import Job
from danzar.core.plan import PlanRules
from danzar.core.queue import JobQueue, QueueRules, default_bounds_s
from danzar.core.urgency import most_pressing, placement_key
from tests.core.worlds import gpu, make_scheduler, model

CHAT, VISION, _, WATCH, JOB = RequestClass
RULES = QueueRules()
UUID = "GPU-0"


def job(number, kind=CHAT, person="ann", at_s=0.0, **changes):
    return Job(number, "chat", at_s, asker=Asker(kind, person), **changes)


def full_queue(limit, *jobs, rules=RULES):
    made = JobQueue(limit, rules)
    for one in jobs:
        made.add(one)
    return made


def of(kind, effects):
    return [effect for effect in effects if isinstance(effect, kind)]


def ready(*models, slots=1, max_queue=4, **changes):
    """A scheduler whose first model is loaded on a card that has room for one."""
    models = models or (model(slots=slots),)
    scheduler = make_scheduler(*models, max_queue=max_queue, **changes)
    scheduler.handle(SnapshotsTaken((gpu(free_gib=12),)), 0.0)
    effects = scheduler.handle(JobSubmitted(Job(9000, models[0].name, 0.0)), 0.0)
    (load,) = of(StartLoad, effects)
    loaded = LoadFinished(load.model, load.load_id, (), (gpu(free_gib=8),))
    scheduler.handle(loaded, 0.0)
    return scheduler


def submit(scheduler, number, kind=CHAT, person="ann", now_s=1.0, to="chat"):
    asked = Job(number, to, now_s, asker=Asker(kind, person))
    return scheduler.handle(JobSubmitted(asked), now_s)


def test_a_job_whose_worker_was_lost_goes_before_all_others():
    queue = full_queue(9, job(1), job(2, person="bob"))
    queue.add(job(3, kind=JOB, person="cy", retried=True))

    assert [x.job_id for x in queue.ordered(1.0)] == [3, 1, 2]
    assert queue.pop(1.0).job_id == 3


def test_places_are_told_once_and_again_when_they_change():
    queue = full_queue(9, job(1), job(2))
    assert [(x.job_id, place) for x, place in queue.moved(1.0)] == [(1, 1), (2, 2)]
    assert queue.moved(2.0) == []

    queue.add(job(3, person="bob", at_s=0.5))
    assert [(x.job_id, place) for x, place in queue.moved(3.0)] == [(3, 2), (2, 3)]


def test_new_rules_change_the_order_of_what_waits():
    queue = full_queue(9, job(1, WATCH), job(2, CHAT, at_s=1.0))
    assert [x.job_id for x in queue.ordered(2.0)] == [2, 1]

    queue.rules = QueueRules(default_bounds_s() | {WATCH: 5.0})
    assert [x.job_id for x in queue.ordered(2.0)] == [1, 2]


def test_a_person_with_as_many_waiting_as_allowed_is_told_so_and_others_are_not_refused():
    scheduler = ready(max_queue=50)
    for number in range(1, 9):
        submit(scheduler, number)

    (refused,) = of(RefuseJob, submit(scheduler, 9))
    assert (refused.job_id, refused.kind) == (9, Refusal.QUEUE_FULL)
    assert "8 of your requests wait for chat already, and 8 may" in refused.reason
    assert of(RefuseJob, submit(scheduler, 10, person="bob")) == []


def test_those_without_an_identity_are_not_counted_as_one_person():
    scheduler = ready(max_queue=50)
    effects = [x for number in range(1, 20) for x in submit(scheduler, number, person=None)]

    assert of(RefuseJob, effects) == []


def test_in_a_full_queue_the_last_of_whoever_has_most_gives_way():
    scheduler = ready(max_queue=4)
    for number in range(1, 5):
        submit(scheduler, number)

    effects = submit(scheduler, 5, person="bob")
    (refused,) = of(RefuseJob, effects)
    assert refused.job_id == 4
    assert "4 of them yours: the last one gave way" in refused.reason
    assert QueueMoved(5, 2, None, 30.0) in effects


def test_in_a_queue_full_of_equals_the_new_one_is_refused():
    scheduler = ready(max_queue=2)
    submit(scheduler, 1)
    submit(scheduler, 2, person="bob")

    (refused,) = of(RefuseJob, submit(scheduler, 3, person="cy"))
    assert refused.job_id == 3


@pytest.mark.parametrize("slots", [1, 2, 4])
def test_as_many_start_as_there_are_slots(slots):
    scheduler = ready(slots=slots, max_queue=20)
    people = range(1, 9)
    effects = [x for number in people for x in submit(scheduler, number, person=str(number))]

    assert len(of(StartJob, effects)) == slots - 1
    assert len(scheduler.instances["chat"].in_flight) == slots


def test_more_slots_shorten_what_is_expected():
    expected = []
    for slots in (1, 4):
        scheduler = ready(slots=slots, max_queue=20)
        scheduler.instances["chat"].usage.job_s = 8.0
        moves = [of(QueueMoved, submit(scheduler, n, person=str(n))) for n in range(1, 9)]
        expected.append([x.expected_s for x in moves[-1] if x.job_id == 8])
    assert expected == [[64.0], [16.0]]


def test_what_is_expected_is_unknown_while_the_model_waits_for_others_to_leave():
    busy, wanted = model("busy", 7), model("chat", 7, allow_cpu=False)
    scheduler = ready(busy, wanted)
    scheduler.handle(SnapshotsTaken((gpu(free_gib=5),)), 0.5)
    scheduler.instances["chat"].usage.job_s = 8.0

    (moved,) = of(QueueMoved, submit(scheduler, 1))
    assert (moved.expected_s, moved.bound_s) == (None, 30.0)


# --- across models -------------------------------------------------------------------------------


def waiting_model(name, kind, at_s, loaded_s=0.0):
    instance = Instance(model(name), JobQueue(9))
    instance.queue.add(Job(1, name, at_s, asker=Asker(kind, "ann")))
    instance.loaded_s = loaded_s
    return instance


def first_placed(now_s, *instances, drain_after_s=10.0):
    def key(instance):
        wish = most_pressing(instance, RULES, now_s)
        return placement_key(instance, wish, drain_after_s, now_s)

    return min(instances, key=key).name


@pytest.mark.parametrize(
    ("now_s", "rows", "expected"),
    [
        pytest.param(2.0, [("a", WATCH, 0.0), ("b", CHAT, 1.0)], "b", id="the urgent class"),
        pytest.param(2.0, [("a", CHAT, 0.0), ("b", CHAT, 1.0)], "a", id="the older of equals"),
        pytest.param(70.0, [("a", WATCH, 0.0), ("b", CHAT, 65.0)], "a", id="the patient, aged"),
        pytest.param(
            50.0,
            [("a", CHAT, 10.0, 45.0), ("b", CHAT, 39.0, 5.0)],
            "b",
            id="whoever was loaded longest ago, once both may make others leave",
        ),
    ],
)
def test_which_model_is_placed_first(now_s, rows, expected):
    assert first_placed(now_s, *(waiting_model(*row) for row in rows)) == expected


def test_the_request_that_has_used_up_most_of_its_bound_speaks_for_its_model():
    instance = waiting_model("a", JOB, 0.0)
    instance.queue.add(Job(2, "a", 40.0, asker=NOBODY))

    assert most_pressing(instance, RULES, 41.0).asked_s == 0.0
    assert most_pressing(instance, RULES, 60.0).asked_s == 40.0


def contended(kind):
    """A busy model on a card, and another one that is asked for by this class at 1 s."""
    plan = PlanRules(policy="lru", patience_s=0.0, drain_after_s=10.0)
    busy, wanted = model("busy", 7, allow_cpu=False), model("chat", 7, allow_cpu=False)
    scheduler = ready(busy, wanted, plan=plan)
    scheduler.handle(SnapshotsTaken((gpu(free_gib=5),)), 0.5)
    submit(scheduler, 1, kind)
    return scheduler


@pytest.mark.parametrize(("kind", "leaves_s"), [(CHAT, 11.0), (VISION, 16.0), (WATCH, 31.0)])
def test_patient_classes_make_busy_models_leave_later(kind, leaves_s):
    scheduler = contended(kind)
    scheduler.handle(Tick(), leaves_s - 0.5)
    assert scheduler.instances["busy"].state is InstanceState.READY

    scheduler.handle(Tick(), leaves_s + 0.1)
    assert scheduler.instances["busy"].state is InstanceState.DRAINING


def test_a_model_that_was_just_loaded_serves_those_who_wait_for_it_before_it_leaves():
    scheduler = contended(CHAT)
    busy = scheduler.instances["busy"]
    scheduler.state.rules = replace(
        scheduler.state.rules, plan=replace(scheduler.state.rules.plan, min_residence_s=20.0)
    )
    busy.loaded_s = 8.0
    busy.queue.add(Job(7, "busy", 8.5, asker=Asker(CHAT, "bob")))

    scheduler.handle(Tick(), 12.0)
    assert busy.state is InstanceState.READY
    scheduler.handle(Tick(), 18.5)
    assert busy.state is InstanceState.DRAINING


def test_the_other_model_does_not_come_back_before_the_one_it_left_for():
    scheduler = contended(CHAT)
    submit(scheduler, 2, person="bob", now_s=9.0, to="busy")
    effects = scheduler.handle(Tick(), 11.5)
    assert of(StartUnload, effects) == []

    (unload,) = of(StartUnload, scheduler.handle(JobEnded(9000, "busy", True), 13.0))
    gone = UnloadFinished("busy", unload.load_id, (gpu(free_gib=12),))
    assert [x.model for x in of(StartLoad, scheduler.handle(gone, 13.5))] == ["chat"]
