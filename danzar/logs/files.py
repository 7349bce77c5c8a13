"""The log's files: written in turn, bounded together, and never held open.

    danzar.jsonl      what is written now
    danzar.1.jsonl    what was written before it, and so on; the last one is deleted

Windows renames no file that somebody has open. So both sides open a file for a moment only, and a
rename that fails nevertheless is tried again with the next lines.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

FOLDER = "logs"  # in the data folder
NAME = "danzar"
_SUFFIX = ".jsonl"
_PRIVATE = 0o600


class FullLog(OSError):
    """The file can't be rotated, and must not grow any more."""


class RotatedFile:
    """Appends whole lines. Of one thread; several processes may write to one folder."""

    def __init__(self, folder: Path, *, max_bytes: int, files: int, name: str = NAME) -> None:
        """Know the place; nothing is touched.

        Args:
            folder: Made with the first line.
            max_bytes: Of one file.
            files: How many there are, the current one among them.
            name: The files' first name.
        """
        self.folder = folder
        self._name = name
        self._max_bytes = max_bytes
        self._files = files

    def write(self, lines: Sequence[bytes]) -> None:
        """Append lines with their ends.

        Raises:
            OSError: They can't be written, and are lost.
        """
        batch: list[bytes] = []
        size_bytes = 0
        for line in lines:
            if batch and size_bytes + len(line) > self._max_bytes:
                self._append(b"".join(batch))
                batch, size_bytes = [], 0
            batch.append(line)
            size_bytes += len(line)
        if batch:
            self._append(b"".join(batch))

    def _append(self, data: bytes) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = file_path(self.folder, 0, self._name)
        size_bytes = _size_bytes(path)
        if size_bytes and size_bytes + len(data) > self._max_bytes:
            self._make_room(path, size_bytes)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, _PRIVATE)
        with os.fdopen(handle, "ab") as stream:
            stream.write(data)

    def _make_room(self, path: Path, size_bytes: int) -> None:
        try:
            self._rotate()
        except OSError as exc:  # Windows, while somebody reads
            if size_bytes > 2 * self._max_bytes:
                raise FullLog(f"{path} is full, and can't be renamed: {exc}") from exc

    def _rotate(self) -> None:
        number = self._files - 1
        while (extra := file_path(self.folder, number, self._name)).exists() and number > 0:
            extra.unlink()  # the oldest, and what was kept when more files were allowed
            number += 1
        for number in range(self._files - 2, -1, -1):
            older = file_path(self.folder, number, self._name)
            if older.exists():
                older.replace(file_path(self.folder, number + 1, self._name))
        if self._files == 1:
            file_path(self.folder, 0, self._name).unlink(missing_ok=True)


def file_path(folder: Path, number: int, name: str = NAME) -> Path:
    """The current file (0), or an older one."""
    return folder / (f"{name}.{number}{_SUFFIX}" if number else f"{name}{_SUFFIX}")


def log_files(folder: Path, name: str = NAME) -> Iterator[Path]:
    """The files that are there, the oldest first."""
    numbers = []
    for path in folder.glob(f"{name}*{_SUFFIX}"):
        middle = path.name[len(name) : -len(_SUFFIX)].removeprefix(".")
        if not middle or middle.isdecimal():
            numbers.append(int(middle or 0))
    for number in sorted(numbers, reverse=True):
        yield file_path(folder, number, name)


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
