"""The newest lines in memory, for whoever shows them. Safe to use from every thread."""

import itertools
import threading
from collections import deque

import msgspec

from danzar.logs.line import LogLine, rank

KEEP_LINES = 1000


class Ring:
    """Lines by their number, the newest ``keep_lines`` of them."""

    def __init__(self, keep_lines: int = KEEP_LINES) -> None:
        self._lines: deque[LogLine] = deque(maxlen=keep_lines)
        self._lock = threading.Lock()
        self._last_number = 0

    def add(self, line: LogLine) -> None:
        """Put a line in, under the next number."""
        with self._lock:
            self._last_number += 1
            self._lines.append(msgspec.structs.replace(line, number=self._last_number))

    def since(self, number: int) -> tuple[LogLine, ...]:
        """The lines after this one that are still kept, oldest first."""
        with self._lock:
            lines = itertools.takewhile(lambda line: line.number > number, reversed(self._lines))
            return tuple(lines)[::-1]

    def newest(
        self, limit: int, *, level: str | None = None, request: str | None = None
    ) -> tuple[LogLine, ...]:
        """The newest lines, at most ``limit``, oldest first.

        Args:
            limit: How many.
            level: Leave out what is less grave.
            request: Leave out what belongs to another request, or to none.
        """
        with self._lock:
            fitting = (
                line
                for line in reversed(self._lines)
                if (level is None or rank(line.level) >= rank(level))
                and (request is None or line.request == request)
            )
            return tuple(itertools.islice(fitting, limit))[::-1]


RING = Ring()
"""Of this process."""
