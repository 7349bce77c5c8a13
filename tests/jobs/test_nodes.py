"""Several machines on one Redis, which is stopped, killed and emptied under them."""

import asyncio
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from danzar.config.jobs import JobsConfig
from danzar.jobs.consumer import consume
from danzar.jobs.contract import JobMissing, JobState, PartCame, QueueUnavailable, StateCame
from danzar.jobs.open_jobs import open_jobs, open_queue
from tests.jobs.helpers import PATIENCE_S, EchoInference, ended, until, wish

pytestmark = pytest.mark.redis

_SCRIPT = Path(__file__).with_name("running_process.py")
_ROOT = Path(__file__).parents[2]


@pytest.fixture
def config(redis_server):
    return JobsConfig(url=redis_server.url, lease_s=5.0, drain_s=0.0, retry_delay_s=0.05)


@pytest.fixture
def short_lease(config):
    """A machine that is silent for a second is dead."""
    return config.model_copy(update={"lease_s": 1.0})


@pytest.fixture
async def home(config, tmp_path):
    """A machine that accepts jobs and runs none."""
    parts = open_jobs(config, tmp_path, inference=None, models=lambda: {"echo": 1}, node="home")
    async with parts as jobs:
        yield jobs


@asynccontextmanager
async def node(config, name, echo, **more):
    """A machine that runs jobs and accepts none."""
    async with (
        open_queue(config) as queue,
        consume(echo, queue, lambda: {"echo": 1}, name, config, **more) as consumer,
    ):
        yield consumer


