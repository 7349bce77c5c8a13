"""SHA-256 of model files, remembered by size and time of change, so that starting stays quick."""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

OnBytes = Callable[[int, int], None]
"""Called with the bytes done and the bytes in total."""

_CHUNK_BYTES = 4 * 1024 * 1024
_FILE = "checksums.json"
_MAX_ENTRIES = 1000


class _Known(msgspec.Struct, frozen=True):
    size_bytes: int
    changed_ns: int
    sha256: str


class _Notes(msgspec.Struct):
    """``files`` by absolute path; ``trusted`` by model name, for models without a checksum."""

    files: dict[str, _Known] = {}
    trusted: dict[str, str] = {}


class Checksums:
    """Checksums kept in one small file of the data folder. Blocking: call it from a thread."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / _FILE

    def of(self, path: Path, on_bytes: OnBytes | None = None, *, fresh: bool = False) -> str:
        """The file's SHA-256 in hex; read anew if it changed since, or if ``fresh``.

        Raises:
            OSError: The file can't be read.
        """
        stat = path.stat()
        key = str(path.resolve())
        known = self._read().files.get(key)
        same = known is not None and (known.size_bytes, known.changed_ns) == (
            stat.st_size,
            stat.st_mtime_ns,
        )
        if known is not None and same and not fresh:
            return known.sha256
        digest = sha256_of(path, on_bytes)
        notes = self._read()
        notes.files.pop(key, None)
        notes.files[key] = _Known(stat.st_size, stat.st_mtime_ns, digest)
        self._write(notes)
        return digest

    def of_all(
        self,
        files: Sequence[Path],
        folder: Path,
        on_bytes: OnBytes | None = None,
        *,
        fresh: bool = False,
    ) -> str:
        """The SHA-256 of one file; of several, of the list that ``sha256sum`` writes of them.

        The list is in the order given, one line each: checksum, two blanks, the name from
        ``folder`` with ``/``. So ``sha256sum FILE... | sha256sum`` gives the same.

        Raises:
            OSError: One can't be read.
        """
        if len(files) == 1:
            return self.of(files[0], on_bytes, fresh=fresh)
        lines = [
            f"{self.of(file, on_bytes, fresh=fresh)}  {file.relative_to(folder).as_posix()}\n"
            for file in files
        ]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def trusted(self, name: str) -> str | None:
        """The checksum that was seen when the owner pulled this model without one."""
        return self._read().trusted.get(name)

    def trust(self, name: str, sha256: str) -> None:
        """From now on this model must have this checksum."""
        notes = self._read()
        notes.trusted[name] = sha256
        self._write(notes)

    def copy_to(self, folder: Path) -> None:
        """Let another folder begin with what is known here."""
        if self._file.exists():
            Checksums(folder)._write(self._read())

    def _read(self) -> _Notes:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=_Notes)
        except (FileNotFoundError, msgspec.DecodeError):
            return _Notes()

    def _write(self, notes: _Notes) -> None:
        """Replace the file as a whole; where the folder is read-only, nothing is remembered."""
        notes.files = dict(list(notes.files.items())[-_MAX_ENTRIES:])
        with contextlib.suppress(PermissionError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._file, json.dumps(msgspec.to_builtins(notes), indent=1).encode())


def sha256_of(path: Path, on_bytes: OnBytes | None = None) -> str:
    """The SHA-256 of a file, in hex. Blocks for about two seconds per GB."""
    digest = hashlib.sha256()
    total = path.stat().st_size
    done = 0
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
            done += len(chunk)
            if on_bytes is not None:
                on_bytes(done, total)
    return digest.hexdigest()


def write_whole(path: Path, data: bytes) -> None:
    """Write a small file so that a reader sees the old one or the new one, never a part."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
