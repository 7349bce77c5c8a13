"""Writes to one SQLite file that come together are committed together, in a thread of their own.

A commit is one visit to that thread: each visit costs a job about a tenth of a millisecond.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from danzar.database import BOUNDS, BUSY_TIMEOUT_S, failure_text
from danzar.errors import StoreFailed
from danzar.running import running

Statement = tuple[str, Sequence[object]]
_TOGETHER = 500  # writes in one commit


@dataclass(slots=True, eq=False)
class _Write:
    """Statements that belong together, and the rows that the first one changed.

    Attributes:
        synced: Not done before the disk itself has it.
    """

    statements: Sequence[Statement]
    changed: asyncio.Future[int]
    synced: bool


@asynccontextmanager
async def open_commits(path: Path, name: str) -> AsyncIterator["Commits"]:
    """Write to this file, which is healthy, while the context lasts.

    Args:
        path: The file.
        name: What a message calls it.

    Raises:
        StoreFailed: It can't be opened.
    """
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1, thread_name_prefix=path.stem) as thread:
        try:
            connection = await loop.run_in_executor(thread, _connect, path)
        except sqlite3.Error as exc:
            raise StoreFailed(f"{name} {path} can't be opened: {failure_text(exc, path)}") from exc
        try:
            commits = Commits(connection, thread, name)
            async with running(commits.run()):
                yield commits
        finally:
            await loop.run_in_executor(thread, connection.close)


class Commits:
    """The writes that wait, and the thread that makes them."""

    def __init__(
        self, connection: sqlite3.Connection, thread: ThreadPoolExecutor, name: str
    ) -> None:
        self._connection = connection
        self._thread = thread
        self._name = name
        self._writes: asyncio.Queue[_Write] = asyncio.Queue()
        self._is_synced: bool | None = None

    async def write(self, *statements: Statement, synced: bool = False) -> int:
        """Commit statements that belong together; the rows that the first one changed.

        Raises:
            StoreFailed: Nothing of it was written.
        """
        write = _Write(statements, asyncio.get_running_loop().create_future(), synced)
        self._writes.put_nowait(write)
        return await write.changed

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            writes = [await self._writes.get()]
            while not self._writes.empty() and len(writes) < _TOGETHER:
                writes.append(self._writes.get_nowait())
            try:
                changed = await loop.run_in_executor(self._thread, self._commit, writes)
            except sqlite3.Error as exc:
                _settle(writes, StoreFailed(f"{self._name} can't be written: {failure_text(exc)}"))
            except BaseException:
                _settle(writes, StoreFailed(f"{self._name} was closed."))
                raise
            else:
                _settle(writes, changed)

    def _commit(self, writes: Sequence[_Write]) -> list[int]:
        """All of them or none. Blocks."""
        self._set_sync(synced=any(write.synced for write in writes))
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            changed = []
            for write in writes:
                counts = [execute(sql, parameters).rowcount for sql, parameters in write.statements]
                changed.append(counts[0])
            execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                execute("ROLLBACK")
            raise
        return changed

    def _set_sync(self, *, synced: bool) -> None:
        if synced is not self._is_synced:
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if synced else 'NORMAL'}")
            self._is_synced = synced


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    connection.executescript(BOUNDS)
    return connection


def _settle(writes: Sequence[_Write], outcome: StoreFailed | list[int]) -> None:
    for i, write in enumerate(writes):
        if write.changed.done():
            continue
        if isinstance(outcome, StoreFailed):
            write.changed.set_exception(outcome)
        else:
            write.changed.set_result(outcome[i])
