"""Jobs from the front end's side; each test with the queue of one process and with Redis."""

import asyncio
from contextlib import aclosing

import pytest

from danzar.core.asker import Asker, RequestClass
from danzar.errors import (
    BadInput,
    CannotPlace,
    ModelMissing,
    ModelRefused,
    WorkerDied,
)
from danzar.jobs.contract import (
    JobMissing,
    JobNotCompleted,
    JobOutput,
    JobQueueFull,
    JobRequest,
    JobState,
    PartCame,
    QueueUnavailable,
    StateCame,
)
from danzar.jobs.open_jobs import open_jobs
from danzar.workers.contract import Capture, Generated, GenerateImages, StepDone, TextDelta
from tests.jobs.helpers import PIXEL, EchoInference, ended, until, wish


async def test_a_job_is_run_and_its_result_kept(jobs, echo):
    view = await jobs.submit(wish("one two", owner="me"))
    assert view.state in {JobState.QUEUED, JobState.RUNNING}
    view = await ended(jobs, view.job_id)
    assert (view.state, view.node, view.device) == (
        JobState.COMPLETED,
        "here",
        "cuda:0 (simulated)",
    )
    assert view.attempt == 1
    output = await jobs.output(view.job_id)
    assert output == JobOutput("one two ", Generated("stop", 1, 2))
    assert echo.askers == [Asker(RequestClass.JOB, person="me")]


async def test_who_follows_late_sees_the_whole_answer(jobs, echo):
    echo.gate = asyncio.Event()
    view = await jobs.submit(wish("one two three"))
    await until(lambda: bool(echo.begun))
    events = []
    async for event in jobs.follow(view.job_id):
        events.append(event)
        echo.gate.set()
    text = "".join(e.part.text for e in events if isinstance(e, PartCame))
    assert text == "one two three "
    states = [e.view.state for e in events if isinstance(e, StateCame)]
    assert states[-1] is JobState.COMPLETED
    assert states.count(JobState.COMPLETED) == 1


async def test_a_job_that_ends_on_a_full_disk_is_told_as_soon_as_there_is_room(jobs, echo):
    words = "word " * 2000
    echo.gate = asyncio.Event()
    view = await jobs.submit(wish(words))
    following = asyncio.create_task(end_heard(jobs, view.job_id))
    await until(lambda: bool(echo.begun))
    await set_most_pages(jobs, 1)
    echo.gate.set()
    await until(lambda: echo.now == 0)
    with pytest.raises(QueueUnavailable, match="the disk is full; make room on it"):
        await jobs.submit(wish(words))
    assert not (await jobs.view(view.job_id)).state.ended
    assert [seen.job_id for seen in await jobs.recent()] == [view.job_id]
    assert not following.done()
    await set_most_pages(jobs, 1_000_000)
    assert (await following).state is JobState.COMPLETED
    assert (await jobs.output(view.job_id)).text.split() == words.split()


async def end_heard(jobs, job_id):
    """How a job ends, as one hears who follows it."""
    async with aclosing(jobs.follow(job_id)) as events:
        async for event in events:
            if isinstance(event, StateCame) and event.view.state.ended:
                return event.view
    raise AssertionError("it ended, and nobody was told")


async def set_most_pages(jobs, count):
    """Let SQLite find no room for more than so many pages, as on a full disk."""
    await jobs._store._commits.write((f"PRAGMA max_page_count = {count}", ()))


async def test_nothing_is_lost_where_a_job_ends_in_a_moment_of_silence(jobs, echo, monkeypatch):
    """Who follows looks at the job after some silence; its last parts may come just then."""
    told = jobs._board.events

    async def late(job_id):
        async with aclosing(told(job_id)) as events:
            async for event in events:
                if isinstance(event, PartCame):
                    while not (await jobs.view(job_id)).state.ended:
                        await asyncio.sleep(0.005)
                    yield None
                yield event

    monkeypatch.setattr(jobs._board, "events", late)
    echo.gate = asyncio.Event()
    view = await jobs.submit(wish("one two"))
    await until(lambda: bool(echo.begun))
    parts = []
    async for event in jobs.follow(view.job_id):
        echo.gate.set()
        if isinstance(event, PartCame):
            parts.append(event.part.text)
    assert "".join(parts) == "one two "
    assert event.view.state is JobState.COMPLETED


