"""What outlives a restart, in one SQLite file: conversations, and who did what.

    history   messages per channel, the newest ``keep_messages`` of each
    audit     the newest 10,000 actions of people
    incidents see ``danzar.incidents.store``

A damaged file is moved aside when it is opened, and a new one is begun.
"""

import logging
import sqlite3
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from danzar.database import Database, healthy_connection, is_damaged, move
from danzar.errors import StoreFailed
from danzar.logs.line import shorten
from danzar.logs.redaction import known_secrets, redact_line
from danzar.maintenance.databases import drop_oldest, keep_before_upgrade
from danzar.store_schema import MIGRATIONS

log = logging.getLogger(__name__)

STORE_FILE = "danzar.db"  # in the data folder
KEEP_CHANNELS = 1000
KEEP_AUDIT = 10_000
_MOST_DETAIL_CHARS = 1000
_KEEP_DAMAGED = 6  # with their companions, the newest two


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """One side of a turn.

    Attributes:
        turn_id: Discord's id of the question; the answer to it has the same.
        author: Display name at that time.
        facts: What was measured in the question's picture, one line each.
        stopped: The answer was stopped before its end.
        created_at_s: Seconds since 1970.
    """

    channel_id: int
    turn_id: int
    role: Literal["user", "assistant"]
    author: str
    text: str
    facts: tuple[str, ...]
    stopped: bool
    created_at_s: float


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what, and when (seconds since 1970)."""

    actor: str
    action: str
    detail: str
    at_s: float


class Store:
    """The open database; made by ``async with Store.open(...)``.

    Attributes:
        database: The file, for what keeps tables of its own in it.

    Every method raises ``StoreFailed`` where the database can't be read or written.
    """

    def __init__(self, database: Database, keep_messages: int) -> None:
        self.database = database
        self._keep_messages = keep_messages

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path, *, keep_messages: int) -> AsyncGenerator["Store"]:
        """Open or create the database; a damaged one is moved aside first.

        Raises:
            StoreFailed: It can't be opened, or was made by a newer Danzar.
        """
        async with Database.open(path, "the database", _prepare) as database:
            yield cls(database, keep_messages)

    async def save_turn(self, question: StoredMessage, answer: StoredMessage) -> None:
        """Keep both sides of a turn, in place of what was kept under its id before."""
        rows = [_row(question), _row(answer)]
        async with self.database.transaction() as connection:
            await connection.executemany(
                "INSERT OR REPLACE INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows
            )
            await connection.execute(
                "DELETE FROM messages WHERE channel_id = ? AND (turn_id, role) IN (SELECT turn_id, "
                "role FROM messages WHERE channel_id = ? ORDER BY turn_id DESC, role "
                "LIMIT -1 OFFSET ?)",
                (question.channel_id, question.channel_id, self._keep_messages),
            )

    async def history(
        self, channel_id: int, *, before_turn: int, limit: int
    ) -> tuple[StoredMessage, ...]:
        """The newest ``limit`` messages of the turns before one, oldest first."""
        rows = await self.database.read(
            "SELECT * FROM messages WHERE channel_id = ? AND turn_id < ? "
            "ORDER BY turn_id DESC, role LIMIT ?",
            (channel_id, before_turn, limit),
        )
        return tuple(_message(row) for row in reversed(rows))

    async def reset(self, channel_id: int) -> int:
        """Forget a channel's messages; returns how many there were."""
        async with self.database.transaction() as connection:
            cursor = await connection.execute(
                "DELETE FROM messages WHERE channel_id = ?", (channel_id,)
            )
            return cursor.rowcount

    async def audit(self, actor: str, action: str, detail: str) -> None:
        """Note that someone did something. What looks like a secret is left out of the details.

        What was done stays done: a line that can't be kept is in the log instead.
        """
        detail = shorten(redact_line(detail, known_secrets()), _MOST_DETAIL_CHARS)
        try:
            await self._keep_line(actor, action, detail)
        except StoreFailed as exc:
            log.warning("not in the audit: %s by %s, %s: %s", action, actor, detail, exc)

    async def _keep_line(self, actor: str, action: str, detail: str) -> None:
        async with self.database.transaction() as connection:
            cursor = await connection.execute(
                "INSERT INTO audit (actor, action, detail, at_s) VALUES (?, ?, ?, ?)",
                (actor, action, detail, time.time()),
            )
            oldest_kept = (cursor.lastrowid or 0) - KEEP_AUDIT
            await connection.execute("DELETE FROM audit WHERE id <= ?", (oldest_kept,))

    async def recent_audit(self, limit: int) -> tuple[AuditEntry, ...]:
        """The newest entries, newest first."""
        rows = await self.database.read(
            "SELECT actor, action, detail, at_s FROM audit ORDER BY id DESC LIMIT ?", (limit,)
        )
        return tuple(AuditEntry(*row) for row in rows)


def _row(message: StoredMessage) -> tuple[object, ...]:
    return (
        message.channel_id,
        message.turn_id,
        message.role,
        message.author,
        message.text,
        "\n".join(" ".join(fact.split()) for fact in message.facts),
        int(message.stopped),
        message.created_at_s,
    )


def _message(row: sqlite3.Row) -> StoredMessage:
    channel_id, turn_id, role, author, text, facts, stopped, created_at_s = row
    lines = tuple(facts.splitlines())
    return StoredMessage(
        channel_id, turn_id, role, author, text, lines, bool(stopped), created_at_s
    )


def _prepare(path: Path) -> None:
    """Leave a healthy database of the newest version at ``path``. Blocks."""
    try:
        upgrade(path)
    except sqlite3.DatabaseError as exc:
        if not is_damaged(exc):
            raise
        aside = _move_aside(path)
        log.warning("the database was damaged (%s); moved to %s, history begins anew", exc, aside)
        upgrade(path)


def upgrade(path: Path) -> None:
    """Bring a healthy database to the newest version, and keep what it was beside it. Blocks.

    Raises:
        StoreFailed: A newer Danzar made it.
        danzar.maintenance.errors.BackupFailed: There is no room to keep it as it was.
        sqlite3.Error: It can't be written, or is damaged.
    """
    with closing(healthy_connection(path)) as connection:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > len(MIGRATIONS):
            raise StoreFailed(
                f"the database {path} has version {version}, this Danzar knows {len(MIGRATIONS)}; "
                "update Danzar, or move the file away"
            )
        if 0 < version < len(MIGRATIONS):
            log.info("the database as it was is kept in %s", keep_before_upgrade(path, version))
        for number in range(version, len(MIGRATIONS)):
            _apply(connection, number)
        _drop_oldest_channels(connection)


def _apply(connection: sqlite3.Connection, number: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for statement in MIGRATIONS[number]:
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {number + 1}")
    connection.execute("COMMIT")


def _drop_oldest_channels(connection: sqlite3.Connection) -> None:
    connection.execute(
        "DELETE FROM messages WHERE channel_id NOT IN (SELECT channel_id FROM messages "
        "GROUP BY channel_id ORDER BY MAX(turn_id) DESC LIMIT ?)",
        (KEEP_CHANNELS,),
    )


def _move_aside(path: Path) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    aside = path.with_name(f"{path.name}.corrupt-{stamp}")
    move(path, aside)
    drop_oldest(path.parent, f"{path.name}.corrupt-*", _KEEP_DAMAGED)
    return aside
