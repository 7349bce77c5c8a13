"""Loads ahead with real worker processes: begun, taken over, cancelled, and verified."""

import asyncio
from dataclasses import replace

import psutil
import pytest

from danzar.core.instance import InstanceState
from danzar.core.prediction import PredictionRules
from danzar.core.prediction_hints import HintKind
from danzar.core.state import SchedulerRules
from danzar.units import GIB, MIB
from tests.manager.worlds import echo_model, say, world

pytestmark = pytest.mark.process
RULES = SchedulerRules(
    max_queue=8, prediction=PredictionRules(enabled=True, cushion_bytes=256 * MIB)
)


def alone(name: str, gib: float = 1.0, **changes):
    """A model with a process of its own."""
    return echo_model(name, gib, worker=f"echo:{name}", **changes)


async def until(condition) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


def state_of(w, model):
    return w.manager.scheduler.instances[model].state


async def test_a_hint_loads_the_model_before_it_is_asked_and_the_question_is_a_hit():
    async with world(alone("chat", 3), rules=RULES) as w:
        w.manager.hint("chat", HintKind.UPLOAD)
        await until(lambda: state_of(w, "chat") is InstanceState.READY)
        assert {x.size_bytes for x in w.leases() if x.device_uuid != "cpu"} == {3 * GIB}
        assert "an upload has begun" in w.manager.decisions[-1].text
        outcome = await w.manager.call("chat", say("hello"))
        view = w.manager.prefetches()
        assert (view.total.loads, view.total.hits, view.total.misses) == (1, 1, 0)
        assert outcome.waited_s < view.total.saved_s


async def test_a_load_ahead_in_flight_is_killed_for_what_is_asked_and_its_memory_is_back():
    slow = {"slow": {"load": "hang"}}
    async with world(alone("slow", 3), alone("chat"), settings=slow, rules=RULES) as w:
        w.manager.hint("slow", HintKind.UPLOAD)
        await until(lambda: w.pool.pids())
        (pid,) = w.pool.pids()
        await until(lambda: _has_child_loading(w, pid))
        await w.manager.call("chat", say("hello"))
        await until(lambda: state_of(w, "slow") is InstanceState.COLD)
        assert not psutil.pid_exists(pid)
        assert {x.model for x in w.leases()} == {"chat"}
        assert await w.worker_pids_on_cards() == set(w.pool.pids())
        assert {row.model for row in await w.journal.leases()} == {"chat"}
        counts = w.manager.prefetches().total
        assert (counts.wasted, counts.cancelled, counts.hits) == (1, 1, 0)
        said = [d.reason for d in w.manager.decisions if d.model == "slow"]
        assert said[-1] == "its load was cancelled: chat was asked for and loads first"


def _has_child_loading(w, pid) -> bool:
    return psutil.pid_exists(pid) and "slow" in w.pool._homes


async def test_a_request_in_the_process_that_loads_ahead_gets_a_new_process_at_once():
    slow = {"slow": {"load": "hang"}}
    models = (echo_model("slow", 3), echo_model("chat"))
    async with world(*models, settings=slow, rules=RULES) as w:
        w.manager.hint("slow", HintKind.UPLOAD)
        await until(lambda: "slow" in w.pool._homes)
        (pid,) = w.pool.pids()
        await w.manager.call("chat", say("hello"))
        assert w.pool.process("chat").pid != pid
        await until(lambda: state_of(w, "slow") is InstanceState.COLD)
        assert not psutil.pid_exists(pid)


async def test_a_load_ahead_that_is_cancelled_while_its_process_starts_leaves_nothing():
    async with world(alone("slow", 3), alone("chat"), rules=RULES) as w:
        w.manager.hint("slow", HintKind.UPLOAD)
        await until(lambda: state_of(w, "slow") is InstanceState.LOADING)
        await w.manager.call("chat", say("hello"))
        await until(lambda: state_of(w, "slow") is not InstanceState.UNLOADING)
        assert {x.model for x in w.leases()} == {"chat"}
        assert await w.worker_pids_on_cards() == {w.pool.process("chat").pid}
        assert {row.worker for row in await w.journal.workers()} == {"echo:chat"}


async def test_a_request_for_the_model_that_loads_ahead_takes_the_load_over():
    async with world(alone("chat"), rules=RULES) as w:
        w.manager.hint("chat", HintKind.UPLOAD)
        await until(lambda: state_of(w, "chat") is InstanceState.LOADING)
        first = w.load_id("chat")
        await w.manager.call("chat", say("hello"))
        assert w.load_id("chat") == first
        assert w.manager.prefetches().total.hits == 1


async def test_what_follows_what_is_learned_and_loaded_while_the_first_one_answers():
    settings = {"eyes": {"word_s": 0.4}}
    rules = replace(RULES, keep_alive_s=0.1)
    async with world(alone("eyes"), alone("chat"), settings=settings, rules=rules) as w:
        for _ in range(4):
            await w.manager.call("eyes", say("a"))
            await w.manager.call("chat", say("b"))
        await w.manager.unload("chat")
        # As if it had left by itself: what a person unloads stays away for a while.
        w.manager.scheduler.state.outlook.paused_until_s.clear()
        asked = asyncio.create_task(w.manager.call("eyes", say("one two three four five six")))
        await until(lambda: state_of(w, "chat") is not InstanceState.COLD)
        assert not asked.done()
        await asked
        (expected,) = w.manager.prefetches().ahead
        assert expected.model == "chat"