@asynccontextmanager
async def node_process(config, name, seconds):
    """The same as a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(_SCRIPT),
        config.url,
        name,
        str(seconds),
        cwd=_ROOT,
        env={"PYTHONPATH": str(_ROOT)},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert await asyncio.wait_for(process.stdout.readline(), PATIENCE_S) == b"ready\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_two_machines_share_the_work_and_who_accepted_it_has_the_results(home, config):
    one, two = EchoInference(seconds=0.02), EchoInference(seconds=0.02)
    async with node(config, "one", one), node(config, "two", two):
        jobs = [await home.submit(wish(f"job {i}")) for i in range(30)]
        views = [await ended(home, job.job_id) for job in jobs]
        assert {view.state for view in views} == {JobState.COMPLETED}
        assert {view.node for view in views} == {"one", "two"}
        assert sorted(one.begun + two.begun) == sorted(f"job {i}" for i in range(30))
        assert (await home.output(jobs[3].job_id)).text == "job 3 "


async def test_any_machine_shows_follows_and_cancels_a_job(home, config, tmp_path):
    echo = EchoInference(gate=asyncio.Event())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    parts = open_jobs(config, elsewhere, inference=echo, models=lambda: {"echo": 1}, node="there")
    async with parts as other:
        first = await home.submit(wish("one two"))
        await until(lambda: echo.begun == ["one two"])
        second = await home.submit(wish("cancelled elsewhere"))
        assert (await other.view(first.job_id)).state is JobState.RUNNING
        await other.cancel(second.job_id, "by another machine")
        assert (await home.view(second.job_id)).error == "by another machine"
        events = []
        async for event in other.follow(first.job_id):
            events.append(event)
            echo.gate.set()
        assert "".join(e.part.text for e in events if isinstance(e, PartCame)) == "one two "
        assert isinstance(events[-1], StateCame)
        assert events[-1].view.state is JobState.COMPLETED
        assert (await other.output(first.job_id)).text == "one two "
        assert first.job_id not in {view.job_id for view in await other.recent()}


async def test_a_job_of_a_machine_that_is_killed_is_taken_up_by_another(home, short_lease):
    async with node_process(short_lease, "killed", 60) as process:
        view = await home.submit(wish("long"))
        async for event in home.follow(view.job_id):
            if isinstance(event, StateCame) and event.view.state is JobState.RUNNING:
                assert event.view.node == "killed"
                break
        process.kill()
        await process.wait()
    async with node(short_lease, "other", EchoInference()):
        view = await ended(home, view.job_id)
        assert (view.state, view.node) == (JobState.COMPLETED, "other")
        assert view.attempt >= 2


async def test_a_job_whose_machine_is_killed_too_often_fails_with_the_reason(home, short_lease):
    view = await home.submit(wish("poison", max_attempts=1))
    async with node_process(short_lease, "killed", 60) as process:
        async for event in home.follow(view.job_id):
            if isinstance(event, StateCame) and event.view.state is JobState.RUNNING:
                break
        process.kill()
        await process.wait()
    echo = EchoInference()
    async with node(short_lease, "other", echo):
        view = await ended(home, view.job_id)
        assert view.state is JobState.FAILED
        assert "started once" in view.error
        assert echo.begun == []


async def test_a_long_job_keeps_its_machine(home, config):
    """Its lease is renewed: no other takes it, though it runs for several leases."""
    config = config.model_copy(update={"lease_s": 3.0})
    slow = EchoInference(gate=asyncio.Event(), gated=lambda prompt: prompt == "slow")
    other = EchoInference()
    async with node(config, "slow", slow):
        view = await home.submit(wish("slow"))
        await until(lambda: slow.begun == ["slow"])
        async with node(config, "other", other):
            for i in range(3):  # each is waited for: several leases pass
                await ended(home, (await home.submit(wish(f"job {i}", deadline_s=30))).job_id)
                await asyncio.sleep(config.lease_s / 2)
            assert (await home.view(view.job_id)).node == "slow"
            slow.gate.set()
            assert (await ended(home, view.job_id)).attempt == 1
    assert "slow" not in other.begun


@pytest.mark.parametrize("loss", ["restarted", "killed", "emptied"])
async def test_jobs_outlive_the_loss_of_the_queue(home, config, redis_server, loss):
    echo = EchoInference(gate=asyncio.Event())
    async with node(config, "one", echo):
        done = await home.submit(wish("done"))
        await until(lambda: echo.begun == ["done"])
        echo.gate.set()
        await ended(home, done.job_id)
        echo.gate.clear()
        jobs = [await home.submit(wish(f"job {i}")) for i in range(6)]
        await until(lambda: len(echo.begun) == 3)
        if loss == "emptied":
            redis_server.command("FLUSHALL")
        else:
            await asyncio.to_thread(redis_server.restart, kill=loss == "killed")
        echo.gate.set()
        views = [await ended(home, job.job_id) for job in jobs]
        assert {view.state for view in views} == {JobState.COMPLETED}
        assert (await home.view(done.job_id)).ended_at is not None
    assert echo.begun.count("done") == 1, "a job that had ended ran again"


async def test_jobs_are_accepted_while_the_queue_is_away_and_run_when_it_is_back(
    home, config, redis_server
):
    echo = EchoInference()
    async with node(config, "one", echo):
        await ended(home, (await home.submit(wish("before"))).job_id)
        await asyncio.to_thread(redis_server.kill)
        await until(lambda: not home.healthy)
        view = await home.submit(wish("meanwhile"))
        assert (view.state, view.position) == (JobState.QUEUED, None)
        assert (await home.view(view.job_id)).state is JobState.QUEUED
        cancelled = await home.submit(wish("cancelled meanwhile"))
        assert (await home.cancel(cancelled.job_id, "no")).state is JobState.CANCELLED
        late = await home.submit(wish("late", deadline_s=0.05))
        await until_state(home, late.job_id, JobState.FAILED)
        with pytest.raises((QueueUnavailable, JobMissing)):
            await home.view("of another machine")
        await asyncio.to_thread(redis_server.start)
        assert (await ended(home, view.job_id)).state is JobState.COMPLETED
        assert (await home.view(cancelled.job_id)).state is JobState.CANCELLED
    assert echo.begun == ["before", "meanwhile"]


async def until_state(jobs, job_id, state):
    async with asyncio.timeout(PATIENCE_S):
        while (await jobs.view(job_id)).state is not state:
            await asyncio.sleep(0.02)


async def test_a_machine_can_leave_jobs_to_a_better_one(home, config):
    better, worse = EchoInference(), EchoInference()
    async with node(config, "worse", worse, hold_back_s=lambda model: float("inf")):
        view = await home.submit(wish("who"))
        async with node(config, "better", better):
            assert (await ended(home, view.job_id)).node == "better"
    assert worse.begun == []


async def test_what_danzar_did_not_write_is_dropped_and_the_machine_serves_on(
    home, config, redis_server, caplog
):
    """Three kinds of entries that docket's worker can't read, among tickets."""
    echo = EchoInference(gate=asyncio.Event())
    stream = "danzar:jobs:echo:stream"
    ticket = ("key", "k", "when", "2030-01-01T00:00:00+00:00", "attempt", "1", "generation", "1")
    pickled = ("function", "ticket", "args", "\x80\x05).", "kwargs", "\x80\x05}.")
    nap = ("function", "sleep", "args", "[1000000]", "kwargs", "{}")
    async with node(config, "one", echo) as consumer:
        before = await home.submit(wish("before"))
        await until(lambda: echo.begun == ["before"])
        for entry in (("what", "ever"), (*ticket, *pickled), (*ticket, *nap)):
            assert not redis_server.command("XADD", stream, "*", *entry).startswith(b"-")
        after = await home.submit(wish("after"))
        await until(lambda: echo.begun == ["before", "after"])
        assert len(consumer.running) == 2
        echo.gate.set()
        for view in (before, after):
            assert (await ended(home, view.job_id)).attempt == 1
        async with asyncio.timeout(PATIENCE_S):
            while redis_server.command("XLEN", stream) != b":0\r\n":
                await asyncio.sleep(0.02)
    warnings = [r.getMessage() for r in caplog.records if "not written by Danzar" in r.getMessage()]
    assert len(warnings) == 3


async def test_a_job_whose_ticket_was_lost_is_run(home, config, redis_server):
    """As when a machine dies between the job and its ticket, while others serve the model."""
    echo = EchoInference(gate=asyncio.Event())
    async with node(config, "one", echo):
        await home.submit(wish("first"))
        await until(lambda: echo.begun == ["first"])
        tickets, home._board._tickets.add = home._board._tickets.add, _lost
        view = await home.submit(wish("without a ticket"))
        home._board._tickets.add = tickets
        await until(lambda: len(echo.begun) == 2)
        echo.gate.set()
        assert (await ended(home, view.job_id)).state is JobState.COMPLETED


async def _lost(*args, **more):
    raise QueueUnavailable("for this one call")


async def test_models_are_known_from_those_that_take_jobs_for_them(home, config):
    async with AsyncExitStack() as stack:
        queue = await stack.enter_async_context(open_queue(config))
        echo = EchoInference()
        await stack.enter_async_context(consume(echo, queue, lambda: {"far": 2}, "far", config))
        async with asyncio.timeout(PATIENCE_S):
            while "far" not in await home.known_models():
                await asyncio.sleep(0.02)
        assert (await home.takers())["far"] == ("far",)
        view = await ended(home, (await home.submit(wish(model="far"))).job_id)
        assert view.state is JobState.COMPLETED


async def test_the_password_is_in_no_message(tmp_path):
    config = JobsConfig(url="redis://someone:sesame@127.0.0.1:1/0")
    async with open_queue(config) as queue:
        with pytest.raises(QueueUnavailable, match=r"127\.0\.0\.1:1") as caught:
            await queue.look("x")
    assert "sesame" not in str(caught.value)
