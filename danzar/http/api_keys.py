"""The API's keys: made once, kept hashed, and looked up with every request.

A key is 256 bits of chance, so there is nothing to guess from its hash: one SHA-256 is as safe as
scrypt, which exists for passwords that people think of, and which would cost every request 50 ms.
Because each request asks the file, what a command adds or revokes counts at once.
"""

import contextlib
import hashlib
import hmac
import re
import secrets
import sqlite3
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from danzar.database import Database, healthy_connection, is_damaged
from danzar.errors import BadInput, StoreFailed

FILE = "api_keys.db"
_PREFIX = "danzar"
_TAKEN = "environment-"
_ID_BYTES = 4
_SECRET_BYTES = 32
_KEY = re.compile(rf"^{_PREFIX}_([0-9a-f]{{8}})_([\w-]{{43}})$", re.ASCII)
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", re.ASCII)
VERSION = 1
_TABLE = """CREATE TABLE IF NOT EXISTS api_keys (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        digest BLOB NOT NULL,
        made_at REAL NOT NULL,
        revoked_at REAL,
        requests_per_minute INTEGER,
        concurrent INTEGER,
        jobs INTEGER
    ) STRICT"""
_COLUMNS = "id, name, made_at, revoked_at, requests_per_minute, concurrent, jobs"


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """What a key may; ``None``: as the settings say for all keys.

    Attributes:
        concurrent: Requests that are answered at once.
        jobs: Jobs that wait or run.
    """

    requests_per_minute: int | None = None
    concurrent: int | None = None
    jobs: int | None = None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret. Times are seconds since the epoch."""

    id: str
    name: str
    made_at: float
    revoked_at: float | None
    limits: KeyLimits

    @property
    def is_active(self) -> bool:
        """Whether it opens anything."""
        return self.revoked_at is None


class ApiKeys:
    """The open store; made by ``async with ApiKeys.open(...)``.

    Every method raises ``danzar.errors.StoreFailed`` where the file can't be used.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncGenerator["ApiKeys"]:
        """Open or create the file.

        Raises:
            danzar.errors.StoreFailed: It can't be opened.
        """
        async with Database.open(path, "the API's keys", _prepare) as database:
            yield cls(database)

    async def add(self, name: str, limits: KeyLimits) -> tuple[ApiKey, str]:
        """Make a key; its text is shown to its owner now, and known to nobody afterwards.

        Raises:
            BadInput: The name is taken, or no plain word.
        """
        if not _NAME.match(name):
            raise BadInput(f"{name!r} is no name for a key; use letters, digits, '.', '_' and '-'")
        number, secret = new_parts()
        now = time.time()
        row = (number, name, _digest(secret), now, *_limit_columns(limits))
        async with self._database.transaction() as connection:
            taken = await connection.execute_fetchall(
                "SELECT 1 FROM api_keys WHERE name = ?", (name,)
            )
            if taken:
                raise BadInput(f"there is, or was, a key named {name}; take another name")
            await connection.execute("INSERT INTO api_keys VALUES (?, ?, ?, ?, NULL, ?, ?, ?)", row)
        return ApiKey(number, name, now, None, limits), key_text(number, secret)

    async def take(self, text: str) -> None:
        """Let a key that was made elsewhere open what ours do, and end the one taken before it.

        Raises:
            BadInput: It has not the form of our keys.
        """
        parts = _KEY.match(text)
        if parts is None:
            raise BadInput("DANZAR_API_KEY is no key of Danzar's; make one with `danzar keys make`")
        now = time.time()
        row = (parts[1], f"{_TAKEN}{parts[1]}", now, _digest(parts[2]))
        async with self._database.transaction() as connection:
            await connection.execute(
                "UPDATE api_keys SET revoked_at = ? WHERE name LIKE ? AND id != ? "
                "AND revoked_at IS NULL",
                (now, f"{_TAKEN}%", parts[1]),
            )
            await connection.execute(
                "INSERT INTO api_keys (id, name, made_at, digest) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (id) DO UPDATE SET digest = excluded.digest, revoked_at = NULL",
                row,
            )

    async def revoke(self, name: str) -> ApiKey:
        """Let a key open nothing any more, at once.

        Raises:
            BadInput: There is no such key.
        """
        now = time.time()
        async with self._database.transaction() as connection:
            await connection.execute(
                "UPDATE api_keys SET revoked_at = ? WHERE name = ? AND revoked_at IS NULL",
                (now, name),
            )
        found = [key for key in await self.all() if key.name == name]
        if not found:
            raise BadInput(f"there is no key named {name!r}; `danzar keys list` shows them")
        return found[0]

    async def all(self) -> tuple[ApiKey, ...]:
        """Every key, the oldest first, revoked ones among them."""
        rows = await self._database.read(f"SELECT {_COLUMNS} FROM api_keys ORDER BY made_at, id")  # noqa: S608 - constant
        return tuple(_key(tuple(row)) for row in rows)

    async def any_exists(self) -> bool:
        """Whether a key was ever made: from then on, the API asks for one."""
        return bool(await self._database.read("SELECT 1 FROM api_keys LIMIT 1"))

    async def find(self, text: str) -> ApiKey | None:
        """The active key that this text is; ``None`` where it is none."""
        parts = _KEY.match(text)
        if parts is None:
            return None
        rows = await self._database.read(
            f"SELECT {_COLUMNS}, digest FROM api_keys WHERE id = ? AND revoked_at IS NULL",  # noqa: S608 - constant
            (parts[1],),
        )
        if not rows or not hmac.compare_digest(rows[0][-1], _digest(parts[2])):
            return None
        return _key(tuple(rows[0])[:-1])


def new_parts() -> tuple[str, str]:
    """A new key's number and secret."""
    return secrets.token_hex(_ID_BYTES), secrets.token_urlsafe(_SECRET_BYTES)


def key_text(number: str, secret: str) -> str:
    """The key as its owner types it."""
    return f"{_PREFIX}_{number}_{secret}"


def _prepare(path: Path) -> None:
    """Leave the table there. A damaged file is kept: without keys, more would be let in than were.

    Raises:
        StoreFailed: It is damaged, or of another version.
    """
    try:
        with contextlib.closing(healthy_connection(path)) as connection:
            found = connection.execute("PRAGMA user_version").fetchone()[0]
            if found not in (0, VERSION):
                raise StoreFailed(f"the API's keys {path} are of a newer Danzar; update this one")
            connection.execute(_TABLE)
            connection.execute(f"PRAGMA user_version = {VERSION}")
    except sqlite3.DatabaseError as exc:
        if not is_damaged(exc):
            raise
        raise StoreFailed(
            f"the API's keys {path} are damaged ({exc}); put a copy back, or delete the file and "
            "make new keys"
        ) from exc


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _limit_columns(limits: KeyLimits) -> tuple[int | None, int | None, int | None]:
    return limits.requests_per_minute, limits.concurrent, limits.jobs


def _key(row: tuple[object, ...]) -> ApiKey:
    number, name, made_at, revoked_at, *limits = row
    return ApiKey(number, name, made_at, revoked_at, KeyLimits(*limits))  # type: ignore[arg-type]
