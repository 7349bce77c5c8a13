"""One line of the log, as it is in the file, in memory and on the page. Pure."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

LEVELS: Final = ("debug", "info", "warning", "error", "critical")
MAX_TEXT_CHARS: Final = 8_000
MAX_ERROR_CHARS: Final = 16_000


class LogLine(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What was logged once, without secrets.

    Attributes:
        at: Time in UTC, ISO 8601 with milliseconds.
        level: One of ``LEVELS``.
        request: The request that it belongs to; ``None`` where Danzar acted by itself.
        error: The traceback.
        number: Rises by one with each line of this process; 0 in files.
    """

    at: str
    level: str
    logger: str
    text: str
    request: str | None = None
    error: str | None = None
    number: int = 0


def rank(level: str) -> int:
    """How grave a level is; one that is unknown counts as ``info``."""
    return LEVELS.index(level) if level in LEVELS else LEVELS.index("info")


def level_name(number: int) -> str:
    """The name of one of ``logging``'s numbers, the next lower where it has none."""
    steps: Sequence[int] = (logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)
    return LEVELS[sum(number >= step for step in steps)]


def iso_time(at_s: float) -> str:
    """Seconds since 1970 as a line has them."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds")


def shorten(text: str, limit_chars: int) -> str:
    """The text, or its beginning and end where it is longer than this."""
    if len(text) <= limit_chars:
        return text
    half = limit_chars // 2
    return f"{text[:half]} [... {len(text) - 2 * half} characters ...] {text[-half:]}"
