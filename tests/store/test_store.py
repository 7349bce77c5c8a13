import asyncio
import sqlite3
import sys
from types import SimpleNamespace

import pytest

from danzar import database
from danzar import store as store_module
from danzar.errors import StoreFailed
from danzar.store import Store, StoredMessage
from danzar.store_schema import MIGRATIONS

NEVER = 2**62


def turn(turn_id, *, channel_id=1, text="hello", stopped=False):
    return (
        StoredMessage(
            channel_id,
            turn_id,
            "user",
            "Alice",
            f"{text}?",
            ("Health is 7.", "Ammo is 3."),
            False,
            1.0,
        ),
        StoredMessage(channel_id, turn_id, "assistant", "Danzar", text, (), stopped, 2.0),
    )


async def texts(store, channel_id=1, *, before_turn=NEVER, limit=100):
    history = await store.history(channel_id, before_turn=before_turn, limit=limit)
    return [message.text for message in history]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "danzar.sqlite3"


@pytest.fixture
async def store(path):
    async with Store.open(path, keep_messages=6) as opened:
        yield opened


async def test_history_comes_back_oldest_first_after_a_restart(path):
    async with Store.open(path, keep_messages=6) as store:
        await store.save_turn(*turn(2, text="two", stopped=True))
        await store.save_turn(*turn(1, text="one"))
    async with Store.open(path, keep_messages=6) as store:
        assert await texts(store) == ["one?", "one", "two?", "two"]
        newest = await store.history(1, before_turn=NEVER, limit=2)
        assert newest == turn(2, text="two", stopped=True)


async def test_history_leaves_out_the_turn_itself_and_later_ones(store):
    for number in (1, 2, 3):
        await store.save_turn(*turn(number, text=str(number)))
    assert await texts(store, before_turn=2) == ["1?", "1"]


async def test_saving_a_turn_again_replaces_it(store):
    await store.save_turn(*turn(1, text="first"))
    await store.save_turn(*turn(1, text="second"))
    assert await texts(store) == ["second?", "second"]


async def test_a_channel_keeps_its_newest_messages_only(store):
    for number in range(1, 10):
        await store.save_turn(*turn(number, text=str(number)))
    await store.save_turn(*turn(5, channel_id=2, text="other"))
    assert await texts(store) == ["7?", "7", "8?", "8", "9?", "9"]
    assert await texts(store, 2) == ["other?", "other"]


async def test_reset_forgets_one_channel(store):
    await store.save_turn(*turn(1))
    await store.save_turn(*turn(1, channel_id=2))
    assert await store.reset(1) == 2
    assert await store.reset(1) == 0
    assert len(await texts(store, 2)) == 2


async def test_audit_gives_the_newest_first_and_is_bounded(store, monkeypatch):
    monkeypatch.setattr(store_module, "KEEP_AUDIT", 3)
    for number in range(5):
        await store.audit("alice", "watch.start", str(number))
    assert [entry.detail for entry in await store.recent_audit(10)] == ["4", "3", "2"]
    assert [entry.detail for entry in await store.recent_audit(1)] == ["4"]


async def fill_disk(store):
    """Let SQLite find no room for a further page, as on a full disk."""
    async with store.database.transaction() as connection:
        await connection.execute("PRAGMA max_page_count = 1")


async def test_on_a_full_disk_it_says_what_to_do_and_goes_on_when_there_is_room(store):
    await fill_disk(store)
    with pytest.raises(StoreFailed, match="can't be written: the disk is full; make room on it"):
        await store.save_turn(*turn(1, text="x" * 100_000))
    assert await texts(store) == []
    async with store.database.transaction() as connection:
        await connection.execute("PRAGMA max_page_count = 1000000")
    await store.save_turn(*turn(1, text="one"))
    assert await texts(store) == ["one?", "one"]


@pytest.mark.parametrize(
    ("free_bytes", "said"), [(0, "the disk is full; make room on it"), (2**40, "disk I/O error")]
)
def test_a_full_disk_is_named_where_sqlite_has_another_word_for_it(
    path, monkeypatch, free_bytes, said
):
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
    monkeypatch.setattr(database.shutil, "disk_usage", lambda _: SimpleNamespace(free=free_bytes))
    assert database.failure_text(error, path) == said


