"""Where users of other schedulers hurt, one test each: what happens there must not happen here.

The cases come from the issue trackers and sources of model servers that share cards between models.
Estimates, verified release, orphans and the event loop have theirs beside their own parts.
"""

from dataclasses import replace

from danzar.core.events import (
    JobEnded,
    JobSubmitted,
    LoadFailed,
    LoadFailure,
    LoadFinished,
    PreloadRequested,
    RefuseJob,
    SnapshotsTaken,
    StartJob,
    StartLoad,
    StartUnload,
    Tick,
    UnloadFinished,
    UnloadRequested,
)
from danzar.core.instance import InstanceState
from danzar.core.model import Job
from danzar.core.plan import PlanRules
from danzar.core.scheduler import Scheduler
from danzar.core.variant import LayerShape
from danzar.units import GIB
from tests.core.worlds import book, gpu, host, make_scheduler, model, reserve, whole


def of(kind, effects):
    return [e for e in effects if isinstance(e, kind)]


def submit(scheduler: Scheduler, job_id: int, name: str, now_s: float):
    return scheduler.handle(JobSubmitted(Job(job_id, name, now_s)), now_s)


def load(scheduler: Scheduler, name: str, cards, now_s: float = 0.0) -> StartLoad:
    """Load a model; ``cards`` are as they are after it."""
    effect = of(StartLoad, scheduler.handle(PreloadRequested(name), now_s))[0]
    measured = tuple((s.device_uuid, s.size_bytes) for s in effect.placed.shares)
    scheduler.handle(LoadFinished(name, effect.load_id, measured, cards), now_s)
    return effect


def test_memory_of_other_programs_counts_at_every_decision():
    scheduler = make_scheduler(model("a", 6))
    scheduler.handle(SnapshotsTaken((gpu(0, 3), gpu(1, 12), host())), 0)
    assert of(StartLoad, submit(scheduler, 1, "a", 0))[0].device_uuid == "GPU-1"


def test_a_ten_gigabyte_model_fits_an_empty_twelve_gigabyte_card():
    scheduler = make_scheduler(model("a", 10))
    scheduler.handle(SnapshotsTaken((gpu(0), gpu(1), host())), 0)
    placed = of(StartLoad, submit(scheduler, 1, "a", 0))[0].placed
    assert [s.device_uuid for s in placed.shares] == ["GPU-0"]


def test_what_is_kept_free_is_really_kept_free():
    ledger = book(reserve("GPU-0", 3, "games"))
    scheduler = make_scheduler(model("a", 10), ledger=ledger)
    scheduler.handle(SnapshotsTaken((gpu(0), gpu(1), host())), 0)
    assert of(StartLoad, submit(scheduler, 1, "a", 0))[0].device_uuid == "GPU-1"


def test_a_model_that_is_too_large_for_everything_evicts_nothing():
    scheduler = make_scheduler(model("small", 4), model("huge", 90, allow_cpu=False))
    scheduler.handle(SnapshotsTaken((gpu(0), host())), 0)
    load(scheduler, "small", (gpu(0, 8), host()))
    effects = submit(scheduler, 1, "huge", 1)
    assert of(StartUnload, effects) == []
    assert "90.0GB" in of(RefuseJob, effects)[0].reason


def test_only_the_card_that_needs_room_is_freed():
    a, b = model("a", 8, preferred=("cuda:0",)), model("b", 4, preferred=("cuda:1",))
    scheduler = make_scheduler(a, b, model("c", 10, allow_cpu=False))
    scheduler.handle(SnapshotsTaken((gpu(0), gpu(1))), 0)
    load(scheduler, "a", (gpu(0, 4), gpu(1, 12)))
    load(scheduler, "b", (gpu(0, 4), gpu(1, 8)), 1)
    scheduler.handle(SnapshotsTaken((gpu(0, 4), gpu(1, 8))), 2)
    assert len(of(StartUnload, submit(scheduler, 1, "c", 3))) == 1


