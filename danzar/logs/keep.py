"""Sends a process's log to the console, to the files and into memory, while a context lasts."""

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Literal, TextIO

import msgspec

from danzar.config.places import data_folder
from danzar.config.settings import Config
from danzar.errors import DanzarError, first_error
from danzar.logs.files import FOLDER, RotatedFile
from danzar.logs.line import LogLine
from danzar.logs.ring import RING
from danzar.logs.writer import LogWriter, Sink

log = logging.getLogger(__name__)

FOLDER_VARIABLE = "DANZAR_LOG_FOLDER"
"""Names another folder for the files; the demo uses it, whose data folder is a temporary one."""
DEMO_FOLDER = "demo"
"""In the log's folder: what a demo leaves."""
_writers: list[LogWriter] = []
_encoder = msgspec.json.Encoder()


@contextmanager
def keep_log(config: Config, stream: TextIO, *, name: str) -> Iterator[None]:
    """Keep the log while the context lasts; the way the process ends is its last line.

    Args:
        config: All settings; ``bot.logs`` counts here.
        stream: Where lines for people go.
        name: The command, for example ``run``.
    """
    settings = config.bot.logs
    files = RotatedFile(
        log_folder(config), max_bytes=settings.max_size // settings.files, files=settings.files
    )
    writer = LogWriter([_to_ring, _to_files(files), _to_console(stream, settings.console)])
    logging.basicConfig(level=settings.level.upper(), handlers=[writer], force=True)
    _writers.append(writer)
    try:
        with _told(name):
            yield
    finally:
        _writers.remove(writer)
        logging.getLogger().removeHandler(writer)
        writer.close()


def log_folder(config: Config, environ: Mapping[str, str] = os.environ) -> Path:
    """Where the files of a process with these settings go."""
    named = environ.get(FOLDER_VARIABLE)
    return Path(named) if named else data_folder(config) / FOLDER


def dropped() -> int:
    """Lines that this process lost since its start."""
    return sum(writer.dropped for writer in _writers)


def console_text(line: LogLine) -> str:
    """A line as people read it on the console, with its end. Pure but for the time zone."""
    at = datetime.fromisoformat(line.at).astimezone()
    stamp = f"{at:%Y-%m-%d %H:%M:%S},{at.microsecond // 1000:03d}"
    error = "" if line.error is None else f"\n{line.error}"
    return f"{stamp} {line.level.upper()} {line.logger}: {line.text}{error}\n"


@contextmanager
def _told(name: str) -> Iterator[None]:
    log.info("danzar %s %s begins, pid %d", name, metadata.version("danzar"), os.getpid())
    try:
        yield
    except Exception as exc:
        expected = first_error(exc)
        if isinstance(expected, DanzarError):
            log.critical("danzar %s can't go on: %s", name, expected)
        else:
            log.critical("danzar %s ends by an error of its own", name, exc_info=True)
        raise
    finally:
        log.info("danzar %s ends", name)


def _to_ring(lines: Sequence[LogLine]) -> None:
    for line in lines:
        RING.add(line)


def _to_files(files: RotatedFile) -> Sink:
    def write(lines: Sequence[LogLine]) -> None:
        files.write([_encoder.encode(line) + b"\n" for line in lines])

    return write


def _to_console(stream: TextIO, form: Literal["text", "json"]) -> Sink:
    as_text: dict[str, Callable[[LogLine], str]] = {
        "text": console_text,
        "json": lambda line: f"{_encoder.encode(line).decode()}\n",
    }

    def write(lines: Sequence[LogLine]) -> None:
        # A stream that was closed can be told nothing any more.
        with contextlib.suppress(ValueError):
            stream.write("".join(map(as_text[form], lines)))
            stream.flush()

    return write
