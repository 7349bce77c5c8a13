"""Reads the log's files across rotations, whether or not somebody writes them just now. Blocks."""

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from danzar.logs.files import log_files
from danzar.logs.line import LogLine, rank

_decoder = msgspec.json.Decoder(LogLine)
_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Filter:
    """Which lines are wanted; ``None`` is all of them.

    Attributes:
        level: At least as grave.
        since: Not before, aware.
        request: Of this request.
        logger: From this part of Danzar or one below it, for example ``danzar.jobs``.
    """

    level: str | None = None
    since: datetime | None = None
    request: str | None = None
    logger: str | None = None

    def wants(self, line: LogLine) -> bool:
        """Whether a line is one of them."""
        return (
            (self.level is None or rank(line.level) >= rank(self.level))
            and (self.request is None or line.request == self.request)
            and (self.logger is None or f"{line.logger}.".startswith(f"{self.logger}."))
            and (self.since is None or datetime.fromisoformat(line.at) >= self.since)
        )


def read_lines(folder: Path, wanted: Filter, last: int) -> tuple[LogLine, ...]:
    """The newest lines that are wanted, at most ``last``, oldest first."""
    newest: deque[LogLine] = deque(maxlen=last)
    for file in log_files(folder):
        if not _is_older(file, wanted.since):
            newest.extend(filter(wanted.wants, Tail(file).lines()))
    return tuple(newest)


class Tail:
    """One file, read from where it was read to before. Open only while it reads."""

    def __init__(self, file: Path, offset: int = 0) -> None:
        self.file = file
        self.offset = offset
        self.identity: int | None = None

    def lines(self) -> Iterator[LogLine]:
        """Every whole line from there on; what is no line is left out."""
        for data in self._whole_lines():
            try:
                yield _decoder.decode(data)
            except msgspec.DecodeError:
                continue  # cut by a crash, or not ours

    def _whole_lines(self) -> Iterator[bytes]:
        while chunk := self._chunk():
            end = chunk.rfind(b"\n") + 1
            if not end:
                return
            self.offset += end
            yield from chunk[:end].splitlines()

    def _chunk(self) -> bytes:
        try:
            with self.file.open("rb") as stream:
                identity = os.fstat(stream.fileno()).st_ino
                if self.identity not in (None, identity):
                    return b""  # it was renamed meanwhile, and another one has its name
                self.identity = identity
                stream.seek(self.offset)
                return stream.read(_CHUNK_BYTES)
        except FileNotFoundError:
            return b""


class Follower:
    """What is new since the last look, in order, however often the files were rotated meanwhile."""

    def __init__(self, folder: Path) -> None:
        """Begin at the end of what is there."""
        self._folder = folder
        self._tail: Tail | None = None
        newest = next(reversed(list(log_files(folder))), None)
        if newest is not None:
            stat = newest.stat()
            self._tail = Tail(newest, stat.st_size)
            self._tail.identity = stat.st_ino

    def new_lines(self) -> Iterator[LogLine]:
        """All of them."""
        for file in self._from_where_it_was():
            if self._tail is None or file != self._tail.file:
                self._tail = Tail(file)
            yield from self._tail.lines()

    def _from_where_it_was(self) -> list[Path]:
        """The file that was read last, under the name that it has now, and those after it."""
        files = list(log_files(self._folder))
        if self._tail is None or self._tail.identity is None:
            return files
        for i, file in enumerate(files):
            try:
                stat = file.stat()
            except FileNotFoundError:
                continue
            if stat.st_ino == self._tail.identity and stat.st_size >= self._tail.offset:
                self._tail.file = file
                return files[i:]
        self._tail = None  # it was deleted: whatever is there is new
        return files


def _is_older(file: Path, since: datetime | None) -> bool:
    try:
        return since is not None and datetime.fromtimestamp(file.stat().st_mtime, UTC) < since
    except FileNotFoundError:
        return True
