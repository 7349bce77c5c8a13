"""Makes a backup: one ZIP file of the databases, the state and the settings. Blocks."""

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path, PurePosixPath

import msgspec

from danzar.config.settings import Config
from danzar.maintenance.databases import copy_database
from danzar.maintenance.errors import BackupFailed
from danzar.maintenance.inventory import Kept, kind_of
from danzar.maintenance.manifest import CONFIG, DATA, FORMAT, MANIFEST, BackedUp, Manifest

_CHUNK_BYTES = 1024 * 1024
_COMPRESSION = 3  # a third of the time of the usual 6, and a tenth more bytes
_PRIVATE = 0o600


@dataclass(frozen=True, slots=True)
class Source:
    """What is backed up.

    Attributes:
        data: The data folder.
        config: The settings' folder; ``None`` where there are only defaults.
        models: By name, the SHA-256 of their files, where one is known.
    """

    data: Path
    config: Path | None
    models: dict[str, str | None]


def source_of(config: Config, data: Path) -> Source:
    """What a backup of these settings holds."""
    models = {name: entry.sha256 for name, entry in config.models.models.items()}
    return Source(data, config.folder, models)


def make_backup(source: Source, target: Path, *, with_keys: bool = False) -> Manifest:
    """Write the backup; a bot may run meanwhile, and is not kept from anything.

    Args:
        source: What is backed up.
        target: The file; it is there whole, or not at all.
        with_keys: Put certificates' private keys in, too.

    Raises:
        BackupFailed: Something can't be read, or there is no room, or the file is there already.
    """
    if target.exists():
        raise BackupFailed(f"{target} is there already; name another file")
    files = list(_chosen(source, with_keys=with_keys))
    if not any(path.startswith(f"{DATA}/") for path, _ in files):
        raise BackupFailed(f"there is nothing of Danzar in {source.data} to back up")
    try:
        with (
            _draft(target) as draft,
            tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch,
        ):
            manifest = _write(draft, files, source, Path(scratch), with_keys=with_keys)
            draft.replace(target)
    except OSError as exc:
        raise BackupFailed(f"{target} can't be written: {exc}") from exc
    return manifest


def _write(
    draft: Path,
    files: Iterable[tuple[str, Path]],
    source: Source,
    scratch: Path,
    *,
    with_keys: bool,
) -> Manifest:
    backed_up: list[BackedUp] = []
    with zipfile.ZipFile(
        draft, "w", zipfile.ZIP_DEFLATED, allowZip64=True, compresslevel=_COMPRESSION
    ) as archive:
        for path, file in files:
            backed_up.extend(_put(archive, path, file, scratch))
        manifest = Manifest(
            FORMAT,
            metadata.version("danzar"),
            datetime.now(UTC).isoformat(timespec="seconds"),
            with_keys,
            tuple(backed_up),
            source.models,
        )
        archive.writestr(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1))
    return manifest


def _chosen(source: Source, *, with_keys: bool) -> Iterator[tuple[str, Path]]:
    """Every file with its path in the backup."""
    wanted = {Kept.DATABASE, Kept.COPY} | ({Kept.KEYS} if with_keys else set())
    for file in sorted(source.data.rglob("*")):
        inner = PurePosixPath(file.relative_to(source.data).as_posix())
        kind = kind_of(inner)
        if kind is not None and kind.kept in wanted and file.is_file() and not file.is_symlink():
            yield f"{DATA}/{inner}", file
    if source.config is not None:
        for file in sorted(source.config.glob("*.yaml")):
            if file.is_file():
                yield f"{CONFIG}/{file.name}", file


def _put(archive: zipfile.ZipFile, path: str, file: Path, scratch: Path) -> Iterator[BackedUp]:
    """One file into the archive; nothing where it went away meanwhile."""
    kind = kind_of(PurePosixPath(path).relative_to(PurePosixPath(path).parts[0]))
    version = None
    is_database = path.startswith(f"{DATA}/") and kind is not None and kind.kept is Kept.DATABASE
    if is_database:
        copy = scratch / file.name
        version = copy_database(file, copy)
        file = copy
    digest, size_bytes = hashlib.sha256(), 0
    try:
        with file.open("rb") as reading, archive.open(path, "w", force_zip64=True) as writing:
            while chunk := reading.read(_CHUNK_BYTES):
                digest.update(chunk)
                size_bytes += len(chunk)
                writing.write(chunk)
    except FileNotFoundError:
        return
    if is_database:
        file.unlink()
    yield BackedUp(path, size_bytes, digest.hexdigest(), version)


@contextmanager
def _draft(target: Path) -> Iterator[Path]:
    """An empty file beside the target that only its owner may read; gone after an error."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.part")
    draft.unlink(missing_ok=True)
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE))
    try:
        yield draft
    finally:
        draft.unlink(missing_ok=True)
