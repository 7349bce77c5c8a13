from danzar.core.events import (
    Decided,
    JobEnded,
    JobSubmitted,
    LoadFailed,
    LoadFailure,
    LoadFinished,
    LoadRequested,
    PreloadRequested,
    QueueMoved,
    Refusal,
    RefuseJob,
    SnapshotsTaken,
    StartJob,
    StartLoad,
    StartUnload,
    Tick,
    UnloadFinished,
    UnloadRequested,
    WorkerLost,
)
from danzar.core.instance import TRANSITIONS, InstanceState, can_become
from danzar.core.model import Job
from danzar.core.placement import plan_placement
from danzar.core.plan import PlanRules
from danzar.core.scheduler import Scheduler
from danzar.units import GIB
from tests.core.worlds import book, gpu, host, leased_bytes, make_scheduler, model, reserve

TWO_CARDS = (gpu(0), gpu(1), host())


def ready(scheduler: Scheduler, name: str = "chat", now_s: float = 0.0) -> None:
    """Bring a model to READY through the same events as in life."""
    scheduler.handle(SnapshotsTaken(TWO_CARDS), now_s)
    load = next(
        e for e in scheduler.handle(PreloadRequested(name), now_s) if isinstance(e, StartLoad)
    )
    scheduler.handle(LoadFinished(name, load.load_id, (), TWO_CARDS), now_s)


def submit(scheduler: Scheduler, job_id: int, name: str = "chat", now_s: float = 0.0, **changes):
    return scheduler.handle(JobSubmitted(Job(job_id, name, now_s, **changes)), now_s)


def of(kind, effects):
    return [e for e in effects if isinstance(e, kind)]


def test_the_table_of_states_is_exactly_what_is_allowed():
    for current in InstanceState:
        for wanted in InstanceState:
            assert can_become(current, wanted) == (wanted in TRANSITIONS[current])


def test_a_request_loads_its_model_and_then_runs():
    scheduler = make_scheduler(model())
    scheduler.handle(SnapshotsTaken(TWO_CARDS), 0)
    load = of(StartLoad, submit(scheduler, 1))[0]
    assert (load.model, load.device_uuid) == ("chat", "GPU-0")
    effects = scheduler.handle(LoadFinished("chat", load.load_id, (), TWO_CARDS), 1)
    assert [e.job.job_id for e in of(StartJob, effects)] == [1]


def test_one_load_serves_every_job_that_waited():
    scheduler = make_scheduler(model(slots=3))
    scheduler.handle(SnapshotsTaken(TWO_CARDS), 0)
    loads = [load for n in (1, 2, 3) for load in of(StartLoad, submit(scheduler, n))]
    assert len(loads) == 1
    effects = scheduler.handle(LoadFinished("chat", loads[0].load_id, (), TWO_CARDS), 1)
    assert [e.job.job_id for e in of(StartJob, effects)] == [1, 2, 3]


def test_a_request_waits_until_the_devices_are_known():
    scheduler = make_scheduler(model())
    assert of(StartLoad, submit(scheduler, 1)) == []
    assert of(StartLoad, scheduler.handle(SnapshotsTaken(TWO_CARDS), 1))


def test_waiting_requests_are_told_their_place_and_when_it_changes():
    scheduler = make_scheduler(model())
    ready(scheduler)
    submit(scheduler, 1)
    submit(scheduler, 2)
    assert of(QueueMoved, submit(scheduler, 3)) == [QueueMoved(3, 2, bound_s=30.0)]
    effects = scheduler.handle(JobEnded(1, "chat", succeeded=True, seconds=8.0), 1)
    assert of(QueueMoved, effects) == [QueueMoved(3, 1, expected_s=8.0, bound_s=30.0)]


def test_who_is_first_waits_for_the_model_and_who_is_not_for_those_before_it():
    scheduler = make_scheduler(model())
    scheduler.handle(SnapshotsTaken(TWO_CARDS), 0)
    moved = [x for n in (1, 2) for x in of(QueueMoved, submit(scheduler, n))]
    assert [(x.position, x.loading) for x in moved] == [(1, True), (2, False)]


