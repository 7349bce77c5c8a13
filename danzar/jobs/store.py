"""The jobs that this machine accepted, on its disk: what *accepted* and *ended* mean.

A job is accepted when its row is committed, and has ended when its row says so; both happen once.
Writes that come together are committed together, so that many jobs cost few syncs of the disk. A
commit waits for the disk itself only where a job is accepted: an end that a power cut takes with it
is computed again, an accepted job would be lost. A process that is killed loses neither.
"""

import asyncio
import logging
import sqlite3
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from danzar.database import Database, healthy_connection, is_damaged, move
from danzar.errors import StoreFailed
from danzar.jobs.commits import Commits, open_commits
from danzar.jobs.contract import JobView
from danzar.jobs.record import (
    JobRecord,
    Standing,
    new_id,
    pack,
    unpack_record,
    unpack_standing,
    view_of,
)
from danzar.maintenance.databases import drop_oldest

log = logging.getLogger(__name__)

JOBS_FILE = "jobs.db"  # in the data folder
LOCK_FILE = "jobs.lock"
_NAME = "the list of jobs"
VERSION = 1
_KEEP_DAMAGED = 6  # with their companions, the newest two
_HOME = "home"
_TABLES = (
    """
    CREATE TABLE IF NOT EXISTS jobs (
        job_id TEXT PRIMARY KEY,
        owner TEXT,
        submitted_at REAL NOT NULL,
        deadline_at REAL,
        attempt INTEGER NOT NULL DEFAULT 0,
        record BLOB NOT NULL,
        standing BLOB,
        ended_at REAL,
        forget_at REAL
    )
    """,
    "CREATE INDEX IF NOT EXISTS by_time ON jobs (submitted_at)",
    "CREATE INDEX IF NOT EXISTS open_jobs ON jobs (owner, job_id) WHERE ended_at IS NULL",
    "CREATE INDEX IF NOT EXISTS deadlines ON jobs (deadline_at) WHERE ended_at IS NULL",
    "CREATE INDEX IF NOT EXISTS ends ON jobs (ended_at) WHERE ended_at IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS forgotten ON jobs (forget_at) WHERE ended_at IS NOT NULL",
    """
    CREATE TABLE IF NOT EXISTS outputs (
        job_id TEXT PRIMARY KEY,
        ended_at REAL NOT NULL,
        size_bytes INTEGER NOT NULL,
        data BLOB NOT NULL
    )
    """,
    "CREATE INDEX IF NOT EXISTS sizes ON outputs (ended_at, size_bytes)",
    "CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
)