def test_while_a_victim_leaves_no_further_victim_is_chosen():
    models = [model(n, 4, allow_cpu=False) for n in "abc"]
    scheduler = make_scheduler(*models, model("d", 4, allow_cpu=False))
    scheduler.handle(SnapshotsTaken((gpu(0),)), 0)
    for n, name in enumerate("abc", start=1):
        load(scheduler, name, (gpu(0, 12 - 4 * n),), n)
    first = of(StartUnload, submit(scheduler, 1, "d", 5))
    later = [e for t in range(6, 60) for e in scheduler.handle(Tick(), t)]
    assert len(first) == 1
    assert of(StartUnload, later) == []


def test_a_request_for_a_model_that_is_leaving_is_answered_after_it_left():
    scheduler = make_scheduler(model("a", 4))
    scheduler.handle(SnapshotsTaken((gpu(0), host())), 0)
    load(scheduler, "a", (gpu(0, 8), host()))
    unload = of(StartUnload, scheduler.handle(UnloadRequested("a"), 1))[0]
    assert of(RefuseJob, submit(scheduler, 1, "a", 2)) == []
    effects = scheduler.handle(UnloadFinished("a", unload.load_id, (gpu(0), host())), 3)
    again = of(StartLoad, effects)[0]
    done = LoadFinished("a", again.load_id, (), (gpu(0, 8), host()))
    assert [e.job.job_id for e in of(StartJob, scheduler.handle(done, 4))] == [1]


def test_a_load_starts_only_when_the_driver_shows_the_old_memory_back():
    a, b = (model(n, 8, allow_cpu=False) for n in "ab")
    scheduler = make_scheduler(a, b)
    scheduler.handle(SnapshotsTaken((gpu(0),)), 0)
    load(scheduler, "a", (gpu(0, 4),))
    unload = of(StartUnload, submit(scheduler, 1, "b", 1))[0]
    still_full = UnloadFinished("a", unload.load_id, (gpu(0, 4),), (("GPU-0", 8 * GIB),))
    assert of(StartLoad, scheduler.handle(still_full, 2)) == []


def test_requests_for_loaded_models_do_not_wait_behind_a_load():
    scheduler = make_scheduler(model("a", 4), model("slow", 4))
    scheduler.handle(SnapshotsTaken((gpu(0), host())), 0)
    load(scheduler, "a", (gpu(0, 8), host()))
    submit(scheduler, 1, "slow", 1)
    assert [e.job.job_id for e in of(StartJob, submit(scheduler, 2, "a", 2))] == [2]


def test_a_load_that_fails_blocks_nobody_else():
    scheduler = make_scheduler(model("broken", 4), model("a", 4))
    scheduler.handle(SnapshotsTaken((gpu(0), host())), 0)
    effect = of(StartLoad, submit(scheduler, 1, "broken", 0))[0]
    cards = (gpu(0), host())
    failed = LoadFailed("broken", effect.load_id, "no such file", LoadFailure.ERROR, cards)
    assert [e.job_id for e in of(RefuseJob, scheduler.handle(failed, 1))] == [1]
    assert of(StartLoad, submit(scheduler, 2, "a", 2))


def test_after_running_out_the_same_claim_is_not_made_again():
    scheduler = make_scheduler(model("a", 10, 5, allow_cpu=False))
    scheduler.handle(SnapshotsTaken((gpu(0),)), 0)
    effect = of(StartLoad, submit(scheduler, 1, "a", 0))[0]
    failed = LoadFailed("a", effect.load_id, "oom", LoadFailure.OUT_OF_MEMORY, (gpu(0),))
    again = of(StartLoad, scheduler.handle(failed, 1))[0]
    assert again.placed.size_bytes == 5 * GIB


