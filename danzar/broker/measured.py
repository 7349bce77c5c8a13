"""What loads really took, kept in one SQLite file, so that the next estimate is right.

Bounded: the newest 8 loads of each key, and the newest 4,000 of all. Nothing here is dear: a file
that is damaged, or of another version, is deleted when it is opened, and measuring begins anew.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from danzar.database import Database, prepare_or_begin_anew
from danzar.estimate.correct import Measurement

MEASURED_FILE = "measured.db"
KEEP_PER_KEY = 8
KEEP_ALL = 4000
VERSION = 1
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
_prepare = partial(
    prepare_or_begin_anew, name="the measurements", version=VERSION, statements=(_TABLE, _INDEX)
)


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

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncGenerator["Measurements"]:
        """Open or create the file.

        Raises:
            StoreFailed: It can't be opened.
        """
        async with Database.open(path, "the measurements", _prepare) as database:
            yield cls(database)

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
        async with self._database.transaction() as connection:
            await connection.execute(
                "INSERT INTO measured (engine, file_hash, device_class, settings, "
                "estimated_bytes, measured_bytes, at_s) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*of_key, estimated_bytes, measured_bytes, at_s),
            )
            await connection.execute(
                "DELETE FROM measured WHERE engine = ?1 AND file_hash = ?2 AND device_class = ?3 "
                "AND settings = ?4 AND id NOT IN (SELECT id FROM measured WHERE engine = ?1 "
                "AND file_hash = ?2 AND device_class = ?3 AND settings = ?4 "
                "ORDER BY id DESC LIMIT ?5)",
                (*of_key, KEEP_PER_KEY),
            )
            await connection.execute(
                "DELETE FROM measured WHERE id NOT IN "
                "(SELECT id FROM measured ORDER BY id DESC LIMIT ?)",
                (KEEP_ALL,),
            )

    async def for_file(
        self, engine: str, file_hash: str, device_class: str
    ) -> tuple[Measurement, ...]:
        """All that is known of this file on this class of device, newest first."""
        rows = await self._database.read(
            "SELECT settings, estimated_bytes, measured_bytes, at_s FROM measured "
            "WHERE engine = ? AND file_hash = ? AND device_class = ? ORDER BY id DESC",
            (engine, file_hash, device_class),
        )
        return tuple(Measurement(*row) for row in rows)

    async def device_classes(self, engine: str, file_hash: str) -> tuple[str, ...]:
        """On what this file was measured, the newest first."""
        rows = await self._database.read(
            "SELECT device_class FROM measured WHERE engine = ? AND file_hash = ? "
            "GROUP BY device_class ORDER BY MAX(id) DESC",
            (engine, file_hash),
        )
        return tuple(row[0] for row in rows)
