"""Batches, upkeep and recycling with real worker processes on simulated cards."""

import asyncio

import pytest

from danzar.broker.driver_view import held_by
from danzar.broker.upkeep import Upkeep
from danzar.core.batch_curve import BatchPoint
from danzar.core.batching import BatchRules
from danzar.core.state import SchedulerRules
from danzar.core.upkeep import TrimLevel, UpkeepAction, UpkeepRules
from danzar.units import GIB, MIB
from tests.manager.worlds import echo_model, say, world

pytestmark = pytest.mark.process

POINTS = tuple(BatchPoint(b, 1000, b * 100 * MIB, 1.0 + 0.01 * b) for b in (1, 2, 4, 8, 16))
QUICK = SchedulerRules(batch=BatchRules(latency_s=60.0, interval_s=0.1, tight_s=0.0))


async def until(is_so):
    async with asyncio.timeout(20):
        while not is_so():
            await asyncio.sleep(0.02)


def card_holds(w):
    """What the worker's process holds as the card shows it."""
    (worker,) = w.manager.workers()
    return held_by(w.sampler.reading.snapshots, worker.pid)[worker.key.device_uuid]


def upkeep_of(w, **rules):
    clock = [1000.0]
    state = w.manager.scheduler.state
    parts = (w.manager.workers, w.manager.recycle, w.sampler, state, UpkeepRules(**rules))
    return Upkeep(*parts, now_s=lambda: clock[0]), clock


async def test_a_batch_grows_into_free_memory_and_the_card_shows_it():
    async with world(echo_model("a", batch=8), rules=QUICK) as w:
        await w.manager.load("a")
        assert w.manager.batch_size("a") == 8
        w.manager.note_batches("a", POINTS)
        await until(lambda: w.manager.batch_size("a") == 16)
        await until(lambda: card_holds(w) == GIB + 800 * MIB)
        booked = [x.size_bytes for x in w.leases() if x.device_uuid == w.cards.uuids[0]]
        assert booked == [GIB + 800 * MIB]
        ((_, change),) = w.manager.batch_changes
        assert (change.before, change.size) == (8, 16)


async def test_a_batch_gives_its_memory_back_when_another_program_comes():
    async with world(echo_model("a", batch=8), rules=QUICK) as w:
        await w.manager.load("a")
        w.manager.note_batches("a", POINTS)
        await until(lambda: w.manager.batch_size("a") == 16)
        w.cards.set_foreign(w.cards.uuids[0], 4242, "game", 9 * GIB + 800 * MIB)
        await until(lambda: w.manager.batch_size("a") == 1)
        await until(lambda: card_holds(w) == GIB - 700 * MIB)
        await w.manager.call("a", say("still here"))


async def test_a_person_sets_the_batch():
    async with world(echo_model("a", batch=8), rules=QUICK) as w:
        await w.manager.load("a")
        w.manager.note_batches("a", POINTS)
        w.manager.fix_batch(3)
        await until(lambda: w.manager.batch_size("a") == 3)
        (view,) = w.manager.batches()
        assert (view.model, view.size) == ("a", 3)


async def test_a_worker_is_started_anew_with_all_its_models_and_no_request_is_lost():
    async with world(echo_model("a"), echo_model("b"), settings={"a": {"word_s": 0.05}}) as w:
        await w.manager.load("a")
        await w.manager.load("b")
        (before,) = w.manager.workers()
        long = asyncio.create_task(w.manager.call("a", say("one two three four five six")))
        await until(lambda: before.process.busy_models)
        w.manager.recycle("echo", before.key.device_uuid, "a test")
        outcome = await long
        assert outcome.result.finish_reason == "stop"
        await until(lambda: not before.process.alive)
        await until(lambda: all(view.state == "ready" for view in w.manager.models()))
        (after,) = w.manager.workers()
        assert after.pid != before.pid
        assert set(after.models) == {"a", "b"}


async def test_trimming_tells_what_each_worker_gave_back():
    async with world(echo_model("a"), echo_model("b", worker="other")) as w:
        await w.manager.load("a")
        await w.manager.load("b")
        upkeep, _ = upkeep_of(w)
        report = await upkeep.trim(TrimLevel.AGGRESSIVE)
        assert {row.worker for row in report.rows} == {"echo", "other"}
        assert all(row.error is None and row.rss_after_bytes > 0 for row in report.rows)
        assert report.freed_bytes is not None
        nothing = await upkeep.trim(device_uuid="GPU-unknown")
        assert (nothing.rows, nothing.freed_bytes) == ((), None)
        await until(lambda: len(upkeep.memory()) == 2)
        assert all(view.fragmentation is None for view in upkeep.memory()), "no torch"


async def test_an_idle_worker_is_cleaned_up_each_interval():
    async with world(echo_model("a")) as w:
        await w.manager.load("a")
        upkeep, clock = upkeep_of(w, cleanup_interval_s=300.0)
        for _ in range(12):
            await upkeep.look()
            clock[0] += 60
        assert [step.action for step in upkeep.history] == [UpkeepAction.COLLECT] * 2
        assert all(step.freed_bytes is not None for step in upkeep.history)


async def test_a_worker_that_died_is_told_and_nothing_else_fails():
    async with world(echo_model("a")) as w:
        await w.manager.load("a")
        (worker,) = w.manager.workers()
        upkeep, _ = upkeep_of(w)
        await worker.process.stop()
        kept = Upkeep(lambda: (worker,), w.manager.recycle, w.sampler, upkeep._state, UpkeepRules())
        (row,) = (await kept.trim()).rows
        assert "worker" in row.error
