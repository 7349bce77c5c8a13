"""What loads really took, kept in one SQLite file, so that the next estimate is right.

Bounded: the newest 8 loads of each key, and the newest 4,000 of all. Nothing here is dear: a file
that is damaged, or of another version, is deleted when it is opened, and measuring begins anew.
"""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiosqlite

from danzar.errors import StoreFailed
from danzar.estimate.correct import Measurement

log = logging.getLogger(__name__)

MEASURED_FILE = "measured.db"
KEEP_PER_KEY = 8
KEEP_ALL = 4000
_BUSY_TIMEOUT_S = 5.0
_VERSION = 1
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_TABLE = """
    CREATE TABLE IF NOT EXISTS measured (
        id INTEGER PRIMARY KEY,
        engine TEXT NOT NULL,
        file_hash TEXT NOT NULL,
        device_class TEXT NOT NULL,
        settings TEXT NOT NULL,
        estimated_bytes INTEGER NOT NULL,
        measured_bytes INTEGER NOT NULL,
        at_s REAL NOT NULL
    )
"""
_INDEX = """
    CREATE INDEX IF NOT EXISTS measured_key
    ON measured (engine, file_hash, device_class, settings)
"""


@dataclass(frozen=True, slots=True)
class MeasuredKey:
    """What a measurement is of.

    Attributes:
        engine: ``llama`` or ``torch``.
        file_hash: As ``danzar.estimate.fingerprint.fingerprint`` gives it (milliseconds).
        settings: As ``danzar.estimate.correct.settings_key`` writes them.
        device_class: The card's name, or ``cpu``.
    """

    engine: str
    file_hash: str
    settings: str
    device_class: str


class Measurements:
    """The open file; made by ``async with Measurements.open(path)``.

    Every method raises ``StoreFailed`` where the file can't be read or written.
    """

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection
        self._writing = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncGenerator["Measurements"]:
        """Open or create the file.

        Raises:
            StoreFailed: It can't be opened.
        """
        try:
            await asyncio.to_thread(_prepare, path)
            connection = await aiosqlite.connect(
                path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as exc:
            raise StoreFailed(f"the measurements {path} can't be opened: {exc}") from exc
        try:
            yield cls(connection)
        finally:
            await connection.close()

    async def record(
        self, key: MeasuredKey, estimated_bytes: int, measured_bytes: int, at_s: float
    ) -> None:
        """Keep one load's figures.

        Args:
            key: What was loaded, and on what.
            estimated_bytes: Without correction, and of the same things as was measured.
            measured_bytes: What it really took.
            at_s: Seconds since 1970.

        Raises:
            ValueError: A size is not above 0.
        """
        if estimated_bytes <= 0 or measured_bytes <= 0:
            raise ValueError(f"{estimated_bytes} and {measured_bytes} bytes must be above 0")
        of_key = (key.engine, key.file_hash, key.device_class, key.settings)
        async with self._transaction():
            await self._connection.execute(
                "INSERT INTO measured (engine, file_hash, device_class, settings, "
                "estimated_bytes, measured_bytes, at_s) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*of_key, estimated_bytes, measured_bytes, at_s),
            )
            await self._connection.execute(
                "DELETE FROM measured WHERE engine = ?1 AND file_hash = ?2 AND device_class = ?3 "
                "AND settings = ?4 AND id NOT IN (SELECT id FROM measured WHERE engine = ?1 "
                "AND file_hash = ?2 AND device_class = ?3 AND settings = ?4 "
                "ORDER BY id DESC LIMIT ?5)",
                (*of_key, KEEP_PER_KEY),
            )
            await self._connection.execute(
                "DELETE FROM measured WHERE id NOT IN "
                "(SELECT id FROM measured ORDER BY id DESC LIMIT ?)",
                (KEEP_ALL,),
            )

    async def for_file(
        self, engine: str, file_hash: str, device_class: str
    ) -> tuple[Measurement, ...]:
        """All that is known of this file on this class of device, newest first."""
        rows = await self._read(
            "SELECT settings, estimated_bytes, measured_bytes, at_s FROM measured "
            "WHERE engine = ? AND file_hash = ? AND device_class = ? ORDER BY id DESC",
            (engine, file_hash, device_class),
        )
        return tuple(Measurement(*row) for row in rows)

    async def device_classes(self, engine: str, file_hash: str) -> tuple[str, ...]:
        """On what this file was measured, the newest first."""
        rows = await self._read(
            "SELECT device_class FROM measured WHERE engine = ? AND file_hash = ? "
            "GROUP BY device_class ORDER BY MAX(id) DESC",
            (engine, file_hash),
        )
        return tuple(row[0] for row in rows)

    async def _read(self, sql: str, parameters: tuple[str, ...]) -> list[sqlite3.Row]:
        try:
            return list(await self._connection.execute_fetchall(sql, parameters))
        except (sqlite3.Error, ValueError) as exc:
            raise StoreFailed(f"the measurements can't be read: {exc}") from exc

    @asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[None]:
        """All of it or nothing, one writer at a time."""
        async with self._writing:
            try:
                await self._connection.execute("BEGIN IMMEDIATE")
                yield
                await self._connection.execute("COMMIT")
            except (sqlite3.Error, ValueError) as exc:
                await self._roll_back()
                raise StoreFailed(f"the measurements can't be written: {exc}") from exc
            except BaseException:
                await self._roll_back()
                raise

    async def _roll_back(self) -> None:
        # A closed connection (ValueError) has nothing to take back.
        with contextlib.suppress(sqlite3.Error, ValueError):
            await self._connection.rollback()


def _prepare(path: Path) -> None:
    """Leave a healthy file of this version at ``path``. Blocks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        if _is_ready(path):
            return
        log.warning("the measurements were of another version, and begin anew")
    except sqlite3.DatabaseError as exc:
        if getattr(exc, "sqlite_errorcode", None) not in _DAMAGED:
            raise
        log.warning("the measurements were damaged (%s), and begin anew", exc)
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    _is_ready(path)


def _is_ready(path: Path) -> bool:
    """Make the table where there is none; False where the file has another version."""
    connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            error = sqlite3.DatabaseError(verdict)
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, _VERSION):
            return False
        connection.execute(_TABLE)
        connection.execute(_INDEX)
        connection.execute(f"PRAGMA user_version = {_VERSION}")
    finally:
        connection.close()
    return True