def test_a_full_queue_refuses_with_the_number():
    scheduler = make_scheduler(model(), max_queue=1)
    ready(scheduler)
    submit(scheduler, 1)
    submit(scheduler, 2)
    refusal = of(RefuseJob, submit(scheduler, 3))[0]
    assert refusal.kind is Refusal.QUEUE_FULL
    assert "1 requests" in refusal.reason


def test_an_unknown_model_is_refused_with_the_known_names():
    refusal = of(RefuseJob, submit(make_scheduler(model()), 1, "nope"))[0]
    assert refusal.kind is Refusal.UNKNOWN_MODEL
    assert "chat" in refusal.reason


def test_what_cannot_fit_even_when_all_is_idle_is_refused_at_once():
    scheduler = make_scheduler(model(cuda_gib=40))
    scheduler.handle(SnapshotsTaken(TWO_CARDS), 0)
    refusal = of(RefuseJob, submit(scheduler, 1))[0]
    assert refusal.kind is Refusal.CANNOT_PLACE
    assert "40.0GB" in refusal.reason


def test_the_idle_model_goes_when_another_needs_its_room_and_nothing_more_goes():
    a, b, c = (model(n, 5, preferred=("cuda:0",), allow_cpu=False) for n in "abc")
    scheduler = make_scheduler(a, b, c)
    scheduler.handle(SnapshotsTaken((gpu(0, 12),)), 0)
    for n, name in enumerate("ab", start=1):
        load = of(StartLoad, submit(scheduler, n, name, n))[0]
        left = (gpu(0, 12 - 5 * n),)
        scheduler.handle(LoadFinished(name, load.load_id, (("GPU-0", 5 * GIB),), left), n)
        scheduler.handle(JobEnded(n, name, succeeded=True), n)
    effects = submit(scheduler, 3, "c", 5)
    assert [e.model for e in of(StartUnload, effects)] == ["a"]
    assert of(StartUnload, scheduler.handle(Tick(), 6)) == []
    unload = of(StartUnload, effects)[0]
    gone = UnloadFinished("a", unload.load_id, (gpu(0, 7),))
    assert [e.model for e in of(StartLoad, scheduler.handle(gone, 7))] == ["c"]


def test_a_request_waits_for_a_busy_model_instead_of_being_refused():
    a, b = (model(n, 8, allow_cpu=False) for n in "ab")
    scheduler = make_scheduler(a, b)
    scheduler.handle(SnapshotsTaken((gpu(0, 12),)), 0)
    load = of(StartLoad, submit(scheduler, 1, "a"))[0]
    scheduler.handle(LoadFinished("a", load.load_id, (("GPU-0", 8 * GIB),), (gpu(0, 4),)), 1)
    effects = submit(scheduler, 2, "b", 2)
    assert of(RefuseJob, effects) == []
    assert of(StartUnload, effects) == []
    effects = scheduler.handle(JobEnded(1, "a", succeeded=True), 3)
    assert [e.model for e in of(StartUnload, effects)] == ["a"]


def test_an_idle_model_is_unloaded_after_its_time_but_not_a_pinned_one():
    scheduler = make_scheduler(model("a"), model("b", pinned=True), keep_alive_s=60)
    ready(scheduler, "a")
    ready(scheduler, "b")
    assert of(StartUnload, scheduler.handle(Tick(), 59)) == []
    assert [e.model for e in of(StartUnload, scheduler.handle(Tick(), 60))] == ["a"]


def test_a_busy_model_is_drained_before_it_is_unloaded():
    scheduler = make_scheduler(model())
    ready(scheduler)
    submit(scheduler, 1)
    assert of(StartUnload, scheduler.handle(UnloadRequested("chat"), 1)) == []
    effects = scheduler.handle(JobEnded(1, "chat", succeeded=True), 2)
    assert [e.model for e in of(StartUnload, effects)] == ["chat"]


