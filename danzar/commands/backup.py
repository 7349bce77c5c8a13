"""``danzar backup`` and ``danzar restore``: where they find things, and what they say."""

import asyncio
import sqlite3
from collections.abc import Mapping
from contextlib import closing, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from rich.console import Console

from danzar import store
from danzar.broker import habits, measured
from danzar.commands.noted import note_in
from danzar.config.load import config_folder, load_config
from danzar.config.places import data_folder, platform_config_folder
from danzar.config.settings import Config
from danzar.errors import DanzarError, ModelMissing
from danzar.http import api_keys
from danzar.jobs import store as jobs
from danzar.live.asking import Address, BotSilent, posted
from danzar.live.control import ALIVE_PATH, notes_in
from danzar.maintenance.backup import make_backup, source_of
from danzar.maintenance.manifest import CONFIG, DATA, Manifest
from danzar.maintenance.restore import KnownDatabase, Place, Restored, restore
from danzar.models.files import resolve
from danzar.resources import runs
from danzar.store_schema import MIGRATIONS
from danzar.units import format_size

Json = dict[str, Any]
_LOW_PRIORITY = 10  # of POSIX's 19
_NOBODY_THERE = aiohttp.ClientTimeout(total=5)


def databases() -> Mapping[str, KnownDatabase]:
    """Every database that a backup may hold, as this Danzar knows it."""
    return {
        store.STORE_FILE: KnownDatabase(len(MIGRATIONS), store.upgrade),
        jobs.JOBS_FILE: KnownDatabase(jobs.VERSION),
        measured.MEASURED_FILE: KnownDatabase(measured.VERSION),
        habits.HABITS_FILE: KnownDatabase(habits.VERSION),
        runs.RUNS_FILE: KnownDatabase(runs.VERSION),
        api_keys.FILE: KnownDatabase(api_keys.VERSION),
    }


def back_up(config: Config, target: Path | None, *, with_keys: bool) -> tuple[Path, Manifest]:
    """Make a backup; returns where it is.

    Args:
        config: All settings.
        target: The file, or a folder for it; ``None`` is the folder that the command runs in.
        with_keys: Put private keys in.

    Raises:
        danzar.maintenance.errors.BackupFailed: It can't be made.
    """
    name = f"danzar-{datetime.now(UTC):%Y%m%d-%H%M%S}.zip"
    file = Path(name) if target is None else target / name if target.is_dir() else target
    data = data_of_bot(config)

    return file, make_backup(source_of(config, data), file.absolute(), with_keys=with_keys)


def give_way() -> None:
    """Let whoever answers people have the processors first."""
    low = getattr(psutil, "BELOW_NORMAL_PRIORITY_CLASS", _LOW_PRIORITY)
    with suppress(psutil.Error, OSError):
        psutil.Process().nice(low)


def data_of_bot(config: Config) -> Path:
    """The usual data folder; where that has nothing, a running demo's."""
    folder = data_folder(config)
    if any((folder / name).exists() for name in databases()):
        return folder.absolute()
    living = (note for note in notes_in(folder) if asyncio.run(_lives(note)))
    found = next((Path(note.data) for note in living if note.data), folder)
    return found.absolute()


def put_back(
    file: Path, folder: Path | None, to: Path | None, *, force: bool, with_config: bool
) -> tuple[Place, Restored]:
    """Restore a backup.

    Args:
        file: The backup.
        folder: Of the settings, as ``--config`` named it.
        to: A folder for everything, instead of the usual places.
        force: Move aside what is in the way.
        with_config: Put the settings back, too.

    Raises:
        danzar.maintenance.errors.BadBackup: The file is no use.
        danzar.maintenance.errors.CannotRestore: The place is taken.
    """
    if to is not None:
        data, config = to.absolute() / DATA, to.absolute() / CONFIG
    else:
        data = data_folder(load_config(folder)).absolute()
        config = (folder or config_folder() or platform_config_folder()).absolute()
    place = Place(data, config if with_config else None, partial(is_in_use, data))
    restored = restore(file, place, databases(), force=force)
    made = f"the backup of {restored.manifest.made_at}"
    asyncio.run(note_in(place.data, "restore", made))
    return place, restored


def is_in_use(data: Path) -> bool:
    """Whether a bot, a server or a node runs with this data folder. Blocks."""
    return _jobs_are_held(data) or any(asyncio.run(_lives(note)) for note in notes_in(data))


def backup_json(file: Path, manifest: Manifest) -> Json:
    """As in docs/json.md."""
    return {
        "file": str(file.absolute()),
        "made_at": manifest.made_at,
        "danzar": manifest.danzar,
        "with_keys": manifest.with_keys,
        "files": [
            {"path": f.path, "bytes": f.size_bytes, "sha256": f.sha256, "version": f.version}
            for f in manifest.files
        ],
    }


def print_backup(file: Path, manifest: Manifest, console: Console) -> None:
    """What is in it, and what is not."""
    total = format_size(sum(f.size_bytes for f in manifest.files))
    size = format_size(file.stat().st_size)
    console.print(f"{file}: {len(manifest.files)} files, {total}, packed {size}")
    console.print("It holds conversations: keep it as you would keep them.")
    if not manifest.with_keys:
        console.print("Not in it: the token, weights of models, and private keys (--with-keys).")


def restored_json(place: Place, restored: Restored) -> Json:
    """As in docs/json.md."""
    return {
        "data": str(place.data),
        "config": None if place.config is None else str(place.config),
        "made_at": restored.manifest.made_at,
        "moved": {str(path): str(to) for path, to in restored.moved},
        "missing_models": missing_models(place, restored.manifest),
    }


def print_restored(place: Place, restored: Restored, console: Console) -> None:
    """Where everything is now, and what is still to do."""
    made = f"made {restored.manifest.made_at} by Danzar {restored.manifest.danzar}"
    console.print(f"Restored the backup {made}.")
    console.print(f"Data: {place.data}")
    if place.config is not None:
        console.print(f"Settings: {place.config}")
    for path, to in restored.moved:
        console.print(f"Moved aside: {path} -> {to}")
    for path in restored.kept:
        console.print(f"As it was, because the backup has none: {path}")
    missing = missing_models(place, restored.manifest)
    if missing:
        console.print(f"Models that are not here: {', '.join(missing)} (danzar models pull NAME)")
    console.print("Start only one Danzar with these jobs: the one that the backup is of would run")
    console.print("those that had not ended a second time.")


def missing_models(place: Place, manifest: Manifest) -> list[str]:
    """Models that the backup's settings name, and whose files are not where they belong."""
    try:
        config = load_config(place.config)
    except DanzarError:
        return sorted(manifest.models)
    return [name for name in sorted(manifest.models) if not _is_here(name, config)]


def _is_here(name: str, config: Config) -> bool:
    try:
        resolve(name, config)
    except ModelMissing:
        return False
    except DanzarError:
        return True  # it is there, and not as it should be: `danzar models verify` says how
    return True


def _jobs_are_held(data: Path) -> bool:
    """As a second bot would find out."""
    lock = data / jobs.LOCK_FILE
    if not lock.exists():
        return False
    try:
        with closing(sqlite3.connect(lock, timeout=0, isolation_level=None)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError:
        return True
    return False


async def _lives(address: Address) -> bool:
    """Whether a bot answers there: who does not know its secret is refused like a stranger."""
    try:
        async with posted(address, ALIVE_PATH, None, _NOBODY_THERE) as body:
            return body is not None
    except BotSilent:
        return True
