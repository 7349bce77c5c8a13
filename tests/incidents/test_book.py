"""The book of incidents on a real database: what outlives a restart, and what is forgotten."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from danzar.core.incident import (
    IncidentRules,
    Observation,
    OpenIncidents,
    follow_incidents,
)
from danzar.core.pressure import Level
from danzar.errors import BadInput
from danzar.incidents.book import IncidentBook, Keeping
from danzar.incidents.causes import Causes
from danzar.incidents.record import Clocks, Place
from danzar.incidents.store import IncidentStore
from danzar.store import Store
from danzar.store_schema import MIGRATIONS

RULES = IncidentRules(tell_after_s=10.0, calm_s=60.0, reopen_s=300.0)
N, W, C = Level.NORMAL, Level.WARNING, Level.CRITICAL
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


class Run:
    """One run of Danzar: its own monotonic clock, the same database."""

    def __init__(self, store: Store, began_at_s: float, keeping: Keeping) -> None:
        self.began_at_s = self.at_s = began_at_s
        self.store = IncidentStore(store.database)
        causes = Causes(lambda: (), lambda: 0.0)
        self.book = IncidentBook(self.store, causes, self.clocks, lambda: (), keeping)
        self.state = OpenIncidents({})
        self.told: list = []
        self.book.add_listener(self.hear)

    def clocks(self) -> Clocks:
        # A machine that was restarted counts from anywhere.
        return Clocks(self.at_s - self.began_at_s + 7.0, NOON + timedelta(seconds=self.at_s))

    async def hear(self, record) -> None:
        self.told.append(record)

    async def at(self, at_s: float, level: Level | None, key: str = "memory:GPU-1") -> None:
        self.at_s = at_s
        now_s = self.clocks().now_s
        seen = [] if level is None else [Observation(key, level, f"{key} at {at_s:g}")]
        self.state, changes = follow_incidents(self.state, seen, now_s, RULES)
        await self.book.follow(self.state, changes, now_s)


@asynccontextmanager
async def run_at(path, at_s: float = 0.0, **keeping) -> AsyncIterator[Run]:
    async with Store.open(path, keep_messages=10) as store:
        run = Run(store, at_s, Keeping(**keeping))
        run.state = await run.book.restore()
        yield run


@pytest.fixture
def path(tmp_path):
    return tmp_path / "danzar.db"


async def test_an_open_incident_goes_on_after_a_restart_with_its_number_times_and_message(path):
    async with run_at(path) as run:
        await run.at(0, W)
        await run.at(30, C)
        await run.book.set_place(1, Place(11, 22, "abc"))
        (before,) = run.book.open_incidents
    async with run_at(path, 60.0) as run:
        (after,) = run.book.open_incidents
        assert after == before
        assert run.book.place(1) == Place(11, 22, "abc")
        await run.at(90, C)
        (after,) = run.book.open_incidents
        assert (after.number, after.opened_at, after.worst_at) == (1, NOON, before.worst_at)
        assert after.timeline == before.timeline
        await run.at(120, N)
        await run.at(180, N)
        (closed,) = run.book.recent_incidents
        assert closed.lasted_s(NOON) == pytest.approx(120.0)
    async with run_at(path, 999.0) as run:
        await run.at(1000, W, "memory:GPU-9")
        assert [r.number for r in run.book.open_incidents] == [2]


async def test_an_incident_that_ended_while_the_bot_was_off_is_closed_with_what_is_known(path):
    async with run_at(path) as run:
        await run.at(0, W)
        await run.at(50, W)
        await run.at(61, W)
    async with run_at(path, 4000.0) as run:
        await run.at(4000, N)
        assert run.book.open_incidents == ()
        (closed,) = run.told
        assert closed.ended_unseen
        assert closed.closed_at == NOON + timedelta(seconds=61)
        assert closed.seen_at == NOON + timedelta(seconds=4000)


async def test_what_comes_back_soon_after_a_restart_is_the_same_incident(path):
    async with run_at(path) as run:
        await run.at(0, W)
        await run.at(30, W)
        await run.at(40, N)
        await run.at(100, N)
        await run.book.set_place(1, Place(11, 22, "abc"))
        assert run.book.open_incidents == ()
    async with run_at(path, 200.0) as run:
        await run.at(200, W)
        (again,) = run.book.open_incidents
        assert (again.number, again.returns) == (1, 1)
        assert run.book.place(1) == Place(11, 22, "abc")


async def test_mutes_outlive_a_restart_and_run_out(path):
    async with run_at(path) as run:
        await run.at(0, W)
        await run.at(30, W)
        await run.book.mute(1, seconds=3600, actor="ann (1)")
        assert run.told[-1].muted
    async with run_at(path, 60.0) as run:
        await run.at(60, W)
        (record,) = run.book.open_incidents
        assert (record.muted, record.muted_until) == (True, NOON + timedelta(seconds=3630))
        assert [m.actor for m in run.book.mutes] == ["ann (1)"]
        run.told.clear()
        await run.at(3700, W)
        assert [r.muted for r in run.told] == [False]


async def test_a_mute_until_the_end_ends_with_the_incident(path):
    async with run_at(path) as run:
        await run.at(0, W)
        await run.book.mute(1, seconds=None, actor="ann (1)")
        await run.at(30, N)
        await run.at(90, N)
        assert run.book.mutes == ()
        with pytest.raises(BadInput, match="is over"):
            await run.book.mute(1, seconds=None, actor="ann (1)")


async def test_what_was_not_told_is_kept_and_tells_nobody(path):
    async with run_at(path) as run:
        await run.at(0, W)
        await run.at(5, N)
        await run.at(65, N)
        assert run.told == []
        assert [(r.number, r.told) for r in run.book.recent_incidents] == [(1, False)]
        assert run.book.opened_total == {"memory": 1}


async def test_the_messages_are_brought_up_to_date_when_discord_is_there(path):
    async with run_at(path) as run:
        await run.at(0, W)
        await run.at(30, W)
        await run.book.set_place(1, Place(11, 22, "abc"))
    async with run_at(path, 60.0) as run:
        await run.book.tell_all()
        assert [r.number for r in run.told] == [1]


async def test_closed_incidents_are_forgotten_by_age_and_by_number(path):
    async with run_at(path, days=1.0, most=3) as run:
        for number in range(6):
            at_s = 1000.0 * number
            await run.at(at_s, W)
            await run.at(at_s + 10, N)
            await run.at(at_s + 70, N)
    async with run_at(path, 6000.0, days=1.0, most=3) as run:
        assert [r.number for r in run.book.recent_incidents] == [6, 5, 4]
    async with run_at(path, 200_000.0, days=1.0, most=3) as run:
        assert run.book.recent_incidents == ()
        await run.at(200_000, W)
        assert [r.number for r in run.book.open_incidents] == [7]


async def test_a_database_that_fails_stops_neither_monitoring_nor_messages(path, caplog):
    async with run_at(path) as run:
        run.store._database = _Broken()
        await run.at(0, W)
        await run.at(30, C)
        await run.book.set_place(1, Place(1, 2, "x"))
        assert [r.level for r in run.told] == [C]
    assert "not kept for after a restart" in caplog.text


class _Broken:
    """A database whose disk is full."""

    def transaction(self):
        from danzar.errors import StoreFailed

        raise StoreFailed("the disk is full")


async def test_a_listener_that_fails_stops_not_the_others(path, caplog):
    async with run_at(path) as run:

        async def broken(_record) -> None:
            raise RuntimeError("no network")

        run.book._listeners.insert(0, broken)
        await run.at(0, W)
        await run.at(30, W)
        assert len(run.told) == 1
    assert "could not be told" in caplog.text


async def test_new_figures_alone_are_told_now_and_then(path):
    async with run_at(path) as run:
        for step in range(31):
            await run.at(30.0 * step, W)
        assert 3 <= len(run.told) <= 5
        assert run.told[-1].text != run.told[0].text


# --- the database ---------------------------------------------------------------------------


async def test_a_database_of_the_first_version_is_brought_up_with_all_that_is_in_it(path):
    connection = sqlite3.connect(path)
    for statement in MIGRATIONS[0]:
        connection.execute(statement)
    connection.execute("INSERT INTO audit (actor, action, detail, at_s) VALUES ('a', 'b', 'c', 1)")
    connection.execute("PRAGMA user_version = 1")
    connection.commit()
    connection.close()
    async with Store.open(path, keep_messages=10) as store:
        assert [e.actor for e in await store.recent_audit(5)] == ["a"]
        assert await IncidentStore(store.database).last_digest() is None


async def test_a_row_of_another_version_is_left_out(path):
    async with run_at(path) as run:
        await run.at(0, W)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE incidents SET body = '{\"number\": 1}'")
    connection.commit()
    connection.close()
    async with run_at(path, 10.0) as run:
        assert run.book.open_incidents == ()
        await run.at(10, W)
        assert [r.number for r in run.book.open_incidents] == [2]


async def test_digests_are_remembered_by_day_and_bounded(path):
    async with Store.open(path, keep_messages=10) as store:
        kept = IncidentStore(store.database)
        for n in range(40):
            await kept.save_digest(date(2026, 1, 1) + timedelta(days=n), NOON)
        assert await kept.last_digest() == date(2026, 2, 9)
        assert len(await store.database.read("SELECT day FROM digests")) == 30


async def test_incidents_of_a_span_are_those_that_lasted_then(path):
    async with run_at(path) as run:
        for key, opened_s, ended_s in (("a", 0, 30), ("b", 1000, 1030), ("c", 2000, None)):
            await run.at(opened_s, W, key)
            if ended_s is not None:
                await run.at(ended_s, N, key)
                await run.at(ended_s + 60, N, key)
        found = await run.book.between(NOON + timedelta(seconds=500), NOON + timedelta(1))
        assert [r.key for r in found] == ["b", "c"]


def test_a_record_that_is_copied_is_equal(path):
    clocks = Clocks(10.0, NOON)
    assert clocks.monotonic_s(clocks.wall(3.25)) == pytest.approx(3.25)
    assert replace(clocks) == clocks
