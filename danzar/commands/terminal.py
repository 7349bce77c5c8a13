"""What all commands share: where text goes, how errors become one line, how work is bounded."""

import asyncio
import contextlib
import json
import logging
import signal
import sys
from collections.abc import Coroutine, Iterator
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from danzar.errors import ConfigError, DanzarError, first_error

JSON_VERSION = 1


def console() -> Console:
    """Where results go. Texts are never read as markup, so that ``[x]`` stays as it is."""
    return Console(markup=False, highlight=False)


def write_json(payload: dict[str, Any]) -> None:
    """One JSON document on standard output, with the contract's version first."""
    text = json.dumps({"version": JSON_VERSION, **payload}, indent=2, ensure_ascii=False)
    sys.stdout.write(f"{text}\n")


def table(*columns: str) -> Table:
    """An empty table in the house style."""
    result = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        result.add_column(column, overflow="fold")
    return result


@contextlib.contextmanager
def byte_progress(label: str) -> Iterator[Progress]:
    """A progress bar of bytes on standard error; silent where that is no terminal."""
    screen = Console(stderr=True, markup=False)
    columns = (TextColumn(label), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(
        *columns, console=screen, transient=True, disable=not screen.is_terminal
    ) as progress:
        yield progress


def one_line(error: BaseException) -> str:
    """The error as one line for a person, without secrets."""
    from danzar.logs.redaction import known_secrets, redact_line

    error = first_error(error)
    if isinstance(error, ConfigError):
        first, _, rest = str(error).partition("\n")
        more = f" (and {len(rest.splitlines())} more: danzar config check)" if rest else ""
        return f"{first}{more}"
    text = " ".join(str(error).split())
    if not isinstance(error, DanzarError):
        text = f"unexpected {type(error).__name__}: {text}"
    return redact_line(text, known_secrets())


def fail(message: str) -> None:
    """One line on standard error; the caller ends with status 1."""
    sys.stderr.write(f"danzar: {message}\n")


class _Discreet(logging.Formatter):
    """Leaves tokens and passwords out of every line, tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        from danzar.logs.redaction import known_secrets, redact_line

        return redact_line(super().format(record), known_secrets())


@contextlib.contextmanager
def busy(words: str) -> Iterator[None]:
    """A spinner on standard error while something long runs; silent where that is no terminal."""
    screen = Console(stderr=True, markup=False)
    with screen.status(words) if screen.is_terminal else contextlib.nullcontext():
        yield


def log_to(stream: Any, level: int) -> None:  # noqa: ANN401 - any text stream
    """Send the program's log there, or nowhere where ``stream`` is ``None``."""
    handler = logging.NullHandler() if stream is None else logging.StreamHandler(stream)
    handler.setFormatter(_Discreet("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)


def run_until_signal(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end, or until Ctrl-C or SIGTERM, which cancel it and are no failure.

    Raises:
        Exception: Whatever the work raises.
    """
    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
        asyncio.run(_cancelled_by_signal(work))


async def _cancelled_by_signal(work: Coroutine[Any, Any, None]) -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("must run in a task")
    # Windows has no signal handlers of the loop; there Ctrl-C arrives as KeyboardInterrupt.
    with contextlib.suppress(NotImplementedError):
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    await work
