"""Puts a backup in place, all of it or nothing. Blocks."""

import hashlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from danzar.maintenance.archive import extract, opened
from danzar.maintenance.errors import BadBackup, CannotRestore
from danzar.maintenance.manifest import CONFIG, DATA, Manifest

_KEYS = "keys"
_STAGING = ".danzar-restoring-"
_ASIDE = "before-restore-"
_LOST_FOUND = "lost+found"


@dataclass(frozen=True, slots=True)
class KnownDatabase:
    """A database of this Danzar.

    Attributes:
        version: The newest that it reads.
        upgrade: Brings a file of an older version to it; blocks.
    """

    version: int
    upgrade: Callable[[Path], None] | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a backup goes.

    Attributes:
        data: The data folder; it may exist.
        config: The settings' folder, or ``None`` where they stay as they are.
        is_in_use: Asks whether a bot runs with this data folder.
    """

    data: Path
    config: Path | None
    is_in_use: Callable[[], bool]


@dataclass(slots=True)
class Restored:
    """What was done.

    Attributes:
        moved: What was there before, and where it is now.
        kept: What the backup did not have, and is as it was.
    """

    manifest: Manifest
    moved: list[tuple[Path, Path]] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)


def restore(
    file: Path, place: Place, databases: Mapping[str, KnownDatabase], *, force: bool = False
) -> Restored:
    """Check the backup, upgrade its databases, then put all of it in place.

    Args:
        file: The backup.
        place: Where it goes.
        databases: By file name.
        force: Move aside what is there.

    Raises:
        BadBackup: It is damaged, no backup, or of a newer Danzar; nothing was changed.
        CannotRestore: A bot runs there, or something is there; nothing was changed.
    """
    with opened(file) as (archive, manifest):
        _check_versions(manifest, databases)
        _check_free(place, _settings_in(manifest), force=force)
        with _staging(place.data) as staging:
            extract(archive, manifest, staging)
            _upgrade(staging / DATA, databases)
            return _put_in_place(staging, place, Restored(manifest), force=force)


def _check_versions(manifest: Manifest, databases: Mapping[str, KnownDatabase]) -> None:
    for file in manifest.files:
        if file.version is None:
            continue
        known = databases.get(PurePosixPath(file.path).name)
        if known is None or file.version > known.version:
            here = "none" if known is None else known.version
            raise BadBackup(
                f"{file.path} has version {file.version}, this Danzar knows {here}; the backup was "
                f"made by Danzar {manifest.danzar}: update Danzar"
            )


def _check_free(place: Place, new_config: Mapping[str, str], *, force: bool) -> None:
    if place.is_in_use():
        raise CannotRestore(f"a Danzar runs with the data folder {place.data}; stop it first")
    taken = place.data if _entries(place.data) else _other_settings(place.config, new_config)
    if taken is not None and not force:
        raise CannotRestore(f"{taken} is there already; --force moves aside what is in the way")


def _entries(data: Path) -> list[Path]:
    """What is in the data folder, but for what a file system or this needs there."""
    if not data.is_dir():
        return []
    return [
        entry
        for entry in sorted(data.iterdir())
        if entry.name != _LOST_FOUND and not entry.name.startswith((_STAGING, _ASIDE))
    ]


def _other_settings(config: Path | None, new: Mapping[str, str]) -> Path | None:
    """A file of settings that is there, and other than the backup's."""
    files = () if config is None else (config / name for name in new)
    return next((f for f in files if f.is_file() and _sha256(f) != new[f.name]), None)


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@contextmanager
def _staging(data: Path) -> Iterator[Path]:
    """A folder on the same disk, so that putting things in place is a matter of new names."""
    parent = data if _is_volume(data) else data.parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=_STAGING, dir=parent))
    except OSError as exc:
        raise CannotRestore(f"{parent} can't be written: {exc}") from exc
    try:
        (folder / DATA).mkdir()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_volume(data: Path) -> bool:
    """Whether the folder itself can't be renamed, as a container's volume."""
    return data.is_dir() and os.path.ismount(data)


def _upgrade(data: Path, databases: Mapping[str, KnownDatabase]) -> None:
    for name, known in databases.items():
        file = data / name
        if known.upgrade is not None and file.is_file():
            try:
                known.upgrade(file)
            except sqlite3.Error as exc:
                raise BadBackup(f"{name} of the backup can't be used: {exc}") from exc


def _put_in_place(staging: Path, place: Place, done: Restored, *, force: bool) -> Restored:
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
    with ExitStack() as undo:
        try:
            # Again: unpacking may have taken minutes.
            _check_free(place, _settings_in(done.manifest), force=force)
            replace = _replace_entries if _is_volume(place.data) else _replace_folder
            replace(staging / DATA, place.data, stamp, _Steps(done, undo))
            if place.config is not None:
                _replace_config(staging / CONFIG, place.config, stamp, _Steps(done, undo))
        except OSError as exc:
            raise CannotRestore(f"the backup can't be put in place: {exc}") from exc
        undo.pop_all()
    return done


@dataclass(frozen=True, slots=True)
class _Steps:
    """Renames that can be taken back."""

    done: Restored
    undo: ExitStack

    def rename(self, path: Path, to: Path) -> None:
        path.rename(to)
        self.undo.callback(to.rename, path)

    def move_aside(self, path: Path, to: Path) -> None:
        self.rename(path, to)
        self.done.moved.append((path, to))


def _replace_folder(new: Path, data: Path, stamp: str, steps: _Steps) -> None:
    if not _entries(data):
        if data.is_dir():
            data.rmdir()
            steps.undo.callback(data.mkdir)
    else:
        keys = data / _KEYS
        if keys.is_dir() and not (new / _KEYS).exists():
            shutil.copytree(keys, new / _KEYS)
            steps.done.kept.append(keys)
        steps.move_aside(data, data.with_name(f"{data.name}.{_ASIDE}{stamp}"))
    steps.rename(new, data)


def _replace_entries(new: Path, data: Path, stamp: str, steps: _Steps) -> None:
    entries = _entries(data)
    if entries:
        aside = data / f"{_ASIDE}{stamp}"
        aside.mkdir()
        for entry in entries:
            if entry.name == _KEYS and not (new / _KEYS).exists():
                steps.done.kept.append(entry)
            else:
                steps.move_aside(entry, aside / entry.name)
    for entry in sorted(new.iterdir()):
        steps.rename(entry, data / entry.name)


def _replace_config(new: Path, config: Path, stamp: str, steps: _Steps) -> None:
    config.mkdir(parents=True, exist_ok=True)
    for name, sha256 in _settings_in(steps.done.manifest).items():
        target = config / name
        if target.is_file():
            if _sha256(target) == sha256:
                continue
            steps.move_aside(target, target.with_name(f"{name}.{_ASIDE}{stamp}"))
        steps.undo.callback(target.unlink, missing_ok=True)
        # The settings' folder may be on another disk than the data.
        shutil.copyfile(new / name, target)


def _settings_in(manifest: Manifest) -> dict[str, str]:
    """The SHA-256 of each file of settings, by its name."""
    paths = ((PurePosixPath(file.path), file.sha256) for file in manifest.files)
    return {path.name: sha256 for path, sha256 in paths if path.parts[0] == CONFIG}
