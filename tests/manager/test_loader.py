"""Loads and unloads are checked with the driver: real processes, real NVML calls, a fake card."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import psutil
import pytest

from danzar.broker.journal import Journal, open_journal
from danzar.broker.loader import Loader
from danzar.broker.pool import WorkerPool
from danzar.core.book import LeaseState
from danzar.core.device import find_device
from danzar.core.events import (
    LoadFailed,
    LoadFailure,
    LoadFinished,
    StartLoad,
    StartUnload,
    UnloadFinished,
)
from danzar.core.plan import PlacedOn, Share
from danzar.core.variant import Rung
from danzar.errors import OutOfMemory, WorkerDied
from danzar.telemetry.nvml import NvmlTelemetry
from danzar.telemetry.sampler import Sampler
from danzar.units import GIB, MIB
from danzar.workers.outcomes import WorkerLimits
from tests.fakes.nvml import FakeWorld
from tests.manager.worlds import echo_model, make_pool, say

pytestmark = pytest.mark.process
CARD, OTHER_CARD = "GPU-aaaa", "GPU-bbbb"


@dataclass
class Rig:
    loader: Loader
    pool: WorkerPool
    sampler: Sampler
    journal: Journal
    driver: FakeWorld
    settings: dict
    events: list = field(default_factory=list)
    lost: list = field(default_factory=list)

    async def load(self, model, size_bytes=GIB, *, load_id=1, uuid=CARD, others=()):
        """Carry out a load as the core would order it; the event that it ends with."""
        shares = (Share(uuid, size_bytes), *others)
        placed = PlacedOn(shares, Rung.FULL, (), "a test wants it")
        device = find_device((await self.sampler.refresh()).snapshots, uuid)
        await self.loader.load(StartLoad(model, load_id, placed), device)
        return next(e for e in reversed(self.events) if e.load_id == load_id)

    async def unload(self, model, *, load_id=1, uuid=CARD):
        await self.loader.unload(StartUnload(model, load_id, uuid, "a test wants it"))
        return self.events[-1]

    async def collect(self, model, text="hello"):
        return [part async for part in self.pool.process(model).run(model, say(text))]

    async def used_bytes(self, uuid=CARD):
        return find_device((await self.sampler.refresh()).snapshots, uuid).used_bytes

    async def states(self):
        return {
            (r.model, r.device_uuid, r.size_bytes, r.state) for r in await self.journal.leases()
        }


@pytest.fixture
async def rig(driver, tmp_path):
    async with made_rig(driver, tmp_path, ("a", "b", "own"), {"own": "echo:own"}) as rig:
        yield rig


@asynccontextmanager
async def made_rig(driver, folder, names, workers):
    models = tuple(echo_model(n, worker=workers.get(n, "echo")) for n in names)
    settings = {n: {"card_folder": str(driver.folder), "card_bytes": GIB} for n in names}
    limits = WorkerLimits(stop_s=2, heartbeat_s=0.1, back_s=0.5)
    telemetry = NvmlTelemetry()
    sampler = Sampler(telemetry)
    events = []
    async with open_journal(folder / "journal.db") as journal:
        pool = make_pool(models, settings, journal, None, limits)
        rig = Rig(
            Loader(pool, sampler, events.append), pool, sampler, journal, driver, settings, events
        )
        pool.on_lost = lambda worker, uuid, reason, *, out_of_memory=False: rig.lost.append(
            (worker, uuid, out_of_memory)
        )
        try:
            yield rig
        finally:
            await pool.close()
            driver.tell()
            await telemetry.close()


async def test_a_load_tells_what_the_driver_measured_and_how_long_it_took(rig):
    event = await rig.load("a", 2 * GIB)
    assert isinstance(event, LoadFinished)
    assert dict(event.measured) == {CARD: GIB}
    assert event.seconds > 0
    assert find_device(event.snapshots, CARD).used_bytes == 2 * GIB
    assert await rig.states() == {("a", CARD, GIB, LeaseState.RESIDENT)}


async def test_the_second_model_of_a_process_is_measured_by_itself(rig):
    await rig.load("a")
    rig.settings["b"]["card_bytes"] = 300 * MIB
    event = await rig.load("b", load_id=2)
    assert dict(event.measured) == {CARD: 300 * MIB}
    assert len(rig.pool.pids()) == 1


async def test_a_load_that_no_longer_fits_touches_nothing(rig):
    rig.driver.cards[1].free_bytes = GIB - 1
    rig.driver.save()
    event = await rig.load("a", GIB)
    assert isinstance(event, LoadFailed)
    assert event.cause is LoadFailure.TOO_FULL
    assert "1.0 GiB were booked" in event.reason
    assert rig.pool.pids() == frozenset()
    assert await rig.journal.workers() == ()
    assert await rig.journal.leases() == ()


async def test_room_that_an_earlier_load_will_take_is_not_free(rig):
    rig.settings["a"] |= {"card_bytes": 7 * GIB, "card_s": 1.0}
    first = asyncio.create_task(rig.load("a", 7 * GIB, load_id=1))
    while not await rig.journal.leases():
        await asyncio.sleep(0.01)
    second = await rig.load("own", 7 * GIB, load_id=2)
    assert second.cause is LoadFailure.TOO_FULL
    assert "promised to other loads" in second.reason
    assert isinstance(await first, LoadFinished)


async def test_what_an_earlier_load_has_taken_already_is_not_counted_twice(rig):
    rig.settings["a"] |= {"card_bytes": 6 * GIB, "card_s": 3.0}
    first = asyncio.create_task(rig.load("a", 6 * GIB, load_id=1))
    while await rig.used_bytes() < 3 * GIB:  # half of it is there; 11 GiB were free
        await asyncio.sleep(0.01)
    second = await rig.load("own", 5 * GIB, load_id=2)
    assert isinstance(second, LoadFinished)
    assert isinstance(await first, LoadFinished)


async def test_host_ram_that_is_not_there_stops_a_load_too(rig):
    event = await rig.load("a", others=(Share("cpu", 10_000 * GIB),))
    assert event.cause is LoadFailure.TOO_FULL
    assert event.reason.startswith("cpu has ")


async def test_nothing_is_loaded_on_a_card_while_the_driver_is_silent(rig):
    await rig.sampler.refresh()
    rig.driver.tell("error * 9")
    device = find_device(rig.sampler.reading.snapshots, CARD)
    placed = PlacedOn((Share(CARD, GIB),), Rung.FULL, (), "a test wants it")
    await rig.loader.load(StartLoad("a", 1, placed), device)
    assert rig.events[-1].cause is LoadFailure.ERROR
    assert "unseen" in rig.events[-1].reason
    assert rig.pool.pids() == frozenset()


async def test_an_unload_ends_the_process_and_the_bytes_are_back(rig):
    await rig.load("a")
    (pid,) = rig.pool.pids()
    event = await rig.unload("a")
    assert (event.lost, find_device(event.snapshots, CARD).used_bytes) == ((), GIB)
    assert not psutil.pid_exists(pid)
    assert await rig.journal.leases() == ()
    assert await rig.journal.workers() == ()


async def test_bytes_that_the_driver_keeps_after_the_process_ended_are_reported_as_lost(rig):
    await rig.load("a")
    (pid,) = rig.pool.pids()
    rig.driver.tell(f"process {CARD} compute {pid} {GIB // 2}")
    event = await rig.unload("a")
    assert isinstance(event, UnloadFinished)
    assert event.lost == ((CARD, GIB // 2),)
    assert await rig.states() == {("a", CARD, GIB // 2, LeaseState.QUARANTINED)}
    assert "did not come back" in rig.loader.decisions[-1].text


async def test_a_tenth_that_stays_is_no_loss(rig):
    await rig.load("a")
    (pid,) = rig.pool.pids()
    rig.driver.tell(f"process {CARD} compute {pid} {GIB // 11}")
    assert (await rig.unload("a")).lost == ()


async def test_one_of_two_models_gives_its_bytes_back_and_the_other_goes_on(rig):
    await rig.load("a", load_id=1)
    await rig.load("b", load_id=2)
    event = await rig.unload("a")
    assert event.lost == ()
    assert await rig.used_bytes() == 2 * GIB
    assert (await rig.collect("b"))[0].text == "hello"
    assert rig.lost == []


async def test_an_idle_process_that_keeps_a_models_bytes_is_ended(rig):
    rig.settings["a"]["card_keeps"] = True
    await rig.load("a", load_id=1)
    await rig.load("b", load_id=2)
    event = await rig.unload("a")
    assert event.lost == ()
    assert await rig.used_bytes() == GIB
    assert rig.lost == [("echo", CARD, False)]
    assert rig.pool.pids() == frozenset()


async def test_a_busy_process_that_keeps_bytes_goes_on_and_they_are_reported(rig):
    rig.settings["a"]["card_keeps"] = True
    rig.settings["b"]["word_s"] = 0.3
    await rig.load("a", load_id=1)
    await rig.load("b", load_id=2)
    answer = asyncio.create_task(rig.collect("b", "one two three four five six seven"))
    while not rig.pool.process("b").busy_models:
        await asyncio.sleep(0.01)
    event = await rig.unload("a")
    assert event.lost == ((CARD, GIB),)
    assert len(await answer) == 8
    assert rig.lost == []


async def test_where_the_driver_does_not_say_what_a_process_holds_nothing_is_concluded(rig):
    rig.settings["a"]["card_folder"] = None
    event = await rig.load("a")
    (pid,) = rig.pool.pids()
    rig.driver.tell(f"process {CARD} compute {pid} na")
    await rig.load("b", load_id=2)
    assert event.measured == ()
    assert (await rig.unload("b", load_id=2)).lost == ()
    assert (await rig.unload("a")).lost == ()


@pytest.mark.parametrize("dies", [False, True], ids=["told", "crashed"])
async def test_running_out_while_loading_says_so_and_leaves_nothing(rig, dies):
    rig.settings["own"] |= {"load_room": 0, "dies": dies}
    event = await rig.load("own")
    assert event.cause is LoadFailure.OUT_OF_MEMORY
    assert rig.pool.pids() == frozenset()
    assert await rig.used_bytes() == GIB
    assert await rig.journal.workers() == ()
    assert await rig.journal.leases() == ()


async def test_a_model_that_runs_out_in_a_request_takes_no_other_down(rig):
    rig.settings["own"] |= {"run_room": 0, "dies": True}
    await rig.load("own", load_id=1)
    await rig.load("a", load_id=2)
    with pytest.raises(OutOfMemory, match="CUDA error: out of memory"):
        await rig.collect("own")
    assert rig.lost == [("echo:own", CARD, True)]
    assert (await rig.collect("a"))[0].text == "hello"
    with pytest.raises(WorkerDied):
        rig.pool.process("own")
    assert {r.model for r in await rig.journal.leases()} == {"a"}


async def test_a_load_that_fails_in_a_shared_process_leaves_the_others_alone(rig):
    await rig.load("a", load_id=1)
    rig.settings["b"]["load"] = "refuse"
    event = await rig.load("b", load_id=2)
    assert event.cause is LoadFailure.ERROR
    assert (await rig.collect("a"))[0].text == "hello"


async def test_the_late_end_of_a_worker_that_was_given_up_does_not_touch_its_successor(rig):
    await rig.load("own", load_id=1)
    first = rig.pool.process("own")
    rig.pool.forget(first, "it was given up")
    await rig.load("own", load_id=2)
    psutil.Process(first.pid).kill()
    await first.wait_exit()
    assert (await rig.collect("own"))[0].text == "hello"
    assert rig.lost == [("echo:own", CARD, False)]


async def test_the_journal_knows_a_process_before_it_can_hold_anything(rig):
    rig.settings["a"]["card_s"] = 1.0
    load = asyncio.create_task(rig.load("a"))
    while await rig.used_bytes() == GIB:
        await asyncio.sleep(0.01)
    (row,) = await rig.journal.workers()
    assert row.process.pid in rig.pool.pids()
    assert {state for *_, state in await rig.states()} == {LeaseState.CLAIMED}
    await load
