"""Reads a backup without trusting it: everything is checked before anything is put in place."""

import hashlib
import os
import shutil
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from danzar.maintenance.errors import BadBackup, CannotRestore
from danzar.maintenance.manifest import MANIFEST, BackedUp, Manifest, read_manifest
from danzar.units import format_size

_CHUNK_BYTES = 1024 * 1024
_MAX_MANIFEST_BYTES = 4 * 1024 * 1024
_DISK_MARGIN_BYTES = 64 * 1024 * 1024
_PRIVATE = 0o600


@contextmanager
def opened(file: Path) -> Iterator[tuple[zipfile.ZipFile, Manifest]]:
    """The archive with what it says about itself, which fits to what it holds by name and size.

    Raises:
        BadBackup: It is no backup, or one that was tampered with.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            manifest = read_manifest(_manifest_bytes(archive))
            _check_members(archive, manifest)
            yield archive, manifest
    except FileNotFoundError as exc:
        raise BadBackup(f"{file} is not there") from exc
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as exc:
        raise BadBackup(f"{file} can't be read: {exc}") from exc


def extract(archive: zipfile.ZipFile, manifest: Manifest, folder: Path) -> None:
    """Write every file below a folder, and check its size and its SHA-256.

    Raises:
        BadBackup: One of them is damaged.
        CannotRestore: There is no room.
    """
    need_bytes = sum(file.size_bytes for file in manifest.files) + _DISK_MARGIN_BYTES
    free_bytes = shutil.disk_usage(folder).free
    if need_bytes > free_bytes:
        raise CannotRestore(
            f"{format_size(need_bytes)} are needed in {folder.parent}, "
            f"{format_size(free_bytes)} are free"
        )
    for file in manifest.files:
        target = folder.joinpath(*file.path.split("/"))
        target.parent.mkdir(parents=True, exist_ok=True)
        _extract_one(archive, file, target)


def _extract_one(archive: zipfile.ZipFile, file: BackedUp, target: Path) -> None:
    digest, left_bytes = hashlib.sha256(), file.size_bytes
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
    with os.fdopen(handle, "wb") as writing, archive.open(file.path) as reading:
        # Never a byte more than was said, whatever it would unpack to.
        while chunk := reading.read(min(_CHUNK_BYTES, left_bytes + 1)):
            left_bytes -= len(chunk)
            if left_bytes < 0:
                break
            digest.update(chunk)
            writing.write(chunk)
    if left_bytes or digest.hexdigest() != file.sha256:
        raise BadBackup(f"{file.path} is damaged in the backup; nothing was restored")


def _manifest_bytes(archive: zipfile.ZipFile) -> bytes:
    try:
        with archive.open(MANIFEST) as stream:
            data = stream.read(_MAX_MANIFEST_BYTES + 1)
    except KeyError:
        raise BadBackup(f"the file is no backup of Danzar: it has no {MANIFEST}") from None
    if len(data) > _MAX_MANIFEST_BYTES:
        raise BadBackup(f"the file is no backup of Danzar: its {MANIFEST} is too long")
    return data


def _check_members(archive: zipfile.ZipFile, manifest: Manifest) -> None:
    """The archive has what the manifest lists, and nothing else."""
    members = {info.filename: info for info in archive.infolist() if info.filename != MANIFEST}
    listed = {file.path: file for file in manifest.files}
    if len(members) != len(archive.infolist()) - 1 or set(members) != set(listed):
        strange = sorted(set(members) ^ set(listed))[:1] or ["a file twice"]
        raise BadBackup(f"the backup does not hold what it lists: {strange[0][:80]!r}")
    for path, info in members.items():
        mode = info.external_attr >> 16
        if info.is_dir() or (stat.S_IFMT(mode) not in (0, stat.S_IFREG)):
            raise BadBackup(f"the backup has something else than a file: {path!r}")
        if info.file_size != listed[path].size_bytes:
            raise BadBackup(f"{path} has another size in the backup than it lists")