async def test_steps_tell_the_progress(jobs, echo):
    echo.gate = asyncio.Event()
    work = GenerateImages("a cat", steps=3, seed=7)
    view = await jobs.submit(JobRequest(model="echo", work=work))
    steps = []
    async for event in jobs.follow(view.job_id):
        if isinstance(event, PartCame):
            steps.append(event.part)
            echo.gate.set()
    assert steps[-1] == StepDone(3, 3)
    output = await jobs.output(view.job_id)
    assert output.result.pictures == (PIXEL,)
    assert output.result.seed == 7


async def test_urgent_jobs_go_first_and_old_ones_are_not_passed_for_ever(jobs, echo, config):
    echo.gates = {"first": asyncio.Event(), "second": asyncio.Event()}
    first = await jobs.submit(wish("first"))
    await until(lambda: echo.begun == ["first"])
    second = await jobs.submit(wish("second"))
    await until(lambda: len(echo.begun) == 2)
    plain = await jobs.submit(wish("plain"))
    low = await jobs.submit(wish("low", priority=-1))
    high = await jobs.submit(wish("high", priority=5))
    assert (await jobs.view(high.job_id)).position == 1
    assert (await jobs.view(plain.job_id)).position == 2
    assert (await jobs.view(low.job_id)).position == 3
    assert await jobs.waiting() == {"echo": 3}
    echo.gates["first"].set()  # one place is free, so that they go one after the other
    for view in (first, plain, low, high):
        await ended(jobs, view.job_id)
    assert echo.begun[2:] == ["high", "plain", "low"]
    echo.gates["second"].set()
    await ended(jobs, second.job_id)


async def test_a_machine_runs_one_job_more_than_its_model_serves_at_once(jobs, echo):
    echo.gate = asyncio.Event()
    views = [await jobs.submit(wish(f"job {i}")) for i in range(6)]
    await until(lambda: len(echo.begun) == 2)
    assert (await jobs.waiting())["echo"] == 4
    echo.gate.set()
    for view in views:
        await ended(jobs, view.job_id)
    assert echo.most == 2


async def test_a_waiting_job_is_cancelled(jobs, echo):
    echo.gate = asyncio.Event()
    running = [await jobs.submit(wish(f"job {i}")) for i in range(2)]
    await until(lambda: len(echo.begun) == 2)
    waiting = await jobs.submit(wish("never"))
    view = await jobs.cancel(waiting.job_id, "not needed")
    assert (view.state, view.error) == (JobState.CANCELLED, "not needed")
    echo.gate.set()
    for job in running:
        assert (await ended(jobs, job.job_id)).state is JobState.COMPLETED
    assert "never" not in echo.begun
    assert await jobs.waiting() == {}


async def test_a_running_job_is_cancelled_and_its_computing_stops(jobs, echo):
    echo.gate = asyncio.Event()
    view = await jobs.submit(wish("long work"))
    await until(lambda: bool(echo.begun))
    cancelled = await jobs.cancel(view.job_id, "enough")
    assert cancelled.state is JobState.CANCELLED
    await until(lambda: echo.stopped == ["long work"])
    echo.gate.set()
    after = await jobs.submit(wish("next"))
    assert (await ended(jobs, after.job_id)).state is JobState.COMPLETED


async def test_a_job_that_has_ended_stays_as_it_is(jobs):
    view = await ended(jobs, (await jobs.submit(wish())).job_id)
    assert await jobs.cancel(view.job_id, "too late") == view


async def test_a_deadline_ends_a_running_job(jobs, echo):
    echo.gate = asyncio.Event()
    view = await ended(jobs, (await jobs.submit(wish(deadline_s=0.2))).job_id)
    assert view.state is JobState.FAILED
    assert "deadline of 0.2 s" in view.error
    await until(lambda: bool(echo.stopped))


