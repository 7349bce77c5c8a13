"""What is kept, found again, given back and never left behind: real processes, real memory."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import uuid
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from danzar.core.device import ProcessUse
from danzar.core.events import WarmGone
from danzar.core.reload import LoadWay, ProcessFrom
from danzar.core.state import SchedulerRules
from danzar.core.warm_items import WarmRules, standby_of
from danzar.units import MIB
from danzar.workers.segment import NAME, SUPPORTED
from tests.manager.worlds import echo_model
from tests.warm.echo_bot import KEPT, Bot, echo_bot, keepable, until

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not SUPPORTED, reason="this system has no segments"),
]


MARK = "DANZAR_TEST_FAMILY"


@pytest.fixture(autouse=True)
def family(monkeypatch):
    """Marks all processes that a test starts: another Danzar on this machine has segments, too."""
    monkeypatch.setenv(MARK, str(uuid.uuid4()))


def is_ours(process):
    mark = f"{MARK}={os.environ[MARK]}".encode()
    return process.name == str(os.getpid()) or mark in (process / "environ").read_bytes()


def open_segments():
    """``(process id, file)`` of the open segments of this test's processes."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if is_ours(process):
                yield from segments_of(process)


def segments_of(process):
    for file in process.glob("fd/*"):
        with contextlib.suppress(OSError):
            if NAME in str(file.readlink()):
                yield int(process.name), file


def segments():
    """Who holds segments."""
    return [pid for pid, _ in open_segments()]


def inodes():
    """Which segments there are."""
    return [file.stat().st_ino for _, file in open_segments()]


def standby_is_there(bot: Bot):
    return bot.phases().get("echo standby") == "kept"


async def test_a_model_that_was_unloaded_comes_back_from_host_ram():
    async with echo_bot(keepable("first")) as bot:
        await bot.cycle("first")
        assert bot.warm() == {"first": KEPT}

        await bot.manager.load("first")

        assert bot.way("first") == LoadWay(warm=True, process=ProcessFrom.NEW)
        loads = bot.manager.scheduler.instances["first"].usage.loads.by_way
        assert set(loads) == {LoadWay(), LoadWay(warm=True)}


async def test_a_copy_beside_a_card_stays_so_that_the_next_unload_has_nothing_to_write():
    async with echo_bot(keepable("first")) as bot:
        await bot.cycle("first")
        (before,) = inodes()
        await bot.cycle("first")

        assert bot.warm() == {"first": KEPT}
        assert inodes() == [before]


async def test_a_copy_of_other_settings_is_not_used():
    async with echo_bot(keepable("first")) as bot:
        await bot.cycle("first")
        bot.settings["first"] = {"keep_bytes": KEPT, "word_s": 0.001}

        await bot.manager.load("first")

        assert bot.way("first") == LoadWay(warm=False, process=ProcessFrom.NEW)
        await until(lambda: not bot.warm())


async def test_the_budget_is_kept_by_the_memory_itself():
    models = [keepable(name) for name in ("first", "second", "third")]
    async with echo_bot(*models, budget=2 * KEPT) as bot:
        await bot.cycle("first", "second", "third")
        await until(lambda: "dropping" not in bot.phases().values())

        assert sum(bot.warm().values()) <= 2 * KEPT
        assert len(segments()) == len(bot.warm())


async def test_a_budget_of_zero_gives_everything_back():
    async with echo_bot(keepable("first")) as bot:
        await bot.cycle("first")
        bot.manager.change_rules(SchedulerRules(warm=WarmRules(0)))

        await until(lambda: not bot.warm())
        assert segments() == []


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"keep_bytes": 0}, id="it can't be kept"),
        pytest.param({"keep_bytes": 2 * KEPT}, id="it takes more than was booked"),
    ],
)
async def test_what_could_not_be_kept_is_loaded_cold(settings):
    async with echo_bot(keepable("first"), settings={"first": settings}) as bot:
        await bot.cycle("first")
        assert bot.warm() == {}
        assert segments() == []

        await bot.manager.load("first")
        assert bot.way("first") == LoadWay()


