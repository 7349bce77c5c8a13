"""Orphaned workers of an earlier run are ended, and only those."""

import subprocess
import sys

import pytest

from danzar.broker.identity import ProcessIdentity, identify, is_alive
from danzar.broker.journal import LeaseRow, open_journal
from danzar.broker.leftovers import reap_leftovers
from danzar.core.book import LeaseState
from danzar.core.device import DeviceKind, DeviceSnapshot, ProcessUse
from danzar.telemetry.sampler import Sampler

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals"),
]
SLEEP = "import time; print(flush=True); time.sleep(60)"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEP
PARENT = (
    "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; "
    "time.sleep(60)']); print(p.pid, flush=True); p.wait()"
)
DEAD_OWNER = "999999999@1"


class Driver:
    """What a driver shows: first what it is told, then nothing."""

    def __init__(self, *readings):
        self.readings = list(readings)

    async def sample(self):
        processes = self.readings.pop(0) if len(self.readings) > 1 else self.readings[0]
        figures = (12, 11, 1, None, None, None)
        return (
            DeviceSnapshot(
                "GPU-a", 0, "A", DeviceKind.CUDA, *figures, tuple(processes), False, sampled_at_s=0
            ),
        )

    async def close(self):
        pass


@pytest.fixture
def spawn():
    started = []

    def run(code):
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        started.append(process)
        process.said = process.stdout.readline().strip()
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
async def journal(tmp_path):
    async with open_journal(tmp_path / "journal.db") as journal:
        yield journal


async def orphan(journal, process, owner=DEAD_OWNER):
    """Write a process down as the worker of a bot that is gone."""
    journal._owner = owner
    await journal.note_worker(process.pid, "echo", "GPU-a")
    row = LeaseRow(process.pid, "GPU-a", "m", "echo", "GPU-a", 5, LeaseState.RESIDENT)
    await journal.note_leases([row])


def sampler(*readings):
    return Sampler(Driver(*readings or ([],)))


@pytest.mark.parametrize("code", [SLEEP, DEAF], ids=["at the first word", "by force"])
async def test_an_orphan_is_ended_and_struck_out_with_its_leases(journal, spawn, code):
    process = spawn(code)
    await orphan(journal, process)
    found = await reap_leftovers(journal, sampler())
    assert [row.process.pid for row in found.reaped] == [process.pid]
    assert identify(process.pid) is None
    assert await journal.workers() == ()
    assert await journal.leases() == ()


async def test_what_an_orphan_started_goes_with_it(journal, spawn):
    process = spawn(PARENT)
    child = identify(int(process.said))
    await orphan(journal, process)
    await reap_leftovers(journal, sampler())
    assert not is_alive(child)


async def test_an_orphan_that_ended_by_itself_is_struck_out(journal, spawn):
    process = spawn(SLEEP)
    await orphan(journal, process)
    process.kill()
    process.wait()
    found = await reap_leftovers(journal, sampler())
    assert [row.process.pid for row in found.gone] == [process.pid]
    assert (found.reaped, await journal.workers()) == ((), ())


async def test_a_stranger_with_a_used_process_id_is_left_alone(journal, spawn, tmp_path):
    process = spawn(SLEEP)
    await orphan(journal, process)
    (row,) = await journal.workers()
    wrong = ProcessIdentity(row.process.pid, row.process.started + "0")
    await journal.strike_gone([row])
    await journal._read(f"INSERT INTO workers VALUES ('{DEAD_OWNER}', '{wrong}', 1, 'e', 'G')")
    found = await reap_leftovers(journal, sampler())
    assert [row.process for row in found.gone] == [wrong]
    assert process.poll() is None


async def test_the_workers_of_a_bot_that_lives_are_left_alone(journal, spawn):
    process, owner = spawn(SLEEP), spawn(SLEEP)
    await orphan(journal, process, str(identify(owner.pid)))
    assert (await reap_leftovers(journal, sampler())).reaped == ()
    assert process.poll() is None
    assert len(await journal.workers()) == len(await journal.leases()) == 1


async def test_it_waits_until_the_driver_shows_the_bytes_as_free(journal, spawn):
    process = spawn(SLEEP)
    await orphan(journal, process)
    held = ProcessUse(process.pid, "python", 4)
    found = await reap_leftovers(journal, sampler([held], [held], []))
    assert found.still_held == ()


async def test_bytes_that_the_driver_keeps_are_told(journal, spawn, monkeypatch, caplog):
    monkeypatch.setattr("danzar.broker.leftovers._DRIVER_S", 0.0)
    process = spawn(SLEEP)
    await orphan(journal, process)
    found = await reap_leftovers(journal, sampler([ProcessUse(process.pid, "python", 4)]))
    assert found.still_held == (("GPU-a", 4),)
    assert "still shows 4 bytes" in caplog.text


async def test_with_nothing_left_nothing_is_done(journal):
    found = await reap_leftovers(journal, sampler())
    assert (found.reaped, found.gone, found.stuck) == ((), (), ())