async def test_what_was_done_stays_done_where_the_audit_has_no_room(store, caplog):
    await fill_disk(store)
    for number in range(100):  # the pages that are there take some lines
        await store.audit("ann (1)", "watch.start", f"{number} " + "x" * 900)
    assert len(await store.recent_audit(200)) < 100
    assert "not in the audit: watch.start by ann (1), 99 xxx" in caplog.text
    assert "the disk is full" in caplog.text


async def test_only_the_channels_used_last_are_kept_at_opening(path, monkeypatch):
    monkeypatch.setattr(store_module, "KEEP_CHANNELS", 1)
    async with Store.open(path, keep_messages=6) as store:
        await store.save_turn(*turn(1, channel_id=1))
        await store.save_turn(*turn(2, channel_id=2))
    async with Store.open(path, keep_messages=6) as store:
        assert await texts(store, 1) == []
        assert len(await texts(store, 2)) == 2


async def test_writes_at_the_same_time_are_all_kept(path):
    async with Store.open(path, keep_messages=100) as store:
        async with asyncio.TaskGroup() as group:
            for number in range(30):
                group.create_task(store.save_turn(*turn(number)))
                group.create_task(store.audit("a", "b", str(number)))
        assert len(await texts(store)) == 60
        assert len(await store.recent_audit(100)) == 30


async def test_a_write_that_is_cancelled_leaves_the_database_usable(store):
    task = asyncio.create_task(store.save_turn(*turn(1)))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await store.save_turn(*turn(2, text="two"))
    assert (await texts(store))[-2:] == ["two?", "two"]


async def test_a_file_that_is_no_database_is_moved_aside(path, caplog):
    path.parent.mkdir()
    path.write_bytes(b"not a database at all " * 400)
    async with Store.open(path, keep_messages=6) as store:
        await store.save_turn(*turn(1))
        assert len(await texts(store)) == 2
    aside = [p for p in path.parent.iterdir() if ".corrupt-" in p.name]
    assert len(aside) == 1
    assert aside[0].read_bytes().startswith(b"not a database")
    assert "moved to" in caplog.text
    assert "history begins anew" in caplog.text


async def test_a_database_with_damaged_pages_is_moved_aside(path):
    async with Store.open(path, keep_messages=500) as store:
        for number in range(100):
            await store.save_turn(*turn(number, text="x" * 500))
    data = bytearray(path.read_bytes())
    data[4096 * 2 :] = b"\xff" * (len(data) - 4096 * 2)
    path.write_bytes(data)
    async with Store.open(path, keep_messages=6) as store:
        assert await texts(store) == []
    assert any(".corrupt-" in p.name for p in path.parent.iterdir())


WRITER = """
import asyncio, sys
from itertools import count
from pathlib import Path
from danzar.store import Store, StoredMessage

async def main():
    async with Store.open(Path(sys.argv[1]), keep_messages=10**6) as store:
        for n in count():
            question = StoredMessage(1, n, "user", "Alice", "q" * 2000, (), False, 1.0)
            answer = StoredMessage(1, n, "assistant", "Danzar", "a", (), False, 1.0)
            await store.save_turn(question, answer)
            print(n, flush=True)

asyncio.run(main())
"""


@pytest.mark.process
async def test_a_process_killed_while_writing_leaves_whole_turns_only(path):
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(path), stdout=asyncio.subprocess.PIPE
    )
    saved = [await writer.stdout.readline() for _ in range(50)]
    writer.kill()
    saved += (await writer.stdout.read()).splitlines()
    await writer.wait()
    async with Store.open(path, keep_messages=10**6) as store:
        history = await store.history(1, before_turn=NEVER, limit=10**6)
    assert len(history) >= 2 * (len(saved) - 1)
    assert [m.role for m in history] == ["user", "assistant"] * (len(history) // 2)
    assert not [p for p in path.parent.iterdir() if "corrupt" in p.name]


async def test_a_database_of_a_newer_danzar_is_refused_and_kept(path):
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    with pytest.raises(StoreFailed, match="update Danzar"):
        async with Store.open(path, keep_messages=6):
            pass
    assert [p.name for p in path.parent.iterdir() if "corrupt" in p.name] == []


async def test_a_place_that_can_not_be_written_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreFailed, match="can't be opened"):
        async with Store.open(tmp_path / "file" / "danzar.sqlite3", keep_messages=6):
            pass


async def test_a_locked_database_is_a_clear_error(path, monkeypatch):
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.05)
    async with Store.open(path, keep_messages=6) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreFailed, match="can't be written"):
            await store.save_turn(*turn(1))
        other.close()
        await store.save_turn(*turn(1))
        assert len(await texts(store)) == 2
