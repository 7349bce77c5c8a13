"""Every decision of the planner, kept as one JSON line each, and read back exactly as it was.

A line holds all that ``plan_placement`` saw and what it said, so that ``danzar replay`` can ask it
again. Encoding takes well under a millisecond and happens where the decision is made; a thread
writes.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from danzar.core.events import Decided
from danzar.core.plan import (
    Impossible,
    NeedsEviction,
    PlacedOn,
    Plan,
    PlanInputs,
    WaitForIdle,
    WaitForRelease,
)
from danzar.errors import BadInput
from danzar.units import MIB

log = logging.getLogger(__name__)

VERSION = 1
FILE = "decisions.jsonl"
OLDER_FILE = "decisions.1.jsonl"
MAX_BYTES = 64 * MIB
_MOST_WAITING = 10_000

_KINDS: dict[str, type[Plan]] = {
    "placed_on": PlacedOn,
    "needs_eviction": NeedsEviction,
    "wait_for_release": WaitForRelease,
    "wait_for_idle": WaitForIdle,
    "impossible": Impossible,
}
_KIND_OF = {plan: kind for kind, plan in _KINDS.items()}


class _Line(msgspec.Struct, frozen=True):
    """One line; the plan's fields depend on its kind."""

    version: int
    at: float
    kind: str
    inputs: PlanInputs
    plan: msgspec.Raw


class _Head(msgspec.Struct, frozen=True):
    """What is read first, to tell a line of another version from a damaged one."""

    version: int


@dataclass(frozen=True, slots=True)
class Recorded:
    """One decision read back.

    Attributes:
        at: Seconds since 1970 at which it was made.
    """

    at: float
    inputs: PlanInputs
    plan: Plan


_encoder = msgspec.json.Encoder()
_heads = msgspec.json.Decoder(_Head)
_lines = msgspec.json.Decoder(_Line)
_plans = {kind: msgspec.json.Decoder(plan) for kind, plan in _KINDS.items()}


def kind_of(plan: Plan) -> str:
    """The plan's kind, as the lines and ``--json`` call it."""
    return _KIND_OF[type(plan)]


def encode(decided: Decided, at: float) -> bytes:
    """One line, with its end."""
    plan = msgspec.Raw(_encoder.encode(decided.plan))
    line = _Line(VERSION, at, kind_of(decided.plan), decided.inputs, plan)
    return _encoder.encode(line) + b"\n"


def decode(line: bytes) -> Recorded:
    """The decision in one line.

    Raises:
        BadInput: The line is damaged, or another version of Danzar wrote it.
    """
    try:
        version = _heads.decode(line).version
        if version != VERSION:
            raise BadInput(f"is of version {version}; this Danzar reads version {VERSION}")
        found = _lines.decode(line)
        plans = _plans.get(found.kind)
        if plans is None:
            raise BadInput(f"has a plan of the unknown kind {found.kind!r}")
        return Recorded(found.at, found.inputs, plans.decode(found.plan))
    except msgspec.DecodeError as exc:
        raise BadInput(f"is no decision: {exc}") from exc


def read_decisions(path: Path) -> Iterator[tuple[int, Recorded]]:
    """Every decision in a file with the number of its line.

    Raises:
        BadInput: The file can't be read, or a line is none; names the line.
    """
    try:
        with path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield number, _decode_at(path, number, line)
    except OSError as exc:
        raise BadInput(f"{path}: can't be read: {exc.strerror}") from exc


def _decode_at(path: Path, number: int, line: bytes) -> Recorded:
    try:
        return decode(line)
    except BadInput as exc:
        raise BadInput(f"{path}:{number}: {exc}") from exc


class DecisionLog:
    """The newest decisions in two files, which together never take more than a limit.

    Attributes:
        dropped: Decisions that were not written, because the disk was too slow or refused.
    """

    def __init__(
        self,
        folder: Path,
        max_bytes: int = MAX_BYTES,
        wall_time: Callable[[], float] = time.time,
    ) -> None:
        """Begin to write into ``folder``, which is made where it is missing.

        Args:
            folder: The data folder.
            max_bytes: Both files together.
            wall_time: Seconds since 1970.
        """
        self.dropped = 0
        self._file = folder / FILE
        self._older = folder / OLDER_FILE
        self._max_file_bytes = max_bytes // 2
        self._wall_time = wall_time
        self._waiting: queue.Queue[bytes | None] = queue.Queue(_MOST_WAITING)
        self._thread = threading.Thread(target=self._run, name="decisions", daemon=True)
        self._thread.start()

    def write(self, decided: Decided) -> None:
        """Keep a decision. Never blocks: where the disk can't follow, it is dropped and counted."""
        try:
            self._waiting.put_nowait(encode(decided, self._wall_time()))
        except queue.Full:
            self.dropped += 1

    def close(self, timeout_s: float = 5.0) -> None:
        """Write what waits, and end. Blocks for at most ``timeout_s``."""
        try:
            self._waiting.put(None, timeout=timeout_s)
        except queue.Full:
            return
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while (line := self._waiting.get()) is not None:
            # Whatever has come in the meantime is written with it.
            lines, ended = [line], False
            while not self._waiting.empty():
                more = self._waiting.get()
                if more is None:
                    ended = True
                    break
                lines.append(more)
            self._append(lines)
            if ended:
                return

    def _append(self, lines: list[bytes]) -> None:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            rest = lines
            while rest:
                self._make_room(len(rest[0]))
                with self._file.open("ab") as stream:
                    rest = self._fill(stream, rest)
        except OSError as exc:
            if not self.dropped:
                log.warning("decisions are not recorded: %s: %s", self._file, exc.strerror)
            self.dropped += len(lines)

    def _make_room(self, size_bytes: int) -> None:
        """Let the full file become the older one."""
        taken = self._file.stat().st_size if self._file.exists() else 0
        if taken and taken + size_bytes > self._max_file_bytes:
            self._file.replace(self._older)

    def _fill(self, stream: BinaryIO, lines: list[bytes]) -> list[bytes]:
        """Write lines until the file is full; what is left. One line is written in any case."""
        taken = stream.tell()
        for i, line in enumerate(lines):
            if taken and i and taken + len(line) > self._max_file_bytes:
                return lines[i:]
            stream.write(line)
            taken += len(line)
        return []
