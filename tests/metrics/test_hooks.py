"""What the parts tell as it happens, with real workers and a real queue of jobs."""

import asyncio
from contextlib import aclosing

import psutil
import pytest

from danzar.broker.first_loads import FirstLoads
from danzar.broker.news import (
    LoadEnded,
    LoadOutcome,
    ModelLost,
    NewsDesk,
    PlanMade,
    RequestEnded,
    RequestOutcome,
    UnloadBegan,
)
from danzar.config.jobs import JobsConfig
from danzar.core.asker import Asker, RequestClass
from danzar.core.leaving import UnloadCause
from danzar.core.plan import PlanRules
from danzar.core.state import SchedulerRules
from danzar.errors import CannotPlace, WorkerDied, WorkerStartFailed
from danzar.jobs.contract import JobState
from danzar.jobs.open_jobs import open_jobs
from danzar.metrics.background import Background
from danzar.telemetry.simulated import SimulatedCard
from danzar.units import GIB
from danzar.workers.contract import Generated, TextDelta
from tests.jobs.helpers import EchoInference, ended, wish
from tests.manager.worlds import echo_model, say, world
from tests.optimizer.rig import make_rig

pytestmark = pytest.mark.process


def heard_by(manager):
    heard = []
    manager.news.add_listener(heard.append)
    return heard


def of(heard, kind):
    return [news for news in heard if isinstance(news, kind)]


async def test_a_request_tells_its_plan_its_load_and_its_end():
    async with world(echo_model("chat")) as w:
        heard = heard_by(w.manager)
        await w.manager.call("chat", say("hello there"), asker=Asker(RequestClass.JOB))
        (load,) = of(heard, LoadEnded)
        assert (load.model, load.outcome, load.reason) == ("chat", LoadOutcome.LOADED, "")
        assert load.device_uuid == w.cards.uuids[0]
        # A simulated card shows what was booked: nothing was measured.
        assert load.measured_bytes is None
        (request,) = of(heard, RequestEnded)
        assert request.outcome is RequestOutcome.ANSWERED
        assert request.request_class is RequestClass.JOB
        assert isinstance(request.result, Generated)
        assert 0 < load.seconds < request.waited_s < request.seconds
        assert all(plan.seconds > 0 for plan in of(heard, PlanMade))
        assert of(heard, PlanMade)


async def test_an_unload_tells_its_cause():
    async with world(echo_model("a", 8), echo_model("b", 8, allow_cpu=False)) as w:
        heard = heard_by(w.manager)
        await w.manager.load("a")
        await w.manager.load("b")
        await w.manager.unload("b")
        assert [(n.model, n.cause) for n in of(heard, UnloadBegan)] == [("b", UnloadCause.ASKED)]


async def test_making_room_tells_who_went_for_it():
    models = (echo_model("a", 8), echo_model("b", 8, allow_cpu=False))
    cards, rules = (SimulatedCard("A", 12 * GIB),), PlanRules(min_residence_s=0.0)
    async with world(*models, cards=cards, rules=SchedulerRules(plan=rules)) as w:
        heard = heard_by(w.manager)
        await w.manager.load("a")
        await w.manager.load("b")
        assert [(n.model, n.cause) for n in of(heard, UnloadBegan)] == [("a", UnloadCause.ROOM)]


async def test_a_request_that_is_closed_is_told_as_cancelled():
    async with world(echo_model("chat"), settings={"chat": {"word_s": 0.05}}) as w:
        heard = heard_by(w.manager)
        async with aclosing(w.manager.stream("chat", say("word " * 5000))) as steps:
            async for step in steps:
                if isinstance(step, TextDelta):
                    break
        (request,) = of(heard, RequestEnded)
        assert request.outcome is RequestOutcome.CANCELLED
        assert request.waited_s is not None
        assert request.result is None


async def test_a_refusal_and_a_load_that_fails_are_told_with_their_reason():
    async with world(echo_model("chat"), settings={"chat": {"load": "refuse"}}) as w:
        heard, firsts = heard_by(w.manager), FirstLoads(w.manager.news)
        with pytest.raises(WorkerStartFailed):
            await w.manager.call("chat", say("hello"))
        (request,) = of(heard, RequestEnded)
        assert (request.outcome, request.error) == (RequestOutcome.REFUSED, "WorkerStartFailed")
        assert request.waited_s is None
        assert of(heard, LoadEnded)[0].outcome is LoadOutcome.ERROR
        assert "refuses to load" in firsts.failed["chat"]


