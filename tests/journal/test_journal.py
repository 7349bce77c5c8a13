"""What is on disk about worker processes and leases; and that a damaged file stops nothing."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from dataclasses import replace

import pytest

from danzar.broker.identity import ProcessIdentity, identify, is_alive
from danzar.broker.journal import LeaseRow, open_journal
from danzar.core.book import LeaseState
from danzar.errors import StoreFailed

LEASE = LeaseRow(1, "GPU-a", "chat", "llama:chat", "GPU-a", 5, LeaseState.CLAIMED)


@pytest.fixture
def ended():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def sleeper():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process.pid
    process.kill()
    process.wait()


async def test_what_is_written_is_there_for_the_next_start(tmp_path, sleeper):
    async with open_journal(tmp_path / "j.db") as journal:
        await journal.note_worker(sleeper, "llama:chat", "GPU-a")
        await journal.note_leases([LEASE])
    async with open_journal(tmp_path / "j.db") as journal:
        (row,) = await journal.workers()
        assert (row.process, row.owner) == (identify(sleeper), identify(os.getpid()))
        assert (row.worker, row.device_uuid) == ("llama:chat", "GPU-a")
        assert await journal.leases() == (LEASE,)


async def test_a_lease_has_one_row_whose_state_follows_it(tmp_path):
    async with open_journal(tmp_path / "j.db") as journal:
        await journal.note_leases([LEASE, replace(LEASE, device_uuid="cpu")])
        resident = replace(LEASE, size_bytes=7, state=LeaseState.RESIDENT)
        await journal.note_leases([resident])
        assert resident in await journal.leases()
        assert len(await journal.leases()) == 2
        journal.strike_load(1)
        assert await journal.leases() == ()


async def test_a_lost_worker_takes_its_leases_along_but_not_a_load_under_way(tmp_path):
    other = replace(LEASE, load_id=3, worker="torch", state=LeaseState.RESIDENT)
    async with open_journal(tmp_path / "j.db") as journal:
        held = replace(LEASE, load_id=2, state=LeaseState.RESIDENT)
        await journal.note_leases([LEASE, held, other])
        journal.strike_hosted("llama:chat", "GPU-a")
        assert set(await journal.leases()) == {LEASE, other}


async def test_a_struck_worker_is_gone_from_it(tmp_path, sleeper):
    async with open_journal(tmp_path / "j.db") as journal:
        await journal.note_worker(sleeper, "torch", "GPU-a")
        journal.strike_worker(sleeper)
        assert await journal.workers() == ()


async def test_a_process_that_has_died_already_is_not_written_down(tmp_path, ended):
    async with open_journal(tmp_path / "j.db") as journal:
        await journal.note_worker(ended, "torch", "GPU-a")
        assert await journal.workers() == ()


async def test_after_another_start_of_the_machine_nothing_of_it_counts(tmp_path, sleeper):
    async with open_journal(tmp_path / "j.db") as journal:
        await journal.note_worker(sleeper, "torch", "GPU-a")
        await journal.note_leases([LEASE])
    with sqlite3.connect(tmp_path / "j.db") as connection:
        connection.execute("UPDATE boot SET id = 'yesterday'")
    connection.close()
    async with open_journal(tmp_path / "j.db") as journal:
        assert await journal.workers() == ()
        assert await journal.leases() == ()


async def test_a_damaged_file_is_begun_anew(tmp_path, caplog):
    (tmp_path / "j.db").write_bytes(b"no database" * 1000)
    async with open_journal(tmp_path / "j.db") as journal:
        assert await journal.workers() == ()
        await journal.note_leases([LEASE])
        assert await journal.leases() == (LEASE,)
    assert "begun anew" in caplog.text


async def test_a_path_that_cannot_be_opened_is_told(tmp_path):
    (tmp_path / "j.db").mkdir()
    with pytest.raises(StoreFailed, match=r"j\.db"):
        async with open_journal(tmp_path / "j.db"):
            pass


async def test_a_write_that_fails_is_told_and_stops_nothing(tmp_path, caplog):
    async with open_journal(tmp_path / "j.db") as journal:
        with sqlite3.connect(tmp_path / "j.db") as connection:
            connection.execute("DROP TABLE leases")
        connection.close()
        await journal.note_leases([LEASE])
        with pytest.raises(StoreFailed):
            await journal.leases()
    assert "can't be written" in caplog.text


async def test_a_commit_does_not_block_the_loop(tmp_path):
    async with open_journal(tmp_path / "j.db") as journal:
        lock = sqlite3.connect(tmp_path / "j.db", isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        writing = asyncio.create_task(journal.note_leases([LEASE]))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not writing.done()  # another program has the file; the loop went round all the same
        lock.execute("ROLLBACK")
        lock.close()
        await writing
        assert await journal.leases() == (LEASE,)


def test_a_process_id_that_is_used_again_means_another_process(sleeper):
    real = identify(sleeper)
    assert is_alive(real)
    assert not is_alive(ProcessIdentity(real.pid, real.started + "0"))
    assert ProcessIdentity.parse(str(real)) == real


def test_a_process_that_was_killed_but_not_waited_for_is_gone():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    real = identify(process.pid)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(real)
    process.wait()
