"""Every file that Danzar writes, with what bounds it and whether a backup holds it. Pure.

The tests run a demo and find nothing that is not listed here; docs/maintenance.md is this table.
"""

from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from danzar.database import WAL_BOUND_BYTES
from danzar.units import MIB, format_size


class Kept(StrEnum):
    """What a backup does with a file."""

    DATABASE = "database"
    """Copied by SQLite, while it is in use."""
    COPY = "copy"
    KEYS = "keys"
    """Private keys: only where the owner asks for them."""
    NO = "no"
    """Of this run or this machine alone, or made anew when it is missing."""


@dataclass(frozen=True, slots=True)
class FileKind:
    """Files of one kind.

    Attributes:
        pattern: Paths below the data folder, with ``*`` for any part of a path.
        holds: What is in it.
        bound: What keeps it from growing.
        bound_bytes: The same of one file as the settings come; ``None`` where rows are counted.
    """

    pattern: str
    holds: str
    bound: str
    kept: Kept = Kept.NO
    bound_bytes: int | None = None


INVENTORY: tuple[FileKind, ...] = (
    FileKind(
        "danzar.db",
        "conversations, the audit, incidents",
        "chat.keep_messages of each of 1,000 channels; 10,000 lines of audit; alerts.keep "
        "incidents",
        Kept.DATABASE,
    ),
    FileKind(
        "jobs.db",
        "accepted jobs and their results",
        "jobs.keep_s, jobs.keep_size, jobs.max_waiting for each model",
        Kept.DATABASE,
    ),
    FileKind(
        "measured.db",
        "what loads really took",
        "8 loads of each kind, 4,000 in all",
        Kept.DATABASE,
        bound_bytes=64 * MIB,
    ),
    FileKind(
        "habits.db",
        "when models are asked for",
        "a week's hours of each model",
        Kept.DATABASE,
        bound_bytes=16 * MIB,
    ),
    FileKind(
        "generation_runs.db",
        "what making pictures really took",
        "8 runs of each model on each kind of card",
        Kept.DATABASE,
        bound_bytes=16 * MIB,
    ),
    FileKind(
        "api_keys.db",
        "names and hashes of the API's keys, no key",
        "as many rows as keys were made",
        Kept.DATABASE,
        bound_bytes=16 * MIB,
    ),
    FileKind(
        "journal.db",
        "worker processes that live",
        "one row for each; begun anew after a boot",
        bound_bytes=MIB,
    ),
    FileKind(
        "*.db-wal",
        "what SQLite has not written back",
        f"{format_size(WAL_BOUND_BYTES)} after each write-back",
        bound_bytes=WAL_BOUND_BYTES,
    ),
    FileKind("*.db-shm", "SQLite's index of the above", "32 KiB for each 4 MiB of it"),
    FileKind("*.db-journal", "a transaction that is being written", "gone after it"),
    FileKind("danzar.db.before-v*", "the database before an upgrade changed it", "the newest 2"),
    FileKind("*.db.before-v*", "a database before an upgrade changed it", "the newest 2 of each"),
    FileKind("danzar.db.corrupt-*", "a damaged database, moved aside", "the newest 2"),
    FileKind("jobs.db.damaged-*", "a damaged database, moved aside", "the newest 2"),
    FileKind(
        "jobs.lock", "nothing: held by the process that has the jobs", "empty", bound_bytes=MIB
    ),
    FileKind("jobs.lock-journal", "nothing: see jobs.lock", "empty", bound_bytes=MIB),
    FileKind(
        "reservations.json",
        "reservations that were asked for",
        "one for each purpose",
        Kept.COPY,
        bound_bytes=MIB,
    ),
    FileKind(
        "batch_curves.json",
        "what batches take",
        "the newest 64",
        Kept.COPY,
        bound_bytes=16 * MIB,
    ),
    FileKind(
        "speeds.json",
        "usual speeds, to notice spilling",
        "256",
        Kept.COPY,
        bound_bytes=16 * MIB,
    ),
    FileKind(
        "checksums.json",
        "models that were vouched for",
        "the newest 1,000",
        Kept.COPY,
        bound_bytes=4 * MIB,
    ),
    FileKind(
        "decisions.jsonl",
        "decisions of the planner",
        "64 MiB with the next",
        Kept.COPY,
        bound_bytes=64 * MIB,
    ),
    FileKind("decisions.1.jsonl", "older decisions", "see above", Kept.COPY, bound_bytes=64 * MIB),
    FileKind("*.json.new", "a file that is being replaced", "as large as the file"),
    FileKind(".*.json.*", "a file that is being replaced", "as large as the file"),
    FileKind(
        "control.json",
        "how commands reach the bot; a secret",
        "one line; gone with the bot",
        bound_bytes=MIB,
    ),
    FileKind(
        "control-demo.json", "the same for a demo", "one line; gone with the demo", bound_bytes=MIB
    ),
    FileKind("demo.log", "what a demo's bot printed", "8 MiB with the next", bound_bytes=4 * MIB),
    FileKind("demo.1.log", "older lines of it", "see above", bound_bytes=4 * MIB),
    FileKind("logs/danzar*.jsonl", "the log", "logs.max_size", bound_bytes=10 * MIB),
    FileKind("logs/demo/danzar*.jsonl", "the log of demos", "logs.max_size", bound_bytes=10 * MIB),
    FileKind("backups/danzar-*.zip", "daily backups", "maintenance.keep_backups"),
    FileKind("backups/.danzar-*", "a backup that is being made", "gone after it"),
    FileKind("keys/*", "certificates and private keys", "as many as nodes were added", Kept.KEYS),
)

OUTSIDE: tuple[FileKind, ...] = (
    FileKind("CONFIG/*.yaml", "settings, written by `danzar config` only", "1 MiB each", Kept.COPY),
    FileKind("CONFIG/.*.yaml.*", "settings that are being replaced", "as large as the file"),
    FileKind("MODELS/*", "models that were pulled", "what models.yaml lists"),
    FileKind("MODELS/*.part*", "a download that broke off", "as large as the model; resumed"),
    FileKind(
        "TEMP/danzar-demo-*", "a demo's data folder", "as the data folder; gone with the demo"
    ),
    FileKind("TEMP/danzar-*", "a command's own database", "gone with the command"),
    FileKind("TEMP/danzar-video-*", "a video while it is written", "one video"),
    FileKind("MEMORY/danzar-*", "warm copies of models (host RAM)", "vram.warm.budget"),
)


def kind_of(path: PurePosixPath) -> FileKind | None:
    """What a file below the data folder is; ``None``: none of Danzar's."""
    return next((kind for kind in INVENTORY if fnmatchcase(str(path), kind.pattern)), None)
