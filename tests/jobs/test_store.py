"""What is on disk about jobs."""

import asyncio
import sqlite3
from contextlib import closing

import pytest

from danzar.errors import StoreFailed
from danzar.jobs.contract import JobState
from danzar.jobs.order import score
from danzar.jobs.record import JobRecord, Standing, new_id
from danzar.jobs.store import Ended, JobStore
from tests.jobs.helpers import wish


def record(at=1.0, **envelope):
    deadline_s = envelope.get("deadline_s")
    deadline_at = None if deadline_s is None else at + deadline_s
    return JobRecord(new_id(), wish(**envelope), "home", at, score(at, 0, 1.0), deadline_at, 60.0)


def end_of(job, *, at=2.0, state=JobState.COMPLETED, output=b"out", forget_at=100.0):
    return Ended(job.job_id, Standing(state, 1, ended_at=at), output, forget_at)


@pytest.fixture
async def store(tmp_path):
    async with JobStore.open(tmp_path / "jobs.db") as store:
        yield store


async def test_what_was_accepted_is_there_after_a_restart(tmp_path):
    job = record(owner="me")
    async with JobStore.open(tmp_path / "jobs.db") as store:
        home = store.home
        await store.accept(job)
        await store.started(job.job_id, 3)
    async with JobStore.open(tmp_path / "jobs.db") as store:
        assert store.home == home
        (kept,) = await store.open_jobs("", 10)
        assert (kept.record, kept.attempt, kept.standing) == (job, 3, None)
        assert kept.view.owner == "me"


async def test_a_job_ends_once_and_the_first_end_stays(store):
    job = record()
    await store.accept(job)
    ends = [end_of(job, state=JobState.CANCELLED, output=None), end_of(job), end_of(job)]
    assert await asyncio.gather(*map(store.end, ends)) == [True, False, False]
    assert (await store.find(job.job_id)).standing.state is JobState.CANCELLED
    assert (await store.output(job.job_id))[1] is None
    assert await store.open_jobs("", 10) == []


async def test_an_unknown_job_does_not_end(store):
    assert not await store.end(end_of(record()))
    assert await store.find("x") is None


async def test_counts_are_by_owner(store):
    for owner in ("me", "me", None):
        await store.accept(record(owner=owner))
    counts = [await store.unfinished(owner) for owner in ("me", "you", None)]
    assert counts == [2, 0, 1]
    assert await store.unfinished(of_all=True) == 3


async def test_late_jobs_are_found(store):
    late, soon, never = record(deadline_s=5.0), record(deadline_s=50.0), record()
    for job in (late, soon, never):
        await store.accept(job)
    assert await store.next_deadline() == 6.0
    assert [kept.record for kept in await store.late_jobs(7.0, 10)] == [late]


async def test_what_is_old_or_too_large_together_is_forgotten(store):
    jobs = [record(at) for at in (1.0, 2.0, 3.0, 4.0)]
    for number, job in enumerate(jobs):
        await store.accept(job)
        forget_at = 10.0 if number == 3 else 100.0
        await store.end(end_of(job, at=number + 1.0, output=b"x" * 100, forget_at=forget_at))
    await store.forget(50.0, 250)
    assert await store.find(jobs[3].job_id) is None
    kept = [(await store.output(job.job_id) or (None, None))[1] is not None for job in jobs]
    assert kept == [False, True, True, False]
    assert await store.find(jobs[0].job_id) is not None


async def test_a_second_process_on_the_same_list_is_refused(store, tmp_path):
    with pytest.raises(StoreFailed, match="another Danzar runs with the data folder"):
        async with JobStore.open(tmp_path / "jobs.db"):
            pass


async def test_a_damaged_list_is_moved_aside(tmp_path):
    (tmp_path / "jobs.db").write_bytes(b"no database at all, but long enough to be one" * 100)
    async with JobStore.open(tmp_path / "jobs.db") as store:
        await store.accept(record())
    assert len(list(tmp_path.glob("jobs.db.damaged-*"))) == 1


async def test_a_list_of_a_newer_danzar_is_refused(tmp_path):
    connection = sqlite3.connect(tmp_path / "jobs.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreFailed, match="newer Danzar"):
        async with JobStore.open(tmp_path / "jobs.db"):
            pass


async def test_nobody_reads_what_is_not_committed(store, tmp_path):
    job = record()
    with closing(sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO jobs (job_id, submitted_at, record) VALUES ('x', 1, x'00')")
        assert await store.find("x") is None
        connection.execute("ROLLBACK")
    await store.accept(job)
    assert await store.find(job.job_id) is not None
