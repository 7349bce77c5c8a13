"""What the bot learns about a worker: limits it keeps, memory it holds, how it ended."""

import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field

from danzar import errors
from danzar.workers.contract import Result
from danzar.workers.protocol import Allocator, says_out_of_memory

_TOLD_CHARS = 300
_LAST_WORDS_CHARS = 8 * 1024
_CRASHED = "Fatal Python error"
_STACK = ("File ", "Thread ", "Extension modules")
_TELLING = re.compile(r"error|fatal|assert|memory|fail|cannot|can't", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """How long each thing may take, in seconds, and how much is kept or used.

    Attributes:
        ready_s: From the spawn to the first message.
        heartbeat_s: Between two heartbeats.
        heartbeat_lost_s: Without heartbeats before the worker counts as hung and is killed.
        inactive_s: Without a part or a sign of computing before a request counts as hung.
        cancel_s: From a cancellation to the request's end.
        stop_s: From the request to end to SIGTERM, and from SIGTERM to SIGKILL.
        killed_s: From SIGKILL to the process's end; a process that hangs in the driver outlasts it.
        back_s: From a model's or a process's end to the driver showing its bytes as free.
        kept_output_bytes: Native output kept for the log.
        address_space_bytes: Limit on the process's address space (Linux only), for engines that
            open strangers' files; ``None`` is no limit. Not for CUDA, which reserves far more.
    """

    ready_s: float = 60.0
    heartbeat_s: float = 1.0
    heartbeat_lost_s: float = 30.0
    inactive_s: float = 60.0
    cancel_s: float = 10.0
    stop_s: float = 5.0
    killed_s: float = 5.0
    back_s: float = 5.0
    kept_output_bytes: int = 64 * 1024
    address_space_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class WorkerExit:
    """How a worker ended.

    Attributes:
        code: Exit status; negative is the signal that ended it (POSIX); ``None`` is unknown.
        cause: Completes "the worker ...": ``ended with status 3``, ``was killed by SIGKILL``.
        hung: It was killed because it gave no sign.
        expected: ``stop`` had been called.
        output: The tail of what its native code printed.
    """

    code: int | None
    cause: str
    hung: bool
    expected: bool
    output: str


@dataclass(frozen=True, slots=True)
class WorkerMemory:
    """A worker's own figures, from its last heartbeat. ``None`` is unknown.

    Attributes:
        rss_bytes: Resident host memory.
        allocator: What torch's allocator holds on its cards; ``None`` where it is not in use.
        caches: Bytes of ``rss_bytes`` that models keep for requests that may come, by model.
    """

    rss_bytes: int
    allocator: Allocator | None
    caches: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of a request: its result and the worker's own time for it."""

    result: Result
    seconds: float


def describe_code(code: int | None) -> str:
    """An exit status as the end of the sentence "the worker ..."."""
    if code is None:
        return "ended"
    if code >= 0:
        return f"ended with status {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def exit_error(worker: str, end: WorkerExit) -> errors.WorkerError:
    """The error for whoever waited on a worker that ended."""
    if end.hung:
        return errors.WorkerHung(f"The {worker} worker {end.cause}.")
    text = f"The {worker} worker {end.cause}.{quote_output(end.output)}"
    return errors.OutOfMemory(text) if ran_out(end) else errors.WorkerDied(text)


def ran_out(end: WorkerExit) -> bool:
    """Whether native code ended the process because memory ran out.

    By its last words: what it said long before, and survived, is not why it ended.
    """
    unasked = not end.hung and not end.expected and end.code != 0
    return unasked and says_out_of_memory(end.output[-_LAST_WORDS_CHARS:])


def quote_output(output: str) -> str:
    """The line of native output that tells most, for the end of a message for people.

    Empty where there is no output. All of it goes to the log.
    """
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if _TELLING.search(line) and not line.startswith(_STACK)]
    # Python's own word for a crash comes last; what the native code said before tells why.
    telling = [line for line in telling if not line.startswith(_CRASHED)] or telling or lines
    return f" It said: {telling[-1][:_TOLD_CHARS]}" if telling else ""
