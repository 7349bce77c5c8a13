"""What was learned of when which model is used, kept in one SQLite file across restarts.

Names of models, times of day and sums are all that is in it; nothing about people. Bounded as what
it keeps is: 28 days of each model, and one row for each pair of models. Nothing here is dear: a
file that is damaged, or of another version, is deleted when it is opened, and learning begins anew.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from danzar.broker.habit_rows import Rows, read_rows, rows_of
from danzar.broker.local_time import local_s
from danzar.core.state import State
from danzar.database import Database, prepare_or_begin_anew
from danzar.errors import StoreFailed

log = logging.getLogger(__name__)

HABITS_FILE = "habits.db"
SAVE_EVERY_S = 60.0
VERSION = 1
_TABLE = """
    CREATE TABLE IF NOT EXISTS habits (
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        part TEXT NOT NULL,
        value BLOB NOT NULL,
        PRIMARY KEY (kind, name, part)
    ) WITHOUT ROWID
"""
_prepare = partial(prepare_or_begin_anew, name="the habits", version=VERSION, statements=(_TABLE,))


class HabitFile:
    """The open file; made by ``async with HabitFile.open(path)``.

    Every method raises ``StoreFailed`` where the file can't be read or written.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._saved: Rows = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncGenerator["HabitFile"]:
        """Open or create the file.

        Raises:
            StoreFailed: It can't be opened.
        """
        async with Database.open(path, "the habits", _prepare) as database:
            yield cls(database)

    async def restore(self, state: State, now_s: float) -> None:
        """Let the scheduler know what was learned; to be called before it runs.

        Args:
            state: The scheduler's.
            now_s: The scheduler's clock.
        """
        found = await self._database.read("SELECT kind, name, part, value FROM habits")
        self._saved = {(row[0], row[1], row[2]): row[3] for row in found}
        read_rows(self._saved, state, now_s, local_s())

    async def save(self, state: State, now_s: float) -> None:
        """Write what has changed since the last time."""
        rows = rows_of(state, now_s, local_s())
        changed = [(*key, value) for key, value in rows.items() if self._saved.get(key) != value]
        gone = [key for key in self._saved if key not in rows]
        if not changed and not gone:
            return
        async with self._database.transaction() as connection:
            await connection.executemany(
                "INSERT OR REPLACE INTO habits (kind, name, part, value) VALUES (?, ?, ?, ?)",
                changed,
            )
            await connection.executemany(
                "DELETE FROM habits WHERE kind = ? AND name = ? AND part = ?", gone
            )
        self._saved = rows


class HabitKeeper:
    """Saves now and then, and at the end. A disk that fails is told in the log, no more."""

    def __init__(self, file: HabitFile, state: State, now_s: Callable[[], float]) -> None:
        """Keep ``state`` in ``file``; ``now_s`` is the scheduler's clock."""
        self._file = file
        self._state = state
        self._now_s = now_s

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                await asyncio.sleep(SAVE_EVERY_S)
                await self._save()
        finally:
            await self._save()

    async def _save(self) -> None:
        try:
            await self._file.save(self._state, self._now_s())
        except StoreFailed as exc:
            log.warning("%s; what was learned lives until Danzar ends", exc)