async def test_a_deadline_ends_a_job_that_still_waits(jobs, echo):
    echo.gate = asyncio.Event()
    for i in range(2):
        await jobs.submit(wish(f"job {i}"))
    await until(lambda: len(echo.begun) == 2)
    view = await ended(jobs, (await jobs.submit(wish("late", deadline_s=0.2))).job_id)
    assert (view.state, view.attempt) == (JobState.FAILED, 0)
    assert "late" not in echo.begun


async def test_a_job_whose_worker_died_starts_again(jobs, echo):
    echo.fail = lambda _, start: WorkerDied("The process ended.") if start < 3 else None
    view = await ended(jobs, (await jobs.submit(wish())).job_id)
    assert (view.state, view.attempt) == (JobState.COMPLETED, 3)


async def test_after_its_last_attempt_a_job_fails_with_the_reason(jobs, echo):
    echo.fail = lambda _, start: WorkerDied("The process ended.")
    view = await ended(jobs, (await jobs.submit(wish(max_attempts=2))).job_id)
    assert (view.state, view.attempt) == (JobState.FAILED, 2)
    assert view.error == "The process ended. (start 2 of 2)"


async def test_waiting_for_room_costs_no_attempt(jobs, echo):
    echo.fail = lambda _, start: CannotPlace("No room.") if start < 3 else None
    view = await ended(jobs, (await jobs.submit(wish(max_attempts=1))).job_id)
    assert (view.state, view.attempt) == (JobState.COMPLETED, 1)


@pytest.mark.parametrize("error", [BadInput("Too long."), ModelRefused("Wrong checksum.")])
async def test_what_can_not_get_better_fails_at_once(jobs, echo, error):
    echo.fail = lambda _, start: error
    view = await ended(jobs, (await jobs.submit(wish())).job_id)
    assert (view.state, view.attempt, view.error) == (JobState.FAILED, 1, str(error))
    with pytest.raises(JobNotCompleted) as caught:
        await jobs.output(view.job_id)
    assert caught.value.view == view


async def test_a_fault_of_ours_fails_one_job_and_not_the_rest(jobs, echo):
    echo.fail = lambda prompt, start: RuntimeError("oops") if prompt == "bad" else None
    bad = await jobs.submit(wish("bad"))
    good = await jobs.submit(wish("good"))
    assert (await ended(jobs, bad.job_id)).state is JobState.FAILED
    assert (await ended(jobs, good.job_id)).state is JobState.COMPLETED


async def test_an_unknown_model_is_refused_with_those_that_are_known(jobs):
    with pytest.raises(ModelMissing, match="known: echo"):
        await jobs.submit(wish(model="nobody"))


async def test_an_unknown_job_is_missing(jobs):
    for call in (jobs.view("x"), jobs.output("x"), jobs.cancel("x", "")):
        with pytest.raises(JobMissing):
            await call
    with pytest.raises(JobMissing):
        await anext(jobs.follow("x"))


@pytest.mark.parametrize(
    "envelope",
    [
        {"priority": 101},
        {"priority": -101},
        {"max_attempts": 0},
        {"deadline_s": 0},
        {"deadline_s": float("nan")},
        {"keep_s": -1},
        {"owner": "x" * 300},
    ],
)
async def test_an_envelope_out_of_range_is_refused(jobs, envelope):
    with pytest.raises(BadInput):
        await jobs.submit(wish(**envelope))
    assert await jobs.recent() == ()


async def test_a_source_without_an_end_is_no_job(jobs):
    request = JobRequest(model="echo", work=Capture("screen", "0", 1.0))
    with pytest.raises(BadInput, match="come to an end"):
        await jobs.submit(request)


