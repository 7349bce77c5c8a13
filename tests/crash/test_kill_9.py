"""kill -9 at any moment of loads and unloads: the next start knows the truth and leaves no orphan.

Real bots with real worker processes over the real NVML code; the fake driver is fed by the workers,
so that their bytes are there exactly as long as they live.
"""

import asyncio
import json
import os
import random
import signal
import sqlite3
import sys
import time
from collections import Counter

import psutil
import pytest

from tests.fakes import nvml

pytestmark = [pytest.mark.process, pytest.mark.timeout(900)]
KILLS = int(os.environ.get("DANZAR_TEST_KILLS", "20"))
RESTORED_WITHIN_S = 5.0
NOTHING = {"GPU-aaaa": 0, "GPU-bbbb": 0}


class Bots:
    """The process that forks the bots."""

    def __init__(self, process, folder):
        self.process = process
        self.folder = folder
        self.troubles = []

    async def start(self, **how) -> int:
        self.process.stdin.write(json.dumps(how).encode() + b"\n")
        return await self.hear("pid")

    async def hear(self, what):
        """The next message of this kind."""
        while True:
            async with asyncio.timeout(30):
                line = await self.process.stdout.readline()
            message = json.loads(line)
            if what in message:
                return message[what]
            self.troubles += [message["trouble"]] if "trouble" in message else []

    async def kill(self, pid):
        os.kill(pid, signal.SIGKILL)
        assert await self.hear("ended") == pid

    def orphans(self, living_bot=None) -> list[psutil.Process]:
        """Every worker process of any of these bots but the living one."""
        mine = str(self.folder)
        return [p for p in psutil.process_iter() if _is_orphan(p, mine, living_bot)]


def _is_orphan(process, folder, living_bot) -> bool:
    try:
        return (
            process.status() != psutil.STATUS_ZOMBIE
            and process.ppid() != living_bot
            and "danzar.workers.child" in process.cmdline()
            and process.environ().get("FAKE_NVML_STATE", "").startswith(folder)
        )
    except psutil.Error:
        return False


@pytest.fixture
async def bots(tmp_path, nvml_library):
    world = nvml.seed_world(tmp_path)
    world.feed(tmp_path / "held")
    environment = nvml.child_environment(nvml_library, world)
    del environment["FAKE_NVML_LOG"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.crash.bots", str(tmp_path)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environment,
    )
    bots = Bots(process, tmp_path)
    yield bots
    process.stdin.close()
    await process.wait()
    process._transport.close()
    for worker in bots.orphans():
        worker.kill()


async def test_after_every_kill_9_the_book_equals_the_driver_and_no_orphan_lives(bots):
    dice = random.Random(2026)
    seen, slowest_s = Counter(), 0.0
    for number in range(KILLS + 1):
        if dice.random() < 0.1:  # one more kill, while it clears up after the one before
            pid = await bots.start(seed=number, stubborn=False, deaf=False, settles=False)
            await asyncio.sleep(dice.uniform(0, 0.1))
            await bots.kill(pid)
        how = {"stubborn": dice.random() < 0.5, "deaf": dice.random() < 0.1}
        settles = dice.random() < 0.2
        started_s = time.monotonic()
        pid = await bots.start(seed=number, settles=settles, **how)
        ready = await bots.hear("ready")
        assert ready["booked"] == ready["journalled"] == ready["held"] == NOTHING
        assert ready["stuck"] == 0
        # Those that had not even been told what they are end by themselves.
        while bots.orphans(pid) and time.monotonic() - started_s < RESTORED_WITHIN_S:
            await asyncio.sleep(0.05)
        slowest_s = max(slowest_s, time.monotonic() - started_s)
        assert bots.orphans(pid) == []
        if settles:
            settled = await bots.hear("settled")
            assert settled["booked"] == settled["journalled"] == settled["held"] != NOTHING
        await asyncio.sleep(dice.uniform(0, 1.2))
        await bots.kill(pid)
        seen.update(states_left(bots.folder / "journal.db"))
        seen["reaped"] += ready["reaped"]
    sys.stdout.write(f"{KILLS} kills; restored within {slowest_s:.2f} s; {dict(seen)}\n")
    assert bots.troubles == []
    assert slowest_s < RESTORED_WITHIN_S
    # The kills fell into all phases, and orphans were really there.
    phases = [seen["claimed"], seen["resident"], seen["releasing"], seen["reaped"]]
    assert KILLS < 50 or min(phases) > 0


def states_left(journal) -> list[str]:
    """In which states the leases are that a killed bot left."""
    connection = sqlite3.connect(f"file:{journal}?mode=ro", uri=True)
    try:
        return [state for (state,) in connection.execute("SELECT state FROM leases")]
    finally:
        connection.close()