@dataclass(frozen=True, slots=True)
class Kept:
    """A job as the disk has it; ``standing`` is ``None`` until it has ended."""

    record: JobRecord
    attempt: int
    standing: Standing | None

    @property
    def view(self) -> JobView:
        """As front ends see it."""
        return view_of(self.record, self.standing or Standing(attempt=self.attempt))


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job ended, to be written down.

    Attributes:
        forget_at: Seconds since the epoch.
    """

    job_id: str
    standing: Standing
    output: bytes | None
    forget_at: float


class JobStore:
    """The open file. Every method raises ``StoreFailed`` where it can't be read or written."""

    def __init__(self, commits: Commits, reading: Database, home: str, *, sync: bool) -> None:
        self._commits = commits
        self._reading = reading  # a connection of its own sees only what is committed
        self._sync_accepted = sync
        self.home = home

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path, *, sync: bool = True) -> AsyncGenerator["JobStore"]:
        """Open or create the file; a damaged one is moved aside first.

        Args:
            path: Where it is.
            sync: An accepted job is on the disk itself, and not only in the system's hands.

        Raises:
            StoreFailed: It can't be opened, was made by a newer Danzar, or another one has it.
        """
        async with (
            _only_here(path.with_name(LOCK_FILE)),
            Database.open(path, _NAME, _prepare) as reading,
            open_commits(path, _NAME) as commits,
        ):
            home = str((await reading.read("SELECT value FROM about"))[0][0])
            yield cls(commits, reading, home, sync=sync)

    async def accept(self, record: JobRecord) -> None:
        """Write the job down; it is on disk when this returns."""
        sql = (
            "INSERT INTO jobs (job_id, owner, submitted_at, deadline_at, record) "
            "VALUES (?, ?, ?, ?, ?)"
        )
        owner = record.request.owner
        row = (record.job_id, owner, record.submitted_at, record.deadline_at, pack(record))
        await self._commits.write((sql, row), synced=self._sync_accepted)

    async def started(self, job_id: str, attempt: int) -> None:
        """Remember how often the job was started, so that a crash does not forget it."""
        sql = "UPDATE jobs SET attempt = max(attempt, ?) WHERE job_id = ? AND ended_at IS NULL"
        await self._commits.write((sql, (attempt, job_id)))

    async def end(self, ended: Ended) -> bool:
        """Write down how the job ended, unless that is written; True for the one that did."""
        at = ended.standing.ended_at or time.time()
        end = (
            (
                "UPDATE jobs SET standing = ?, attempt = ?, ended_at = ?, forget_at = ? "
                "WHERE job_id = ? AND ended_at IS NULL"
            ),
            (pack(ended.standing), ended.standing.attempt, at, ended.forget_at, ended.job_id),
        )
        if ended.output is None:
            return bool(await self._commits.write(end))
        sql = "INSERT OR IGNORE INTO outputs SELECT ?, ?, ?, ? WHERE changes() = 1"
        keep = (sql, (ended.job_id, at, len(ended.output), ended.output))
        return bool(await self._commits.write(end, keep))

    async def find(self, job_id: str) -> Kept | None:
        """The job, if it was accepted here and is not forgotten."""
        rows = await self._reading.read(f"{_SELECT} WHERE job_id = ?", (job_id,))
        return _kept(rows[0]) if rows else None

    async def output(self, job_id: str) -> tuple[Kept, bytes | None] | None:
        """The job, if it was accepted here, with its packed output while that is kept."""
        sql = f"{_SELECT_OUTPUT} WHERE jobs.job_id = ?"
        rows = await self._reading.read(sql, (job_id,))
        if not rows:
            return None
        *job, data = rows[0]
        return _kept(job), data

    async def open_jobs(self, after: str, at_most: int) -> list[Kept]:
        """Jobs that have not ended, by id, from the one after this."""
        sql = f"{_SELECT} WHERE ended_at IS NULL AND job_id > ? ORDER BY job_id LIMIT ?"
        return [_kept(row) for row in await self._reading.read(sql, (after, at_most))]

    async def late_jobs(self, now: float, at_most: int) -> list[Kept]:
        """Jobs that have not ended although their deadline is over."""
        sql = f"{_SELECT} WHERE ended_at IS NULL AND deadline_at <= ? LIMIT ?"
        return [_kept(row) for row in await self._reading.read(sql, (now, at_most))]

    async def ended_since(self, since: float) -> list[Kept]:
        """Jobs that ended lately."""
        sql = f"{_SELECT} WHERE ended_at >= ?"
        return [_kept(row) for row in await self._reading.read(sql, (since,))]

    async def next_deadline(self) -> float | None:
        """The earliest deadline of a job that has not ended, seconds since the epoch."""
        sql = "SELECT min(deadline_at) FROM jobs WHERE ended_at IS NULL AND deadline_at > 0"
        deadline = (await self._reading.read(sql))[0][0]
        return None if deadline is None else float(deadline)

    async def unfinished(self, owner: str | None = None, *, of_all: bool = False) -> int:
        """Jobs of an owner, or of all, that have not ended."""
        if of_all:
            rows = await self._reading.read("SELECT count(*) FROM jobs WHERE ended_at IS NULL")
        else:
            sql = "SELECT count(*) FROM jobs WHERE ended_at IS NULL AND owner IS ?"
            rows = await self._reading.read(sql, (owner,))
        return int(rows[0][0])

    async def recent(self, limit: int) -> list[Kept]:
        """The newest jobs, the newest first."""
        sql = f"{_SELECT} ORDER BY submitted_at DESC LIMIT ?"
        return [_kept(row) for row in await self._reading.read(sql, (limit,))]

    async def forget(self, now: float, keep_bytes: int) -> None:
        """Delete what has been kept long enough, and the oldest results beyond the size."""
        await self._commits.write(
            (
                (
                    "DELETE FROM outputs WHERE job_id IN (SELECT job_id FROM jobs "
                    "WHERE ended_at IS NOT NULL AND forget_at <= ?)"
                ),
                (now,),
            ),
            ("DELETE FROM jobs WHERE ended_at IS NOT NULL AND forget_at <= ?", (now,)),
            (
                (
                    "DELETE FROM outputs WHERE job_id IN (SELECT job_id FROM (SELECT job_id, "
                    "sum(size_bytes) OVER (ORDER BY ended_at DESC, job_id) AS together "
                    "FROM outputs) WHERE together > ?)"
                ),
                (keep_bytes,),
            ),
        )


_SELECT = "SELECT record, attempt, standing FROM jobs"
_SELECT_OUTPUT = "SELECT record, attempt, standing, data FROM jobs LEFT JOIN outputs USING (job_id)"


@asynccontextmanager
async def _only_here(path: Path) -> AsyncGenerator[None]:
    """Hold the file while the context lasts; the system lets go of it when the process dies.

    Two processes with one list of jobs would each run all of them.

    Raises:
        StoreFailed: Another process holds it.
    """
    lock = await asyncio.to_thread(_lock, path)
    try:
        yield
    finally:
        await asyncio.to_thread(lock.close)


def _lock(path: Path) -> sqlite3.Connection:
    """Lock by SQLite's own means, which are the same on every system. Blocks."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as exc:
        raise StoreFailed(f"{_NAME} {path.parent} can't be opened: {exc}") from exc
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error as exc:
        lock.close()
        raise StoreFailed(
            f"another Danzar runs with the data folder {path.parent}; stop it, or give this one "
            "another folder (data_dir in bot_config.yaml) or no jobs (jobs.enabled: false)"
        ) from exc
    return lock


def _kept(row: Sequence[Any]) -> Kept:
    record, attempt, standing = row
    return Kept(unpack_record(record), attempt, unpack_standing(standing) if standing else None)


def _prepare(path: Path) -> None:
    """Leave a healthy file of this version there. Blocks."""
    try:
        _make_tables(path)
    except sqlite3.DatabaseError as exc:
        if not is_damaged(exc):
            raise
        aside = path.with_name(f"{path.name}.damaged-{int(time.time())}")
        move(path, aside)
        drop_oldest(path.parent, f"{path.name}.damaged-*", _KEEP_DAMAGED)
        log.error("%s was damaged (%s); it is %s now, and a new one begins", _NAME, exc, aside.name)  # noqa: TRY400
        _make_tables(path)


def _make_tables(path: Path) -> None:
    with closing(healthy_connection(path)) as connection:
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        if found > VERSION:
            raise StoreFailed(f"{_NAME} {path} was made by a newer Danzar (version {found}).")
        for statement in _TABLES:
            connection.execute(statement)
        connection.execute("INSERT OR IGNORE INTO about VALUES (?, ?)", (_HOME, new_id()))
        connection.execute(f"PRAGMA user_version = {VERSION}")
