"""What generations really took, kept in one SQLite file, so that the next estimate is right.

Bounded: the newest 8 runs of each model on each kind of card. A damaged file begins anew.
"""

import statistics
from collections import defaultdict, deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from danzar.database import Database, prepare_or_begin_anew
from danzar.resources.subject import NOTHING_LEARNED, Learned

RUNS_FILE = "generation_runs.db"
KEEP_PER_KEY = 8
# Fewer runs than this may raise an estimate, not lower it.
TRUSTED_RUNS = 3
VERSION = 1
_TABLE = """
    CREATE TABLE IF NOT EXISTS runs (
        id INTEGER PRIMARY KEY,
        model_type TEXT NOT NULL,
        device_class TEXT NOT NULL,
        vram_factor REAL,
        time_factor REAL
    )
"""
_prepare = partial(
    prepare_or_begin_anew, name="the generation runs", version=VERSION, statements=(_TABLE,)
)


@dataclass(frozen=True, slots=True)
class Run:
    """One generation, measured over estimated; ``None`` where there was nothing to compare.

    Attributes:
        device_class: The card's name, or ``cpu``.
    """

    model_type: str
    device_class: str
    vram_factor: float | None
    time_factor: float | None


class Runs:
    """The open file; made by ``async with Runs.open(path)``. Reading it never waits."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[tuple[str, str], deque[Run]] = defaultdict(
            lambda: deque(maxlen=KEEP_PER_KEY)
        )

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncGenerator["Runs"]:
        """Open or create the file, and read it.

        Raises:
            StoreFailed: It can't be opened or read.
        """
        async with Database.open(path, "the generation runs", _prepare) as database:
            runs = cls(database)
            for row in await database.read(
                "SELECT model_type, device_class, vram_factor, time_factor FROM runs ORDER BY id"
            ):
                runs._remember(Run(*row))
            yield runs

    def learned(self, model_type: str, device_class: str) -> Learned:
        """What the last runs say; nothing where there were none."""
        known = self._known.get((model_type, device_class), ())
        return learn(tuple(known))

    async def record(self, run: Run) -> None:
        """Keep a run, and drop the oldest of its kind.

        Raises:
            StoreFailed: It can't be written.
        """
        async with self._database.transaction() as connection:
            await connection.execute(
                "INSERT INTO runs (model_type, device_class, vram_factor, time_factor) "
                "VALUES (?, ?, ?, ?)",
                (run.model_type, run.device_class, run.vram_factor, run.time_factor),
            )
            await connection.execute(
                "DELETE FROM runs WHERE model_type = ?1 AND device_class = ?2 AND id NOT IN "
                "(SELECT id FROM runs WHERE model_type = ?1 AND device_class = ?2 "
                "ORDER BY id DESC LIMIT ?3)",
                (run.model_type, run.device_class, KEEP_PER_KEY),
            )
        self._remember(run)

    def _remember(self, run: Run) -> None:
        self._known[run.model_type, run.device_class].append(run)


def learn(runs: tuple[Run, ...]) -> Learned:
    """The largest VRAM of the runs and their median time, over what was estimated."""
    if not runs:
        return NOTHING_LEARNED
    vram = max((r.vram_factor for r in runs if r.vram_factor is not None), default=1.0)
    times = [r.time_factor for r in runs if r.time_factor is not None]
    if len(runs) < TRUSTED_RUNS:
        vram = max(1.0, vram)
    return Learned(len(runs), vram, statistics.median(times) if times else 1.0)
