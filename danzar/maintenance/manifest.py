"""What a backup says about itself: the first thing that is read of it, and believed of nothing."""

import re
from pathlib import PurePosixPath
from typing import Final

import msgspec

from danzar.maintenance.errors import BadBackup
from danzar.maintenance.inventory import Kept, kind_of

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
MAX_FILES: Final = 2_000
MAX_TOTAL_BYTES: Final = 256 * 1024**3
DATA: Final = "data"
CONFIG: Final = "config"
_PART = re.compile(r"\.?[A-Za-z0-9_][A-Za-z0-9_.-]{0,120}", re.ASCII)
# Windows opens a device instead of a file by these names, whatever their ending.
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_DEEPEST = 8


class BackedUp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of the backup.

    Attributes:
        path: ``data/...`` or ``config/...``, with slashes.
        version: Of a database's tables; ``None`` for other files.
    """

    path: str
    size_bytes: int
    sha256: str
    version: int | None = None


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole backup.

    Attributes:
        format: Of the backup; this Danzar reads ``FORMAT``.
        danzar: The version of Danzar that made it.
        made_at: ISO 8601, UTC.
        with_keys: Whether private keys are in it.
        models: What the settings named, by name, with the SHA-256 that is known; no weights.
    """

    format: int
    danzar: str
    made_at: str
    with_keys: bool
    files: tuple[BackedUp, ...]
    models: dict[str, str | None] = {}


class _Head(msgspec.Struct):
    format: int


def read_manifest(data: bytes) -> Manifest:
    """The manifest, if this Danzar can restore all that it lists.

    Raises:
        BadBackup: It is none, was made by a newer Danzar, or lists what no backup has.
    """
    try:
        head = msgspec.json.decode(data, type=_Head)
        if head.format != FORMAT:
            raise BadBackup(
                f"the backup has format {head.format}, this Danzar reads {FORMAT}; update Danzar"
            )
        manifest = msgspec.json.decode(data, type=Manifest)
    except msgspec.DecodeError as exc:
        raise BadBackup(f"the file is no backup of Danzar: {exc}") from exc
    _check(manifest)
    return manifest


def _check(manifest: Manifest) -> None:
    paths = [file.path for file in manifest.files]
    if len({path.lower() for path in paths}) != len(paths) or len(paths) > MAX_FILES:
        raise BadBackup("the backup lists a file twice, or too many files")
    for file in manifest.files:
        _check_path(file.path, with_keys=manifest.with_keys)
        if file.size_bytes < 0:
            raise BadBackup(f"the backup says {file.size_bytes} bytes of {file.path}")
    if sum(file.size_bytes for file in manifest.files) > MAX_TOTAL_BYTES:
        raise BadBackup("the backup says that it is larger than any of Danzar's can be")


def _check_path(text: str, *, with_keys: bool) -> None:
    """Only what a backup of ours may hold, under a name that means the same everywhere.

    Raises:
        BadBackup: It is something else.
    """
    parts = text.split("/")
    if not 1 < len(parts) <= _DEEPEST or not all(map(_is_plain, parts)):
        raise BadBackup(f"the backup has a path that leads elsewhere: {text[:80]!r}")
    inner = PurePosixPath(*parts[1:])
    if parts[0] == CONFIG:
        fits = len(inner.parts) == 1 and inner.suffix == ".yaml"
    else:
        kind = kind_of(inner)
        allowed = {Kept.DATABASE, Kept.COPY} | ({Kept.KEYS} if with_keys else set())
        fits = parts[0] == DATA and kind is not None and kind.kept in allowed
    if not fits:
        raise BadBackup(f"the backup has a file that no backup of Danzar has: {text[:80]!r}")


def _is_plain(part: str) -> bool:
    return (
        _PART.fullmatch(part) is not None
        and not part.endswith(".")
        and _DEVICES.fullmatch(part) is None
    )