def test_after_a_lost_worker_no_lease_is_left_and_the_next_request_loads_again():
    scheduler = make_scheduler(model())
    ready(scheduler)
    submit(scheduler, 1)
    scheduler.handle(WorkerLost("chat", "GPU-0", "killed"), 1)
    assert scheduler.ledger.leases() == ()
    assert [e.model for e in of(StartLoad, submit(scheduler, 2, now_s=2))] == ["chat"]


def test_a_retried_request_goes_to_the_front():
    scheduler = make_scheduler(model())
    ready(scheduler)
    submit(scheduler, 1)
    submit(scheduler, 2)
    scheduler.handle(WorkerLost("chat", "GPU-0", "killed"), 1)
    load = of(StartLoad, submit(scheduler, 3, now_s=1, retried=True))
    load_id = load[0].load_id if load else scheduler.instances["chat"].load_id
    effects = scheduler.handle(LoadFinished("chat", load_id, (), TWO_CARDS), 2)
    assert [e.job.job_id for e in of(StartJob, effects)] == [3]


def test_a_model_that_cannot_start_is_refused_with_the_reason_until_its_backoff_is_over():
    scheduler = make_scheduler(model())
    scheduler.handle(SnapshotsTaken(TWO_CARDS), 0)
    load = of(StartLoad, submit(scheduler, 1))[0]
    failed = LoadFailed("chat", load.load_id, "no such file", LoadFailure.ERROR, TWO_CARDS)
    refusal = of(RefuseJob, scheduler.handle(failed, 1))[0]
    assert refusal.job_id == 1
    assert "no such file" in refusal.reason
    assert scheduler.ledger.leases() == ()
    assert of(RefuseJob, submit(scheduler, 2, now_s=1.5))
    assert of(StartLoad, submit(scheduler, 3, now_s=10))


def test_a_device_that_ran_out_is_left_out_and_the_next_one_is_tried():
    scheduler = make_scheduler(model())
    scheduler.handle(SnapshotsTaken(TWO_CARDS), 0)
    load = of(StartLoad, submit(scheduler, 1))[0]
    failed = LoadFailed("chat", load.load_id, "out of memory", LoadFailure.OUT_OF_MEMORY, TWO_CARDS)
    again = of(StartLoad, scheduler.handle(failed, 1))[0]
    assert (load.device_uuid, again.device_uuid) == ("GPU-0", "GPU-1")


def test_a_load_onto_a_card_that_has_filled_up_is_planned_again():
    scheduler = make_scheduler(model())
    scheduler.handle(SnapshotsTaken(TWO_CARDS), 0)
    load = of(StartLoad, submit(scheduler, 1))[0]
    full = (gpu(0, 1), gpu(1), host())
    failed = LoadFailed("chat", load.load_id, "too full", LoadFailure.TOO_FULL, full)
    again = of(StartLoad, scheduler.handle(failed, 1))[0]
    assert again.device_uuid == "GPU-1"
    assert leased_bytes(scheduler.ledger.leases(), "GPU-0") == 0


def test_a_load_that_finds_its_card_full_again_and_again_is_not_tried_without_pause():
    scheduler = make_scheduler(model(preferred=(), allow_cpu=False))
    cards = (gpu(0),)
    scheduler.handle(SnapshotsTaken(cards), 0)
    load = of(StartLoad, submit(scheduler, 1))[0]
    for _ in range(2):
        failed = LoadFailed("chat", load.load_id, "too full", LoadFailure.TOO_FULL, cards)
        again = of(StartLoad, scheduler.handle(failed, 1))
        load = again[0] if again else load
    assert again == []
    assert of(StartLoad, scheduler.handle(Tick(), 3))


def test_a_request_that_ran_out_restarts_its_model_alone_one_rung_lower():
    scheduler = make_scheduler(model("chat", 6, 3), model("other", 2, preferred=("cuda:1",)))
    ready(scheduler, "other")
    ready(scheduler, "chat")
    submit(scheduler, 1)
    ended = JobEnded(1, "chat", succeeded=False, out_of_memory=True)
    unload = of(StartUnload, scheduler.handle(ended, 1))
    assert [e.model for e in unload] == ["chat"]
    submit(scheduler, 2, now_s=2, retried=True)
    cards = (gpu(0, 7), gpu(1, 2), host())
    load = of(StartLoad, scheduler.handle(UnloadFinished("chat", unload[0].load_id, cards), 3))[0]
    assert (load.device_uuid, load.placed.size_bytes) == ("GPU-0", 3 * GIB)
    assert "ran out" in (load.placed.degraded or "")
    assert scheduler.instances["other"].state is InstanceState.READY


