"""One SQLite file of ours: opened healthy, read, and written all or nothing. Knows no tables."""

import asyncio
import contextlib
import errno
import logging
import shutil
import sqlite3
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiosqlite

from danzar.errors import StoreFailed
from danzar.units import MIB

log = logging.getLogger(__name__)

BUSY_TIMEOUT_S = 5.0
WAL_BOUND_BYTES = 16 * MIB
"""What a write-ahead log is cut to, once it was written back."""
# KiB of pages in memory: SQLite's own 2 MB of each connection fill up over days, and the system
# has the file's pages in memory anyway. A queue of 20,000 jobs is as fast with 64 as with 256.
_CACHE_KIB = 64
BOUNDS = f"PRAGMA journal_size_limit = {WAL_BOUND_BYTES}; PRAGMA cache_size = -{_CACHE_KIB}"
"""The script that each connection is told first."""
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_COMPANIONS = ("", "-wal", "-shm")


class Database:
    """The open file; made by ``async with Database.open(...)``.

    Every method raises ``StoreFailed`` where the file can't be read or written.
    """

    def __init__(self, connection: aiosqlite.Connection, name: str) -> None:
        self._connection = connection
        self._name = name
        self._writing = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(
        cls, path: Path, name: str, prepare: Callable[[Path], None]
    ) -> AsyncGenerator["Database"]:
        """Open or create the file.

        Args:
            path: Where it is; its folder is made.
            name: What a message calls it, for example ``the measurements``.
            prepare: Leaves a healthy file with the newest tables there; called in a thread.

        Raises:
            StoreFailed: It can't be opened.
        """
        try:
            await asyncio.to_thread(_make, path, prepare)
            connection = await aiosqlite.connect(
                path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as exc:
            raise StoreFailed(f"{name} {path} can't be opened: {failure_text(exc, path)}") from exc
        try:
            await connection.executescript(BOUNDS)
            yield cls(connection, name)
        finally:
            await connection.close()

    async def read(self, sql: str, parameters: Sequence[object] = ()) -> list[sqlite3.Row]:
        """All rows of a query."""
        try:
            return list(await self._connection.execute_fetchall(sql, parameters))
        except (sqlite3.Error, ValueError) as exc:
            raise StoreFailed(f"{self._name} can't be read: {exc}") from exc

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[aiosqlite.Connection]:
        """All of it or nothing, one writer at a time."""
        async with self._writing:
            try:
                await self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                await self._connection.execute("COMMIT")
            except (sqlite3.Error, ValueError) as exc:
                await self._roll_back()
                raise StoreFailed(f"{self._name} can't be written: {failure_text(exc)}") from exc
            except BaseException:
                await self._roll_back()
                raise

    async def _roll_back(self) -> None:
        # A closed connection (ValueError) has nothing to take back.
        with contextlib.suppress(sqlite3.Error, ValueError):
            await self._connection.rollback()


def failure_text(error: Exception, path: Path | None = None) -> str:
    """In words, and what to do where that is known.

    Args:
        error: What SQLite or the system said.
        path: The file, where SQLite's word for a full disk may be another one.
    """
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without what it is in detail
    full = code == sqlite3.SQLITE_FULL or getattr(error, "errno", None) == errno.ENOSPC
    if full or (code == sqlite3.SQLITE_IOERR and path is not None and _has_no_room(path)):
        return "the disk is full; make room on it"
    return str(error)


def _has_no_room(path: Path) -> bool:
    """Whether not even the memory that connections share (32 KiB) has room beside the file."""
    try:
        return shutil.disk_usage(path.parent).free < MIB
    except OSError:
        return False


def prepare_or_begin_anew(
    path: Path, *, name: str, version: int, statements: Sequence[str]
) -> None:
    """Leave a healthy file of this version there, for what is not dear. Blocks.

    One that is damaged, or of another version, is deleted and begun anew.

    Args:
        path: The file.
        name: What the log calls it, for example ``the measurements``.
        version: Of its tables, above 0.
        statements: Make the tables where there are none.
    """
    try:
        if _is_ready(path, version, statements):
            return
        log.warning("%s were of another version, and begin anew", name)
    except sqlite3.DatabaseError as exc:
        if not is_damaged(exc):
            raise
        log.warning("%s were damaged (%s), and begin anew", name, exc)
    remove(path)
    _is_ready(path, version, statements)


def _is_ready(path: Path, version: int, statements: Sequence[str]) -> bool:
    """Make the tables where there are none; False where the file has another version."""
    with contextlib.closing(healthy_connection(path)) as connection:
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        if found not in (0, version):
            return False
        for statement in statements:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {version}")
    return True


def healthy_connection(path: Path) -> sqlite3.Connection:
    """A blocking connection without implicit transactions, for preparing; to be closed.

    Raises:
        sqlite3.DatabaseError: It is damaged (``is_damaged``), be it only a page deep inside.
    """
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        _check(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection) -> None:
    verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        error = sqlite3.DatabaseError(verdict)
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error


def is_damaged(error: sqlite3.Error) -> bool:
    """Whether the file itself is broken, and not the disk or another process in the way."""
    return getattr(error, "sqlite_errorcode", None) in _DAMAGED


def remove(path: Path) -> None:
    """Delete the file with what SQLite keeps beside it."""
    for file in _files(path):
        file.unlink(missing_ok=True)


def move(path: Path, to: Path) -> None:
    """Move the file with what SQLite keeps beside it."""
    for file, target in zip(_files(path), _files(to), strict=True):
        if file.exists():
            file.rename(target)


def _files(path: Path) -> tuple[Path, ...]:
    return tuple(path.with_name(path.name + companion) for companion in _COMPANIONS)


def _make(path: Path, prepare: Callable[[Path], None]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    prepare(path)