async def test_a_full_queue_refuses_with_the_time_to_try_again(config, echo, tmp_path):
    config = config.model_copy(update={"max_waiting": 2})
    parts = open_jobs(config, tmp_path, inference=echo, models=lambda: {"echo": 1}, node="here")
    async with parts as jobs:
        done = await jobs.submit(wish("measure me"))
        await ended(jobs, done.job_id)
        echo.gate = asyncio.Event()
        for i in range(2):
            await jobs.submit(wish(f"runs {i}"))
        await until(lambda: len(echo.begun) == 3)
        for i in range(2):
            await jobs.submit(wish(f"waits {i}"))
        with pytest.raises(JobQueueFull, match=r"2 jobs wait for echo already") as caught:
            await jobs.submit(wish("one too many"))
        assert 1 <= caught.value.retry_after_s < 30
        assert len(await jobs.recent()) == 5
        echo.gate.set()


async def test_one_after_the_other_they_do_not_pass_the_limit_either(config, tmp_path):
    config = config.model_copy(update={"max_waiting": 5})
    parts = open_jobs(config, tmp_path, inference=None, models=lambda: {"echo": 1}, node="here")
    async with parts as jobs:
        for number in range(5):
            await jobs.submit(wish(f"job {number}"))
        for _ in range(3):
            with pytest.raises(JobQueueFull):
                await jobs.submit(wish("one too many"))
        await jobs.cancel((await jobs.recent(1))[0].job_id, "room for another")
        await jobs.submit(wish("another"))


async def test_many_at_once_do_not_pass_the_limit(config, echo, tmp_path):
    config = config.model_copy(update={"max_waiting": 5})
    echo.gate = asyncio.Event()
    parts = open_jobs(config, tmp_path, inference=None, models=lambda: {"echo": 1}, node="here")
    async with parts as jobs:
        tries = [jobs.submit(wish(f"job {i}")) for i in range(30)]
        outcomes = await asyncio.gather(*tries, return_exceptions=True)
        assert sum(not isinstance(o, JobQueueFull) for o in outcomes) == 5


async def test_jobs_are_counted_by_owner_and_listed_newest_first(jobs, echo):
    echo.gate = asyncio.Event()
    mine = await jobs.submit(wish("mine", owner="me"))
    await jobs.submit(wish("yours", owner="you"))
    await jobs.submit(wish("nobody's"))
    assert await jobs.unfinished("me") == 1
    assert await jobs.unfinished(None) == 1
    assert [v.owner for v in await jobs.recent(2)] == [None, "you"]
    echo.gate.set()
    await ended(jobs, mine.job_id)
    assert await jobs.unfinished("me") == 0


async def test_a_result_too_large_is_refused(config, echo, tmp_path):
    config = config.model_copy(update={"max_result": 50})
    parts = open_jobs(config, tmp_path, inference=echo, models=lambda: {"echo": 1}, node="here")
    async with parts as jobs:
        view = await ended(jobs, (await jobs.submit(wish("word " * 100))).job_id)
        assert view.state is JobState.FAILED
        assert "jobs.max_result" in view.error


async def test_leaving_gives_unfinished_jobs_back_and_they_end_after_a_restart(config, tmp_path):
    slow = EchoInference(gate=asyncio.Event())
    known = {"inference": slow, "models": lambda: {"echo": 1}, "node": "here"}
    async with open_jobs(config, tmp_path, **known) as jobs:
        views = [await jobs.submit(wish(f"job {i}")) for i in range(4)]
        await until(lambda: len(slow.begun) == 2)
    quick = known | {"inference": EchoInference()}
    async with open_jobs(config, tmp_path, **quick) as jobs:
        for view in views:
            assert (await ended(jobs, view.job_id)).state is JobState.COMPLETED


async def test_draining_lets_running_jobs_end_and_takes_no_more(config, tmp_path):
    echo = EchoInference(gate=asyncio.Event())
    known = {"inference": echo, "models": lambda: {"echo": 1}, "node": "here"}
    async with open_jobs(config, tmp_path, **known) as jobs:
        running = [await jobs.submit(wish(f"runs {i}")) for i in range(2)]
        await until(lambda: len(echo.begun) == 2)
        waiting = await jobs.submit(wish("waits"))
        draining = asyncio.create_task(jobs.consumer.drain(30.0))
        await until(lambda: jobs.consumer.paused)
        echo.gate.set()
        await draining
        for view in running:
            assert (await jobs.view(view.job_id)).state is JobState.COMPLETED
        assert (await jobs.view(waiting.job_id)).state is JobState.QUEUED
        assert jobs.consumer.in_flight() == {}
        jobs.consumer.pause(False)
        assert (await ended(jobs, waiting.job_id)).state is JobState.COMPLETED