def test_steady_traffic_on_one_model_does_not_starve_another():
    a, b = (model(n, 8, allow_cpu=False) for n in "ab")
    rules = PlanRules(policy="cost", drain_after_s=10)
    scheduler = make_scheduler(a, b, plan=rules, max_queue=100)
    scheduler.handle(SnapshotsTaken((gpu(0),)), 0)
    load(scheduler, "a", (gpu(0, 4),))
    submit(scheduler, 1, "a", 0)
    submit(scheduler, 2, "b", 0)
    for second in range(1, 30):
        submit(scheduler, 100 + second, "a", second)
        running = sorted(scheduler.instances["a"].in_flight)
        effects = scheduler.handle(JobEnded(running[0], "a", succeeded=True), second)
        if of(StartUnload, effects):
            break
    assert second <= 11


def test_a_model_whose_askers_left_is_not_unloaded_at_once():
    scheduler = make_scheduler(model("a", 4), keep_alive_s=300)
    scheduler.handle(SnapshotsTaken((gpu(0), host())), 0)
    effect = of(StartLoad, submit(scheduler, 1, "a", 0))[0]
    scheduler.handle(JobEnded(1, "a", succeeded=False), 100)
    scheduler.handle(LoadFinished("a", effect.load_id, (), (gpu(0, 8), host())), 400)
    assert of(StartUnload, scheduler.handle(Tick(), 401)) == []


def test_a_signal_of_an_earlier_unload_does_not_touch_the_model_that_is_there_now():
    scheduler = make_scheduler(model("a", 4))
    cards = (gpu(0), host())
    scheduler.handle(SnapshotsTaken(cards), 0)
    load(scheduler, "a", cards)
    old = of(StartUnload, scheduler.handle(UnloadRequested("a"), 1))[0]
    scheduler.handle(UnloadFinished("a", old.load_id, cards), 2)
    load(scheduler, "a", cards, 3)
    scheduler.handle(UnloadFinished("a", old.load_id, cards), 4)
    assert scheduler.instances["a"].state is InstanceState.READY
    assert len(scheduler.ledger.leases()) == 1


def test_what_a_load_really_took_replaces_what_was_claimed():
    scheduler = make_scheduler(model("a", 4))
    scheduler.handle(SnapshotsTaken((gpu(0), host())), 0)
    effect = of(StartLoad, submit(scheduler, 1, "a", 0))[0]
    taken = (("GPU-0", 3 * GIB),)
    scheduler.handle(LoadFinished("a", effect.load_id, taken, (gpu(0, 9), host())), 1)
    assert scheduler.ledger.leases_on("GPU-0")[0].size_bytes == 3 * GIB


def test_the_cpu_is_never_used_silently():
    scheduler = make_scheduler(model("a", 10))
    scheduler.handle(SnapshotsTaken((gpu(0, 2), host())), 0)
    effect = of(StartLoad, submit(scheduler, 1, "a", 0))[0]
    job = of(
        StartJob,
        scheduler.handle(LoadFinished("a", effect.load_id, (), (gpu(0, 2), host())), 1),
    )[0]
    assert "runs on the CPU: 10.0GB are needed, cuda:0 has room for 2.0GB" in (job.degraded or "")


def test_host_ram_is_a_device_with_a_budget_too():
    large = replace(whole(20), layers=LayerShape(40, GIB // 2, 0))
    scheduler = make_scheduler(model("a", 20, variants=(large,)))
    scheduler.handle(SnapshotsTaken((gpu(0, 8), host(4))), 0)
    refused = of(RefuseJob, submit(scheduler, 1, "a", 0))
    assert "host RAM" in refused[0].reason


def test_favourites_survive_and_a_card_full_of_them_says_so():
    scheduler = make_scheduler(model("a", 10, pinned=True), model("b", 8, allow_cpu=False))
    scheduler.handle(SnapshotsTaken((gpu(0),)), 0)
    load(scheduler, "a", (gpu(0, 2),))
    effects = submit(scheduler, 1, "b", 1)
    assert of(StartUnload, effects) == []
    assert "These are pinned: a (10.0GB)" in of(RefuseJob, effects)[0].reason
