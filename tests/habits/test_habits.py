"""What was learned survives a restart, in a file that stays small and knows nobody."""

import sqlite3

import pytest

from danzar.broker.habit_rows import read_rows, rows_of
from danzar.broker.habits import HabitFile
from danzar.core.events import HintGiven, JobEnded, JobSubmitted, SnapshotsTaken, Tick
from danzar.core.model import Job
from danzar.core.prediction_days import DAY_S
from danzar.core.prediction_hints import HintKind
from tests.core.worlds import gpu, host, make_scheduler, model

NOON_S = 20_000 * DAY_S + 12 * 3600.0


def scheduler_of(*names):
    scheduler = make_scheduler(*(model(name, 2) for name in names))
    scheduler.handle(SnapshotsTaken((gpu(), host())), 0.0)
    return scheduler


def lived(days=5):
    """A scheduler whose ``yolo`` was used each noon, and ``chat`` after it."""
    scheduler = scheduler_of("yolo", "chat")
    job_id = 0
    for day in range(days):
        now_s = day * DAY_S
        for name in ("yolo", "chat"):
            job_id += 1
            scheduler.handle(Tick(NOON_S + now_s), now_s)
            scheduler.handle(JobSubmitted(Job(job_id, name, now_s)), now_s)
            scheduler.handle(JobEnded(job_id, name, succeeded=False), now_s)
    scheduler.handle(HintGiven("chat", HintKind.TYPING), now_s)
    scheduler.handle(JobSubmitted(Job(99, "chat", now_s)), now_s)
    return scheduler, now_s


async def test_after_a_restart_the_same_is_expected(tmp_path):
    before, now_s = lived()
    async with HabitFile.open(tmp_path / "data" / "habits.db") as file:
        await file.save(before.state, now_s)
    after = scheduler_of("chat", "yolo")
    async with HabitFile.open(tmp_path / "data" / "habits.db") as file:
        await file.restore(after.state, 3.0)
    old, new = before.state.habits, after.state.habits
    assert new.used == old.used
    assert new.observed == old.observed
    assert new.anyone == old.anyone
    assert new.follows.companions("yolo", 0.5) == ("chat",)
    assert new.hints.records["chat", HintKind.TYPING].given == 1.0
    assert after.state.prefetches.by_model == before.state.prefetches.by_model
    usages = [s.instances["chat"].usage for s in (before, after)]
    assert usages[0].gaps == usages[1].gaps
    assert usages[1].use_probability(63.0) == pytest.approx(
        usages[0].use_probability(now_s + 60.0), abs=0.05
    )


async def test_only_what_changed_is_written_and_old_days_go(tmp_path):
    scheduler, now_s = lived(3)
    async with HabitFile.open(tmp_path / "habits.db") as file:
        await file.save(scheduler.state, now_s)
        for day in range(3, 60):
            scheduler.handle(Tick(NOON_S + day * DAY_S), day * DAY_S)
        await file.save(scheduler.state, 60 * DAY_S)
    with sqlite3.connect(tmp_path / "habits.db") as connection:
        days = connection.execute("SELECT COUNT(*) FROM habits WHERE kind = 'observed'").fetchone()
    connection.close()
    assert days == (28,)


async def test_the_file_knows_models_and_times_only(tmp_path):
    scheduler, now_s = lived()
    kinds = {key[0] for key in rows_of(scheduler.state, now_s, NOON_S)}
    names = {key[1] for key in rows_of(scheduler.state, now_s, NOON_S)}
    assert kinds <= {
        "price", "observed", "used", "trials", "follows", "hint", "source", "account", "uses",
    }  # fmt: skip
    assert names <= {"", "yolo", "chat", "hour", "rhythm", "after", "hint"}


async def test_a_damaged_file_begins_anew(tmp_path):
    path = tmp_path / "habits.db"
    path.write_bytes(b"no database at all " * 500)
    scheduler, now_s = lived()
    async with HabitFile.open(path) as file:
        await file.restore(scheduler_of("chat").state, 0.0)
        await file.save(scheduler.state, now_s)
    async with HabitFile.open(path) as file:
        again = scheduler_of("chat", "yolo")
        await file.restore(again.state, 0.0)
    assert again.state.habits.used.keys() == {"chat", "yolo"}


def test_models_that_are_gone_and_rows_that_are_broken_are_left_out():
    scheduler, now_s = lived()
    rows = rows_of(scheduler.state, now_s, NOON_S)
    rows["used", "chat", "abc"] = b"{"
    rows["hint", "chat", "telepathy"] = b"[1,1]"
    rows["nonsense", "chat", ""] = b"1"
    state = scheduler_of("chat").state
    read_rows(rows, state, 0.0, NOON_S)
    assert state.habits.used.keys() == {"chat"}
    assert "yolo" not in state.habits.follows.trials