def test_a_load_that_takes_more_than_booked_from_others_is_undone_and_done_smaller():
    ledger = book(reserve("GPU-0", 6, "vision"))
    scheduler = make_scheduler(model("chat", 6, 3, allow_cpu=False), ledger=ledger)
    scheduler.handle(SnapshotsTaken((gpu(0, 12),)), 0)
    load = of(StartLoad, submit(scheduler, 1))[0]
    too_large = (("GPU-0", 8 * GIB),)
    effects = scheduler.handle(LoadFinished("chat", load.load_id, too_large, (gpu(0, 4),)), 1)
    unload = of(StartUnload, effects)[0]
    assert "were booked" in unload.reason
    effects = scheduler.handle(UnloadFinished("chat", unload.load_id, (gpu(0, 12),)), 2)
    assert of(StartLoad, effects)[0].placed.size_bytes == 3 * GIB


def test_bytes_that_do_not_come_back_are_quarantined_until_they_do():
    scheduler = make_scheduler(model("chat", 6))
    ready(scheduler)
    unload = of(StartUnload, scheduler.handle(UnloadRequested("chat"), 1))[0]
    gone = UnloadFinished("chat", unload.load_id, (gpu(0, 9), gpu(1)), (("GPU-0", 3 * GIB),))
    scheduler.handle(gone, 2)
    assert leased_bytes(scheduler.ledger.leases(), "GPU-0") == 3 * GIB
    scheduler.handle(SnapshotsTaken((gpu(0, 9), gpu(1))), 3)
    assert leased_bytes(scheduler.ledger.leases(), "GPU-0") == 3 * GIB
    scheduler.handle(SnapshotsTaken((gpu(0, 12), gpu(1))), 4)
    assert scheduler.ledger.leases() == ()


def test_a_smaller_model_answers_where_the_wanted_one_fits_nowhere():
    large = model("large", 40, allow_cpu=False, fallback="small")
    scheduler = make_scheduler(large, model("small", 2))
    scheduler.handle(SnapshotsTaken((gpu(0, 12),)), 0)
    load = of(StartLoad, submit(scheduler, 1, "large"))[0]
    assert load.model == "small"
    done = LoadFinished("small", load.load_id, (), (gpu(0, 10),))
    job = of(StartJob, scheduler.handle(done, 1))[0]
    assert job.job.model == "small"
    assert "small answers instead of large" in (job.degraded or "")
    assert "40.0GB" in (job.degraded or "")


def test_a_redirected_request_can_still_be_cancelled():
    large = model("large", 40, allow_cpu=False, fallback="small")
    scheduler = make_scheduler(large, model("small", 2))
    scheduler.handle(SnapshotsTaken((gpu(0, 12),)), 0)
    submit(scheduler, 1, "large")
    scheduler.handle(JobEnded(1, "large", succeeded=False), 1)
    assert len(scheduler.instances["small"].queue) == 0


def test_a_busy_model_finishes_and_leaves_for_a_request_that_waited_long():
    a, b = (model(n, 8, allow_cpu=False) for n in "ab")
    scheduler = make_scheduler(a, b, plan=PlanRules(policy="lru", drain_after_s=10))
    scheduler.handle(SnapshotsTaken((gpu(0, 12),)), 0)
    load = of(StartLoad, submit(scheduler, 1, "a"))[0]
    scheduler.handle(LoadFinished("a", load.load_id, (("GPU-0", 8 * GIB),), (gpu(0, 4),)), 1)
    submit(scheduler, 2, "b", 2)
    submit(scheduler, 3, "a", 3)
    scheduler.handle(Tick(), 13)
    assert scheduler.instances["a"].state is InstanceState.DRAINING
    effects = scheduler.handle(JobEnded(1, "a", succeeded=True), 14)
    assert [e.model for e in of(StartUnload, effects)] == ["a"]
    assert of(StartJob, effects) == []


