"""Copies of SQLite files that others are writing to just now. Blocks."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from danzar.maintenance.errors import BackupFailed

_PAGES = 256  # a mebibyte, with SQLite's usual pages
_PAUSE_S = 0.002
_BUSY_TIMEOUT_S = 5.0
_KEEP_ASIDE = 2


def copy_database(source: Path, target: Path, *, pause_s: float = _PAUSE_S) -> int:
    """Copy the file as it is at one moment; returns its version.

    One read transaction spans the copy. With a write-ahead log, which all of our files have, it
    keeps nobody from writing; without it, SQLite would begin the copy again after every write.

    Args:
        source: In use or not.
        target: Made, or replaced.
        pause_s: Rest after each mebibyte, so that others have the disk, too.

    Raises:
        BackupFailed: It can't be read or written, or is damaged.
    """
    try:
        with (
            closing(_open(source)) as reading,
            closing(sqlite3.connect(target, isolation_level=None)) as writing,
        ):
            reading.execute("BEGIN")
            reading.execute("SELECT count(*) FROM sqlite_master").fetchone()
            writing.execute("PRAGMA synchronous = OFF")
            reading.backup(writing, pages=_PAGES, progress=lambda *_: time.sleep(pause_s))
            # One file without companions, whoever opens it and however.
            writing.execute("PRAGMA journal_mode = DELETE")
            return _healthy_version(writing)
    except sqlite3.Error as exc:
        raise BackupFailed(f"{source} can't be copied: {exc}") from exc


def version_of(file: Path) -> int:
    """The version of a database that nobody uses.

    Raises:
        sqlite3.Error: It is damaged, or none.
    """
    with closing(_open(file)) as connection:
        return _healthy_version(connection)


def keep_before_upgrade(path: Path, version: int) -> Path:
    """Copy a database before its tables are changed; the copies before the last two go.

    Args:
        path: The database.
        version: That it has now.

    Raises:
        BackupFailed: There is no room for it, for example.
    """
    copy = path.with_name(f"{path.name}.before-v{version + 1}")
    copy_database(path, copy, pause_s=0)
    drop_oldest(path.parent, f"{path.name}.before-v*", _KEEP_ASIDE)
    return copy


def drop_oldest(folder: Path, pattern: str, keep: int) -> None:
    """Delete all but the newest files of a kind."""
    files = sorted(folder.glob(pattern), key=lambda file: (file.stat().st_mtime, file.name))
    for file in files[: max(0, len(files) - keep)]:
        file.unlink(missing_ok=True)


def _open(file: Path) -> sqlite3.Connection:
    # Not read-only: SQLite must make the companions of a write-ahead log where nobody has it open.
    uri = f"{file.resolve().as_uri()}?mode=rw"
    return sqlite3.connect(uri, uri=True, timeout=_BUSY_TIMEOUT_S, isolation_level=None)


def _healthy_version(connection: sqlite3.Connection) -> int:
    verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise sqlite3.DatabaseError(f"it is damaged: {verdict}")
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
