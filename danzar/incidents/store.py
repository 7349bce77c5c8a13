"""Incidents, their messages, mutes and the last digest in the database; all of it bounded."""

import sqlite3
from collections.abc import Iterable
from datetime import date, datetime, timedelta

from danzar.database import Database
from danzar.incidents.record import (
    IncidentRecord,
    Mute,
    Place,
    Stored,
    decode_record,
    encode_record,
    from_unix,
)

# What may come back, or whose last edit may be missing, is younger.
_RECENT = 200
_MOST_MUTES = 256
_KEPT_DIGESTS = 30


class IncidentStore:
    """Part of ``danzar.store.Store``. Every method raises ``StoreFailed`` where the file fails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self) -> Stored:
        """What an earlier run left; rows that can't be read are left out."""
        rows = await self._database.read(
            "SELECT body, number, channel_id, message_id, shown FROM incidents "
            "WHERE closed_at_s IS NULL UNION ALL SELECT * FROM (SELECT body, number, channel_id, "
            "message_id, shown FROM incidents WHERE closed_at_s IS NOT NULL "
            "ORDER BY closed_at_s DESC LIMIT ?) ORDER BY number",
            (_RECENT,),
        )
        mutes = await self._database.read("SELECT key, number, actor, until_s FROM mutes")
        return Stored(
            records=tuple(r for row in rows if (r := decode_record(row[0])) is not None),
            places={row[1]: Place(*row[2:]) for row in rows if row[3] is not None},
            mutes=tuple(_mute(row) for row in mutes),
            opened=await self._highest(),
        )

    async def save(self, records: Iterable[IncidentRecord]) -> None:
        """Keep the records as they are now."""
        rows = [
            (r.number, r.key, r.opened_at.timestamp(), _unix(r.closed_at), encode_record(r))
            for r in records
        ]
        async with self._database.transaction() as connection:
            await connection.executemany(
                "INSERT INTO incidents (number, key, opened_at_s, closed_at_s, body) "
                "VALUES (?, ?, ?, ?, ?) ON CONFLICT (number) DO UPDATE SET "
                "closed_at_s = excluded.closed_at_s, body = excluded.body",
                rows,
            )

    async def save_place(self, number: int, place: Place) -> None:
        """Keep where an incident's message is, and what it shows."""
        async with self._database.transaction() as connection:
            await connection.execute(
                "UPDATE incidents SET channel_id = ?, message_id = ?, shown = ? WHERE number = ?",
                (place.channel_id, place.message_id, place.shown, number),
            )

    async def save_mute(self, mute: Mute) -> None:
        """Keep a mute in place of the one that its key had; the oldest go if there are many."""
        until_s = None if mute.until is None else mute.until.timestamp()
        async with self._database.transaction() as connection:
            await connection.execute(
                "INSERT OR REPLACE INTO mutes (key, number, actor, until_s) VALUES (?, ?, ?, ?)",
                (mute.key, mute.number, mute.actor, until_s),
            )
            await connection.execute(
                "DELETE FROM mutes WHERE key NOT IN "
                "(SELECT key FROM mutes ORDER BY number DESC LIMIT ?)",
                (_MOST_MUTES,),
            )

    async def delete_mute(self, key: str) -> None:
        """Forget a mute."""
        async with self._database.transaction() as connection:
            await connection.execute("DELETE FROM mutes WHERE key = ?", (key,))

    async def prune(self, now: datetime, *, keep_days: float, keep: int) -> None:
        """Forget closed incidents that are old or too many."""
        oldest_s = (now - timedelta(days=keep_days)).timestamp()
        async with self._database.transaction() as connection:
            await connection.execute("DELETE FROM incidents WHERE closed_at_s < ?", (oldest_s,))
            await connection.execute(
                "DELETE FROM incidents WHERE number IN (SELECT number FROM incidents WHERE "
                "closed_at_s IS NOT NULL ORDER BY closed_at_s DESC LIMIT -1 OFFSET ?)",
                (keep,),
            )

    async def between(self, since: datetime, until: datetime) -> tuple[IncidentRecord, ...]:
        """Incidents that lasted at some time of a span, oldest first."""
        rows = await self._database.read(
            "SELECT body FROM incidents WHERE opened_at_s < ? AND "
            "(closed_at_s IS NULL OR closed_at_s >= ?) ORDER BY number",
            (until.timestamp(), since.timestamp()),
        )
        return tuple(r for (body,) in rows if (r := decode_record(body)) is not None)

    async def last_digest(self) -> date | None:
        """The last day whose digest was sent, or left out."""
        rows = await self._database.read("SELECT MAX(day) FROM digests")
        day = rows[0][0]
        return None if day is None else date.fromisoformat(day)

    async def save_digest(self, day: date, at: datetime) -> None:
        """Note that a day's digest is done with."""
        async with self._database.transaction() as connection:
            await connection.execute(
                "INSERT OR REPLACE INTO digests (day, at_s) VALUES (?, ?)",
                (day.isoformat(), at.timestamp()),
            )
            await connection.execute(
                "DELETE FROM digests WHERE day NOT IN "
                "(SELECT day FROM digests ORDER BY day DESC LIMIT ?)",
                (_KEPT_DIGESTS,),
            )

    async def _highest(self) -> int:
        rows = await self._database.read("SELECT seq FROM sqlite_sequence WHERE name = 'incidents'")
        return int(rows[0][0]) if rows else 0


def _mute(row: sqlite3.Row) -> Mute:
    key, number, actor, until_s = row
    return Mute(key, number, actor, None if until_s is None else from_unix(until_s))


def _unix(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()