def test_room_that_an_older_request_waits_for_is_left_alone_by_younger_ones():
    models = [model("a", 8, allow_cpu=False), model("b", 8, allow_cpu=False), model("c", 4)]
    scheduler = make_scheduler(*models)
    scheduler.handle(SnapshotsTaken((gpu(0, 12), host())), 0)
    load = of(StartLoad, submit(scheduler, 1, "a"))[0]
    left = (gpu(0, 4), host())
    scheduler.handle(LoadFinished("a", load.load_id, (("GPU-0", 8 * GIB),), left), 1)
    scheduler.handle(JobEnded(1, "a", succeeded=True), 1)
    assert [e.model for e in of(StartUnload, submit(scheduler, 2, "b", 2))] == ["a"]
    younger = of(StartLoad, submit(scheduler, 3, "c", 3))
    assert [e.device_uuid for e in younger] in ([], ["cpu"])


def test_loading_on_request_evicts_idle_models():
    scheduler = make_scheduler(model("a", 8), model("b", 8))
    scheduler.handle(SnapshotsTaken((gpu(0, 12),)), 0)
    load = of(StartLoad, scheduler.handle(PreloadRequested("a"), 0))[0]
    scheduler.handle(LoadFinished("a", load.load_id, (), (gpu(0, 4),)), 1)
    unload = of(StartUnload, scheduler.handle(LoadRequested("b"), 2))[0]
    effects = scheduler.handle(UnloadFinished("a", unload.load_id, (gpu(0, 12),)), 3)
    assert [e.model for e in of(StartLoad, effects)] == ["b"]


def test_the_less_powerful_card_is_freed_of_idle_models_first():
    cards = (gpu(0, 24, 24.0), gpu(1, 12, 12.0))
    scheduler = make_scheduler(model("a", 4), model("b", 4, preferred=("cuda:1",)), keep_alive_s=9)
    scheduler.handle(SnapshotsTaken(cards), 0)
    for name in "ab":
        load = of(StartLoad, scheduler.handle(PreloadRequested(name), 0))[0]
        scheduler.handle(LoadFinished(name, load.load_id, (), cards), 0)
    assert [e.model for e in of(StartUnload, scheduler.handle(Tick(), 20))] == ["b", "a"]


def test_a_plan_is_recorded_when_it_is_new_and_gives_the_same_again():
    scheduler = make_scheduler(model())
    scheduler.handle(SnapshotsTaken(TWO_CARDS), 0)
    decided = of(Decided, submit(scheduler, 1))
    assert len(decided) == 1
    assert plan_placement(decided[0].inputs) == decided[0].plan
    assert scheduler.instances["chat"].last_plan == (decided[0].inputs, decided[0].plan)


def test_vision_keeps_out_of_the_chat_models_reservation():
    ledger = book(reserve("GPU-0", 8), vision_gib=2)
    yolo = model("yolo", 1.5, purpose="vision", preferred=("cuda:1",))
    scheduler = make_scheduler(yolo, ledger=ledger)
    scheduler.handle(SnapshotsTaken((gpu(0, 9), gpu(1, 0.5), host())), 0)
    load = of(StartLoad, submit(scheduler, 1, "yolo"))[0]
    assert load.device_uuid == "cpu"


def test_a_preload_evicts_nothing():
    scheduler = make_scheduler(model("a", 8), model("b", 8))
    scheduler.handle(SnapshotsTaken((gpu(0, 12),)), 0)
    load = of(StartLoad, scheduler.handle(PreloadRequested("a"), 0))[0]
    scheduler.handle(LoadFinished("a", load.load_id, (), (gpu(0, 4),)), 1)
    effects = scheduler.handle(PreloadRequested("b"), 2)
    assert of(StartLoad, effects) == of(StartUnload, effects) == []
