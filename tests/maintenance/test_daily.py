import sqlite3
from contextlib import closing
from datetime import UTC, datetime, time

import pytest

from danzar.local_days import local_in, next_due
from danzar.maintenance.backup import Source
from danzar.maintenance.daily import back_up_once


@pytest.mark.parametrize(
    ("now", "then"),
    [("03:59:59", (31, 4)), ("04:00:00", (1, 4)), ("18:00:00", (1, 4))],
)
def test_a_backup_is_due_at_the_next_such_time(now, then):
    due = next_due(datetime.fromisoformat(f"2026-01-31T{now}+00:00"), time(4), local_in(UTC))
    assert (due.day, due.hour) == then
    assert due.tzinfo is UTC


def test_only_so_many_backups_are_kept(tmp_path):
    with closing(sqlite3.connect(tmp_path / "danzar.db")) as connection:
        connection.execute("CREATE TABLE t (x)")
    folder = tmp_path / "backups"
    folder.mkdir()
    for day in range(1, 9):
        (folder / f"danzar-2026010{day}-040000.zip").write_bytes(b"old")
    (folder / "mine.zip").write_bytes(b"mine")
    made = back_up_once(Source(tmp_path, None, {}), keep=3)
    assert made is not None
    names = sorted(file.name for file in folder.iterdir())
    assert len(names) == 4
    assert {"mine.zip", made.name} < set(names)


def test_a_backup_that_fails_is_told_and_takes_none_of_the_others(tmp_path, caplog):
    folder = tmp_path / "backups"
    folder.mkdir()
    (folder / "danzar-20260101-040000.zip").write_bytes(b"old")
    assert back_up_once(Source(tmp_path, None, {}), keep=1) is None
    assert "the daily backup failed" in caplog.text
    assert [file.name for file in folder.iterdir()] == ["danzar-20260101-040000.zip"]