async def test_results_beyond_their_lifetime_or_the_size_are_forgotten(config, echo, tmp_path):
    parts = open_jobs(config, tmp_path, inference=echo, models=lambda: {"echo": 1}, node="here")
    async with parts as jobs:
        short = await ended(jobs, (await jobs.submit(wish("short", keep_s=0.01))).job_id)
        old = await ended(jobs, (await jobs.submit(wish("old " * 50))).job_id)
        new = await ended(jobs, (await jobs.submit(wish("new " * 50))).job_id)
        await jobs._store.forget(short.ended_at + 0.02, 400)
        await jobs._board.taken_up(jobs._store.home, [])
        kept = {view.job_id for view in await jobs.recent()}
        assert kept == {old.job_id, new.job_id}
        assert (await jobs._store.output(old.job_id))[1] is None
        assert (await jobs.output(new.job_id)).text == "new " * 50 + " "


async def test_text_comes_while_the_model_still_writes(jobs, echo):
    echo.gate = asyncio.Event()
    view = await jobs.submit(wish("one two"))
    async for event in jobs.follow(view.job_id):
        if isinstance(event, PartCame):
            assert event.part == TextDelta("one ")
            assert (await jobs.view(view.job_id)).state is JobState.RUNNING
            break
    echo.gate.set()
    assert (await ended(jobs, view.job_id)).state is JobState.COMPLETED


async def test_fewer_slots_let_running_jobs_end_and_more_slots_start_more(
    config, tmp_path, monkeypatch
):
    monkeypatch.setattr("danzar.jobs.consumer._ANNOUNCE_S", 0.01)
    echo = EchoInference(gate=asyncio.Event(), gated=lambda prompt: prompt.startswith("long"))
    slots = {"echo": 2}
    parts = open_jobs(config, tmp_path, inference=echo, models=lambda: dict(slots), node="here")
    async with parts as jobs:
        long = [await jobs.submit(wish(f"long {i}")) for i in range(3)]
        await until(lambda: echo.now == 3)
        slots["echo"] = 1
        waiting = await jobs.submit(wish("waits"))
        slots["echo"] = 3
        assert (await ended(jobs, waiting.job_id)).state is JobState.COMPLETED
        assert echo.now == 3
        slots["echo"] = 1
        echo.gate.set()
        views = [await ended(jobs, view.job_id) for view in long]
        assert {(view.state, view.attempt) for view in views} == {(JobState.COMPLETED, 1)}
        assert echo.stopped == []
        echo.most = 0
        for view in [await jobs.submit(wish(f"later {i}")) for i in range(6)]:
            await ended(jobs, view.job_id)
        assert echo.most <= 2


async def test_a_model_that_goes_and_comes_back_keeps_its_jobs(config, tmp_path, monkeypatch):
    monkeypatch.setattr("danzar.jobs.consumer._ANNOUNCE_S", 0.01)
    echo = EchoInference(gate=asyncio.Event())
    models = {"echo": 1, "other": 1}
    parts = open_jobs(config, tmp_path, inference=echo, models=lambda: dict(models), node="here")
    async with parts as jobs:
        long = await jobs.submit(wish("long"))
        await until(lambda: echo.now == 1)
        del models["echo"]
        await until(lambda: len(echo.begun) == 1)
        other = await jobs.submit(wish("meanwhile", model="other"))
        await until(lambda: echo.now == 2)
        models["echo"] = 1
        echo.gate.set()
        for view in (long, other, await jobs.submit(wish("later"))):
            assert (await ended(jobs, view.job_id)).attempt == 1
        assert echo.stopped == []
