"""``danzar logs``: reads the log's files, so that it works beside a bot and after its death."""

import re
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from rich.console import Console

from danzar.config.places import data_folder
from danzar.config.settings import Config
from danzar.errors import BadInput
from danzar.logs.files import FOLDER, log_files
from danzar.logs.keep import DEMO_FOLDER, console_text
from danzar.logs.line import LogLine
from danzar.logs.read import Filter, Follower, read_lines

_POLL_S = 0.3
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_STYLES = {"debug": "dim", "warning": "yellow", "error": "red", "critical": "bold red"}


def folder_of(config: Config) -> Path:
    """Where the log was written to last: by the bot, or by a demo."""
    folder = data_folder(config) / FOLDER
    return max((folder, folder / DEMO_FOLDER), key=_last_written_s)


def parse_since(text: str, now: datetime) -> datetime:
    """``90s``, ``30m``, ``1h``, ``2d``, ``1w``: so long ago; else a time in ISO 8601.

    Raises:
        BadInput: It is neither.
    """
    span = _SPAN.fullmatch(text.strip())
    try:
        if span is not None:
            return now - timedelta(**{_UNITS[span[2]]: float(span[1])})
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise BadInput(
            f"--since {text!r} is no time; write 30m, 1h, 2d, or 2026-01-31T18:00"
        ) from exc


def show(lines: Iterable[LogLine], console: Console, *, as_json: bool) -> None:
    """One line each: for people, or as it is in the file."""
    for line in lines:
        if as_json:
            sys.stdout.write(f"{msgspec.json.encode(line).decode()}\n")
        else:
            text = line_text(line)
            console.print(text, style=_STYLES.get(line.level), soft_wrap=True, end="")
    sys.stdout.flush()


def line_text(line: LogLine) -> str:
    """A line as on the console, with its request's id. Pure but for the time zone."""
    if line.request is None:
        return console_text(line)
    return console_text(msgspec.structs.replace(line, text=f"{line.text} [{line.request}]"))


def newest(folder: Path, wanted: Filter, last: int) -> tuple[LogLine, ...]:
    """See ``danzar.logs.read.read_lines``.

    Raises:
        BadInput: There is no log yet.
    """
    if not any(log_files(folder)):
        raise BadInput(f"there is no log in {folder} yet; `danzar run` and `danzar demo` write it")
    return read_lines(folder, wanted, last)


def follow(folder: Path, wanted: Filter) -> Iterator[LogLine]:
    """What is logged from now on, as it comes; never ends by itself."""
    follower = Follower(folder)
    while True:
        yield from filter(wanted.wants, follower.new_lines())
        time.sleep(_POLL_S)


def _last_written_s(folder: Path) -> float:
    return max((file.stat().st_mtime for file in log_files(folder)), default=0.0)
