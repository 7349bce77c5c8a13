"""Databases of earlier versions are upgraded, and kept as they were."""

import sqlite3
from contextlib import closing

import pytest

from danzar.errors import StoreFailed
from danzar.maintenance.databases import version_of
from danzar.maintenance.errors import BackupFailed
from danzar.store import Store, upgrade
from danzar.store_schema import MIGRATIONS

NEWEST = len(MIGRATIONS)
# As version 1 made it, word for word: what is released never changes.
VERSION_1 = """
    CREATE TABLE messages (
        channel_id INTEGER NOT NULL,
        turn_id INTEGER NOT NULL,
        role TEXT NOT NULL CHECK (role IN ('user', 'assistant')),
        author TEXT NOT NULL,
        text TEXT NOT NULL,
        facts TEXT NOT NULL,
        stopped INTEGER NOT NULL DEFAULT 0,
        created_at_s REAL NOT NULL,
        PRIMARY KEY (channel_id, turn_id, role)
    ) WITHOUT ROWID;
    CREATE TABLE audit (
        id INTEGER PRIMARY KEY,
        actor TEXT NOT NULL,
        action TEXT NOT NULL,
        detail TEXT NOT NULL,
        at_s REAL NOT NULL
    );
    PRAGMA user_version = 1;
"""


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "danzar.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(VERSION_1)
        connection.execute("INSERT INTO messages VALUES (7, 1, 'user', 'ann', 'hello', '', 0, 1.0)")
        connection.execute("INSERT INTO audit VALUES (1, 'ann', 'chat.reset', '3 messages', 2.0)")
    return path


def test_the_first_step_still_makes_what_version_1_was(tmp_path):
    """Else databases made by it, and the one above, would not be the same any more."""
    tables = []
    for file, script in (("a.db", VERSION_1), ("b.db", ";".join(MIGRATIONS[0]))):
        with closing(sqlite3.connect(tmp_path / file, isolation_level=None)) as connection:
            connection.executescript(script)
            sql = "SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name"
            tables.append([(n, " ".join(s.split())) for n, s in connection.execute(sql)])
    assert tables[0] == tables[1]


async def test_a_database_of_version_1_is_upgraded_with_all_that_is_in_it(old):
    async with Store.open(old, keep_messages=10) as store:
        (message,) = await store.history(7, before_turn=99, limit=10)
        assert (message.author, message.text) == ("ann", "hello")
        (entry,) = await store.recent_audit(10)
        assert entry.detail == "3 messages"
        await store.audit("bob", "x", "y")
    assert version_of(old) == NEWEST


async def test_it_is_kept_as_it_was_and_an_older_danzar_can_go_on_with_that(old):
    async with Store.open(old, keep_messages=10) as store:
        await store.reset(7)
    copy = old.with_name("danzar.db.before-v2")
    assert version_of(copy) == 1
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT text FROM messages").fetchall() == [("hello",)]


async def test_what_is_new_or_up_to_date_is_not_copied(tmp_path):
    path = tmp_path / "danzar.db"
    for _ in range(2):
        async with Store.open(path, keep_messages=10):
            pass
    assert not list(tmp_path.glob("*.before-*"))


def test_where_it_can_not_be_kept_it_is_not_upgraded(old):
    old.with_name("danzar.db.before-v2").mkdir()
    with pytest.raises(BackupFailed):
        upgrade(old)
    assert version_of(old) == 1


async def test_a_database_of_a_newer_danzar_is_left_alone(old):
    with closing(sqlite3.connect(old)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreFailed, match="update Danzar"):
        async with Store.open(old, keep_messages=10):
            pass
    assert version_of(old) == 99
