from danzar.core.events import (
    JobEnded,
    JobSubmitted,
    LoadFailed,
    LoadFinished,
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
from danzar.core.scheduler import Scheduler
from danzar.units import GIB
from tests.core.worlds import book, gpu, host, make_scheduler, model, reserve

TWO_CARDS = (gpu(0), gpu(1), host())


def ready(scheduler: Scheduler, name: str = "chat", now_s: float = 0.0) -> None:
    """Bring a model to READY through the same events as in life."""
    scheduler.handle(SnapshotsTaken(TWO_CARDS), now_s)
    load = next(
        e for e in scheduler.handle(PreloadRequested(name), now_s) if isinstance(e, StartLoad)
    )
    scheduler.handle(LoadFinished(name, load.lease_id, None, TWO_CARDS), now_s)


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
    effects = scheduler.handle(LoadFinished("chat", load.lease_id, None, TWO_CARDS), 1)
    assert [e.job.job_id for e in of(StartJob, effects)] == [1]


def test_one_load_serves_every_job_that_waited():
    scheduler = make_scheduler(model(slots=3))
    scheduler.handle(SnapshotsTaken(TWO_CARDS), 0)
    loads = [load for n in (1, 2, 3) for load in of(StartLoad, submit(scheduler, n))]
    assert len(loads) == 1
    effects = scheduler.handle(LoadFinished("chat", loads[0].lease_id, None, TWO_CARDS), 1)
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
    assert of(QueueMoved, submit(scheduler, 3)) == [QueueMoved(3, 2)]
    effects = scheduler.handle(JobEnded(1, "chat", succeeded=True), 1)
    assert of(QueueMoved, effects) == [QueueMoved(3, 1)]


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
        scheduler.handle(LoadFinished(name, load.lease_id, 5 * GIB, left), n)
        scheduler.handle(JobEnded(n, name, succeeded=True), n)
    effects = submit(scheduler, 3, "c", 5)
    assert [e.model for e in of(StartUnload, effects)] == ["a"]
    assert of(StartUnload, scheduler.handle(Tick(), 6)) == []
    unload = of(StartUnload, effects)[0]
    gone = UnloadFinished("a", unload.lease_id, (gpu(0, 7),))
    assert [e.model for e in of(StartLoad, scheduler.handle(gone, 7))] == ["c"]


def test_a_request_waits_for_a_busy_model_instead_of_being_refused():
    a, b = (model(n, 8, allow_cpu=False) for n in "ab")
    scheduler = make_scheduler(a, b)
    scheduler.handle(SnapshotsTaken((gpu(0, 12),)), 0)
    load = of(StartLoad, submit(scheduler, 1, "a"))[0]
    scheduler.handle(LoadFinished("a", load.lease_id, 8 * GIB, (gpu(0, 4),)), 1)
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
    lease_id = load[0].lease_id if load else scheduler.instances["chat"].lease_id
    effects = scheduler.handle(LoadFinished("chat", lease_id, None, TWO_CARDS), 2)
    assert [e.job.job_id for e in of(StartJob, effects)] == [3]


def test_a_model_that_cannot_start_is_refused_with_the_reason_until_its_backoff_is_over():
    scheduler = make_scheduler(model())
    scheduler.handle(SnapshotsTaken(TWO_CARDS), 0)
    load = of(StartLoad, submit(scheduler, 1))[0]
    failed = LoadFailed("chat", load.lease_id, "no such file", False, TWO_CARDS)
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
    failed = LoadFailed("chat", load.lease_id, "out of memory", True, TWO_CARDS)
    again = of(StartLoad, scheduler.handle(failed, 1))[0]
    assert (load.device_uuid, again.device_uuid) == ("GPU-0", "GPU-1")


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
    scheduler.handle(LoadFinished("a", load.lease_id, None, (gpu(0, 4),)), 1)
    assert scheduler.handle(PreloadRequested("b"), 2) == []