def test_a_model_that_could_be_loaded_after_all_is_no_longer_broken():
    desk = NewsDesk()
    firsts = FirstLoads(desk)
    desk.tell(LoadEnded("chat", "GPU-0", LoadOutcome.ERROR, 1.0, "no such file"))
    assert firsts.failed == {"chat": "no such file"}
    desk.tell(LoadEnded("chat", "GPU-0", LoadOutcome.TOO_FULL, 1.0, "a game came"))
    assert firsts.failed == {"chat": "no such file"}
    desk.tell(LoadEnded("chat", "GPU-0", LoadOutcome.LOADED, 1.0))
    assert firsts.failed == {}
    assert firsts.loaded == {"chat"}


async def test_a_load_that_runs_out_of_memory_is_told_for_every_card():
    model = echo_model("chat", allow_cpu=False)
    async with world(model, settings={"chat": {"load": "out_of_memory"}}) as w:
        heard, firsts = heard_by(w.manager), FirstLoads(w.manager.news)
        with pytest.raises(CannotPlace):
            await w.manager.call("chat", say("hello"))
        assert {n.outcome for n in of(heard, LoadEnded)} == {LoadOutcome.OUT_OF_MEMORY}
        assert {n.device_uuid for n in of(heard, LoadEnded)} == set(w.cards.uuids)
        assert firsts.failed == {}


async def test_a_lost_worker_is_told_for_its_model_and_the_request_as_failed():
    async with world(echo_model("chat"), settings={"chat": {"word_s": 0.05}}) as w:
        heard = heard_by(w.manager)
        with pytest.raises(WorkerDied):
            async with aclosing(w.manager.stream("chat", say("word " * 200))) as steps:
                async for step in steps:
                    if isinstance(step, TextDelta):
                        (pid,) = await w.worker_pids_on_cards()
                        psutil.Process(pid).kill()
        assert [n.model for n in of(heard, ModelLost)] == ["chat"]
        (request,) = of(heard, RequestEnded)
        assert (request.outcome, request.error) == (RequestOutcome.FAILED, "WorkerDied")


async def test_a_listener_that_breaks_breaks_no_request(caplog):
    def broken(_news):
        raise ValueError("no")

    async with world(echo_model("chat")) as w:
        w.manager.news.add_listener(broken)
        heard = heard_by(w.manager)
        for _ in range(3):
            await w.manager.call("chat", say("hello"))
        assert len(of(heard, RequestEnded)) == 3
    assert sum("not counted" in record.getMessage() for record in caplog.records) == 1


async def test_the_owner_task_is_known_to_live_and_to_have_ended():
    async with world(echo_model("chat")) as w:
        await asyncio.sleep(0)
        manager = w.manager
        await manager.load("chat")
        assert manager.is_running
    assert not manager.is_running


# --- jobs and the optimizer --------------------------------------------------------------------


def open_echo_jobs(folder, echo, **options):
    config = JobsConfig(url="memory://", drain_s=0.0, retry_delay_s=0.05, **options)
    return open_jobs(config, folder, inference=echo, models=lambda: {"echo": 1}, node="here")


async def test_every_job_is_told_once_when_it_has_ended(tmp_path):
    echo, told = EchoInference(), []
    async with open_echo_jobs(tmp_path, echo) as jobs:
        jobs.tell_ends(lambda model, state: told.append((model, state)))
        done = await jobs.submit(wish("one two"))
        await ended(jobs, done.job_id)
        echo.gate = asyncio.Event()
        stopped = await jobs.submit(wish("three"))
        await jobs.cancel(stopped.job_id)
        await jobs.view(done.job_id)
    assert told == [("echo", JobState.COMPLETED), ("echo", JobState.CANCELLED)]


async def test_what_waits_and_what_the_process_takes_is_looked_up_in_the_background(tmp_path):
    echo = EchoInference()
    echo.gate = asyncio.Event()
    async with open_echo_jobs(tmp_path, echo) as jobs:
        for _ in range(3):
            await jobs.submit(wish("one"))
        background = Background(jobs)
        assert (background.resident_bytes, background.waiting) == (None, None)
        await background.look()
        assert background.waiting is not None
        assert 1 <= background.waiting["echo"] <= 3
        assert background.resident_bytes is not None
        assert background.resident_bytes > 10_000_000
        echo.gate.set()


async def test_without_jobs_nobody_is_asked_what_waits():
    background = Background(None)
    await background.look()
    assert background.waiting is None


async def test_everything_that_the_optimizer_does_is_told_once():
    rig, told = make_rig(), []
    rig.optimizer.on_result = told.append
    result = await rig.optimizer.optimize_memory()
    await rig.optimizer.look()
    assert told == [result] == rig.told
