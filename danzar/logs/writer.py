"""The thread that writes the log, so that no line ever makes the event loop wait for a disk."""

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from danzar.logs.line import (
    MAX_ERROR_CHARS,
    MAX_TEXT_CHARS,
    LogLine,
    iso_time,
    level_name,
    shorten,
)
from danzar.logs.redaction import known_secrets, redact_line
from danzar.request_id import current_request_id

MOST_WAITING = 10_000
_TOGETHER = 500  # lines in one write
_CLOSE_S = 5.0
_traces = logging.Formatter()

Sink = Callable[[Sequence[LogLine]], None]
"""Takes lines; may raise ``OSError``, and then the lines are lost."""


class LogWriter(logging.Handler):
    """Takes records from all threads, and gives their lines to the sinks from one.

    Attributes:
        dropped: Lines that were lost since the start, because too many waited or a disk failed.
    """

    def __init__(
        self,
        sinks: Iterable[Sink],
        *,
        secrets: Sequence[str] | None = None,
        most: int = MOST_WAITING,
    ) -> None:
        """Begin at once.

        Args:
            sinks: What gets the lines, in this order; one that fails stops none of the others.
            secrets: Values that no line has; ``None``: those of the environment.
            most: Records that may wait.
        """
        super().__init__()
        self._sinks = tuple(sinks)
        self._secrets = known_secrets() if secrets is None else tuple(secrets)
        self._records: queue.Queue[logging.LogRecord | None] = queue.Queue(most)
        self.dropped = 0
        self._told_dropped = 0
        self._broken: dict[Sink, OSError] = {}
        self._thread = threading.Thread(target=self._run, name="danzar-log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record. Never waits: where there is no room, it is counted and dropped."""
        try:
            record.msg, record.args = record.getMessage(), None
        except Exception:  # noqa: BLE001 - a wrong format string must not stop who logged it
            record.msg, record.args = f"{record.msg} {record.args!r}", None
        record.request_id = current_request_id()
        try:
            self._records.put_nowait(record)
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Write what waits, for at most five seconds; what comes later is lost."""
        with contextlib.suppress(queue.Full):
            self._records.put(None, timeout=_CLOSE_S)
        self._thread.join(_CLOSE_S)
        super().close()

    # --- in the thread -------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            records = [self._records.get()]
            with contextlib.suppress(queue.Empty):
                while len(records) < _TOGETHER:
                    records.append(self._records.get_nowait())
            lines = [self._line(record) for record in records if record is not None]
            self._give([*lines, *self._told_of_loss()])
            if None in records:
                return

    def _line(self, record: logging.LogRecord) -> LogLine:
        error = None
        if record.exc_info and record.exc_info[0] is not None:
            error = _traces.formatException(record.exc_info)
        return LogLine(
            at=iso_time(record.created),
            level=level_name(record.levelno),
            logger=record.name,
            text=self._clean(str(record.msg), MAX_TEXT_CHARS),
            request=getattr(record, "request_id", None),
            error=None if error is None else self._clean(error, MAX_ERROR_CHARS),
        )

    def _clean(self, text: str, limit_chars: int) -> str:
        # Shortened first, so that a huge text costs little; a secret that is cut in two keeps
        # neither its form nor its value, so the cut is made where redaction has looked already.
        wide = shorten(text, 4 * limit_chars)
        return shorten(redact_line(wide, self._secrets), limit_chars)

    def _told_of_loss(self) -> tuple[LogLine, ...]:
        lost = self.dropped - self._told_dropped
        self._told_dropped = self.dropped
        return () if not lost else (_own_line(f"{lost} lines of the log were lost"),)

    def _give(self, lines: Sequence[LogLine]) -> None:
        for sink in self._sinks:
            try:
                sink(lines)
            except OSError as exc:
                self._failed(sink, exc, len(lines))
            else:
                self._broken.pop(sink, None)

    def _failed(self, sink: Sink, error: OSError, lines: int) -> None:
        """Count the lines; say it once in the other sinks."""
        self.dropped += lines
        if sink in self._broken:
            return
        self._broken[sink] = error
        told = [_own_line(f"the log can't be written: {error}")]
        for other in self._sinks:
            if other is not sink:
                with contextlib.suppress(OSError):
                    other(told)


def _own_line(text: str) -> LogLine:
    return LogLine(at=iso_time(time.time()), level="warning", logger=__name__, text=text)
