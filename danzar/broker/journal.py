"""What Danzar holds, on disk before it is held: its worker processes and their leases.

A kill -9 of the bot at any moment leaves rows that tell the next start which processes may still
live (``leftovers`` ends them). Rows belong to the bot process that wrote them, so that two bots on
one data folder leave each other's workers alone.

Written by one thread in order, so that no commit blocks the event loop. A disk that fails is told
in the log and stops nothing: workers end with the bot anyway, this is the net below that.
"""

import asyncio
import logging
import os
import sqlite3
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

from danzar.broker.identity import ProcessIdentity, boot_id, identify, is_alive
from danzar.core.book import LeaseState
from danzar.database import BOUNDS, BUSY_TIMEOUT_S, failure_text, is_damaged, remove
from danzar.errors import StoreFailed

log = logging.getLogger(__name__)

Rows = list[tuple[Any, ...]]

# ``owner`` and ``process`` are process identities as text.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS boot (id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS workers (
    owner TEXT NOT NULL,
    process TEXT NOT NULL PRIMARY KEY,
    pid INTEGER NOT NULL,
    worker TEXT NOT NULL,
    device_uuid TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS leases (
    owner TEXT NOT NULL,
    load_id INTEGER NOT NULL,
    device_uuid TEXT NOT NULL,
    model TEXT NOT NULL,
    worker TEXT NOT NULL,
    host_uuid TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (owner, load_id, device_uuid)
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker process as it was written down.

    Attributes:
        owner: The bot process that started it.
    """

    owner: ProcessIdentity
    process: ProcessIdentity
    worker: str
    device_uuid: str


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """What one load takes of one device.

    Attributes:
        worker: The process's name; with ``host_uuid`` it says which process.
        size_bytes: As booked, then as measured, then as lost.
    """

    load_id: int
    device_uuid: str
    model: str
    worker: str
    host_uuid: str
    size_bytes: int
    state: LeaseState


class Journal:
    """The open journal; made by ``open_journal``. For one event loop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._owner = str(_this_process())
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="danzar-journal")

    async def note_worker(self, pid: int, worker: str, device_uuid: str) -> None:
        """Write a worker down; returns when that is on disk. To be awaited before it may load."""

        def write() -> None:
            process = identify(pid)
            if process is not None:  # else it died already
                row = (self._owner, str(process), pid, worker, device_uuid)
                self._commit("INSERT OR REPLACE INTO workers VALUES (?, ?, ?, ?, ?)", [row])

        await asyncio.wrap_future(self._submit(write))

    def strike_worker(self, pid: int) -> None:
        """A worker of this bot is gone."""
        self._write("DELETE FROM workers WHERE owner = ? AND pid = ?", [(self._owner, pid)])

    async def note_leases(self, rows: Iterable[LeaseRow]) -> None:
        """Write leases down, or their new state; returns when that is on disk."""
        values: Rows = [(self._owner, *astuple(row)) for row in rows]
        sql = "INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        await asyncio.wrap_future(self._write(sql, values))

    def strike_load(self, load_id: int) -> None:
        """What a load took is back."""
        self._write("DELETE FROM leases WHERE owner = ? AND load_id = ?", [(self._owner, load_id)])

    def strike_hosted(self, worker: str, device_uuid: str) -> None:
        """A worker was lost, and with it all that it held; a load under way ends by itself."""
        self._write(
            "DELETE FROM leases WHERE owner = ? AND worker = ? AND host_uuid = ? AND state != ?",
            [(self._owner, worker, device_uuid, LeaseState.CLAIMED)],
        )

    async def strike_gone(self, gone: Iterable[WorkerRow]) -> None:
        """Strike out workers that are gone, and the leases of all bots that are."""
        processes: Rows = [(str(row.process),) for row in gone]

        def write() -> None:
            self._commit("DELETE FROM workers WHERE process = ?", processes)
            self._commit("DELETE FROM leases WHERE owner = ?", self._dead_owners())

        await asyncio.wrap_future(self._submit(write))

    async def workers(self) -> tuple[WorkerRow, ...]:
        """Every bot's worker processes.

        Raises:
            danzar.errors.StoreFailed: The file can't be read.
        """
        rows = await self._read("SELECT owner, process, worker, device_uuid FROM workers")
        parse = ProcessIdentity.parse
        return tuple(WorkerRow(parse(r[0]), parse(r[1]), r[2], r[3]) for r in rows)

    async def leases(self) -> tuple[LeaseRow, ...]:
        """Every bot's leases.

        Raises:
            danzar.errors.StoreFailed: The file can't be read.
        """
        rows = await self._read(
            "SELECT load_id, device_uuid, model, worker, host_uuid, size_bytes, state FROM leases"
        )
        return tuple(replace(LeaseRow(*row), state=LeaseState(row[-1])) for row in rows)

    async def open(self) -> None:
        """Open the file; a damaged one is begun anew."""
        self._connection = await asyncio.wrap_future(self._thread.submit(_open, self._path))

    async def close(self) -> None:
        """Write what waits, then close."""
        self._thread.submit(self._connection.close)
        await asyncio.to_thread(self._thread.shutdown)

    # --- in the writing thread -----------------------------------------------------------------

    def _write(self, sql: str, rows: Rows) -> Future[None]:
        return self._submit(lambda: self._commit(sql, rows))

    def _submit(self, act: Callable[[], None]) -> Future[None]:
        return self._thread.submit(_told, act)

    def _commit(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
        with self._connection:
            self._connection.executemany(sql, rows)

    def _dead_owners(self) -> Rows:
        owners = self._connection.execute("SELECT DISTINCT owner FROM leases").fetchall()
        return [row for row in owners if not is_alive(ProcessIdentity.parse(row[0]))]

    async def _read(self, sql: str) -> Rows:
        try:
            return await asyncio.wrap_future(
                self._thread.submit(lambda: self._connection.execute(sql).fetchall())
            )
        except sqlite3.Error as exc:
            raise StoreFailed(f"{self._path} can't be read: {exc}") from exc


@asynccontextmanager
async def open_journal(path: Path) -> AsyncGenerator[Journal]:
    """Open or create the journal; a damaged file is begun anew.

    Raises:
        StoreFailed: It can't be opened.
    """
    journal = Journal(path)
    try:
        await journal.open()
    except (OSError, sqlite3.Error) as exc:
        raise StoreFailed(f"{path} can't be opened: {exc}") from exc
    try:
        yield journal
    finally:
        await journal.close()


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _connect(path)
    except sqlite3.DatabaseError as exc:
        if not is_damaged(exc):
            raise
        log.warning("%s was damaged (%s) and is begun anew", path, exc)
        remove(path)
        return _connect(path)


def _connect(path: Path) -> sqlite3.Connection:
    # Made and used by the writing thread alone.
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)
    try:
        # Without a sync per commit: this must outlive the bot, and no worker outlives the machine.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(BOUNDS)
        connection.executescript(_SCHEMA)
        with connection:
            _forget_other_boots(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _forget_other_boots(connection: sqlite3.Connection) -> None:
    """Process ids mean nothing after the machine was started again."""
    now = boot_id()
    if connection.execute("SELECT id FROM boot").fetchall() != [(now,)]:
        for table in ("boot", "workers", "leases"):
            connection.execute(f"DELETE FROM {table}")  # noqa: S608 - one of these three names
        connection.execute("INSERT INTO boot VALUES (?)", (now,))


def _told(act: Callable[[], None]) -> None:
    try:
        act()
    except sqlite3.Error as exc:
        why = failure_text(exc)
        log.error("the journal of worker processes can't be written: %s", why)  # noqa: TRY400


def _this_process() -> ProcessIdentity:
    identity = identify(os.getpid())
    if identity is None:
        raise AssertionError("this process does not live")
    return identity