async def test_a_worker_that_dies_while_it_keeps_leaves_nothing():
    models = (keepable("first"), echo_model("other", 0.1))
    settings = {"first": {"keep_bytes": KEPT, "keep_s": 20}}
    async with echo_bot(*models, settings=settings) as bot:
        await bot.manager.load("first")
        unloading = asyncio.create_task(bot.manager.unload("first"))
        await until(lambda: "keeping" in bot.phases().values())
        psutil.Process(next(iter(bot.manager.worker_pids()))).kill()
        await unloading

        await until(lambda: not bot.phases())
        assert bot.warm() == {}
        assert segments() == []


async def test_a_standby_takes_the_next_load():
    model = keepable("first", process_bytes=16 * MIB)
    async with echo_bot(model, standby=True, budget=512 * MIB) as bot:
        await bot.cycle("first")
        bot.manager.scheduler.state.warm.calm_since_s = -1000.0  # as if long ago
        await until(lambda: standby_is_there(bot))
        (waiting,) = bot.keeper.pids()
        assert bot.warm()["echo standby"] == pytest.approx(30 * MIB, rel=0.7)

        await bot.manager.load("first")

        assert bot.way("first") == LoadWay(warm=True, process=ProcessFrom.STANDBY)
        assert waiting in bot.manager.worker_pids()
        assert "echo standby" not in bot.phases()


async def test_a_standby_that_dies_is_forgotten_and_the_load_starts_a_process():
    model = keepable("first", process_bytes=16 * MIB)
    async with echo_bot(model, standby=True, budget=512 * MIB) as bot:
        await bot.cycle("first")
        bot.manager.scheduler.state.warm.calm_since_s = -1000.0
        await until(lambda: standby_is_there(bot))
        psutil.Process(next(iter(bot.keeper.pids()))).kill()
        await until(lambda: "echo standby" not in bot.phases())

        await bot.manager.load("first")
        assert bot.way("first") == LoadWay(warm=True, process=ProcessFrom.NEW)


async def test_a_standby_that_is_switched_off_ends():
    model = keepable("first", process_bytes=16 * MIB)
    async with echo_bot(model, standby=True, budget=512 * MIB) as bot:
        await bot.cycle("first")
        bot.manager.scheduler.state.warm.calm_since_s = -1000.0
        await until(lambda: standby_is_there(bot))
        (waiting,) = bot.keeper.pids()

        bot.manager.change_rules(SchedulerRules(warm=WarmRules(512 * MIB, standby=False)))

        await until(lambda: "echo standby" not in bot.phases())
        assert not psutil.pid_exists(waiting)


async def test_a_standby_that_holds_a_card_is_ended():
    model = keepable("first", process_bytes=16 * MIB)
    async with echo_bot(model, standby=True, budget=512 * MIB) as bot:
        await bot.cycle("first")
        bot.manager.scheduler.state.warm.calm_since_s = -1000.0
        await until(lambda: standby_is_there(bot))
        (waiting,) = bot.keeper.pids()
        card, *_ = (s for s in bot.manager.scheduler.snapshots if s.index == 0)
        shown = replace(card, simulated=False, processes=(ProcessUse(waiting, "python", MIB),))
        await bot.keeper.check((shown,))

        await until(lambda: "echo standby" not in bot.phases())
        assert not psutil.pid_exists(waiting)


async def test_nothing_is_left_when_the_bot_ends():
    async with echo_bot(keepable("first")) as bot:
        await bot.cycle("first")
        assert len(segments()) == 1
    assert segments() == []


async def test_nothing_is_left_when_the_bot_is_killed(tmp_path):
    bot = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.warm.echo_bot", str(tmp_path), stdout=subprocess.PIPE
    )
    try:
        async with asyncio.timeout(60):
            assert json.loads(await bot.stdout.readline()) == {"first": KEPT}
        assert segments() == [bot.pid]
    finally:
        bot.send_signal(signal.SIGKILL)
        await bot.wait()

    assert segments() == []
    async with echo_bot(keepable("first"), folder=tmp_path) as again:
        await again.manager.load("first")
        assert again.way("first") == LoadWay()


async def test_an_event_of_something_unknown_changes_nothing():
    async with echo_bot(keepable("first")) as bot:
        bot.keeper.post(WarmGone(standby_of("echo"), "never was there", ()))
        await bot.cycle("first")

        assert bot.warm() == {"first": KEPT}
