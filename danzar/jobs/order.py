"""Which job is next, and what becomes of one that failed. Pure.

A job's score is fixed when it is accepted, and the lowest score is served first: the time it came,
minus what its priority is worth in seconds. So a job of priority 10 (at 10 s a step) goes before
all that came less than 100 s before it, and after those that have waited longer: that is ageing,
without ever touching a job again.
"""

import math
from dataclasses import dataclass

from danzar.errors import (
    BadInput,
    CannotPlace,
    DanzarError,
    OutOfMemory,
    QueueFull,
    WorkerDied,
    WorkerHung,
    WorkerStartFailed,
)
from danzar.jobs.contract import MAX_PRIORITY, MIN_PRIORITY, JobRequest
from danzar.workers.contract import Capture, MeasureBatch

MAX_ATTEMPTS = 100
MAX_OWNER_CHARS = 200
LONGEST_DELAY_S = 60.0
UNMEASURED_RETRY_S = 30.0
_SHORTEST_RETRY_S = 1.0
_LONGEST_RETRY_S = 3600.0
_LONGEST_S = 366 * 86_400.0
_TRY_AGAIN = (WorkerDied, WorkerHung, WorkerStartFailed, OutOfMemory)
_NO_ROOM_YET = (CannotPlace, QueueFull)


def score(submitted_at: float, priority: int, seconds_per_priority: float) -> float:
    """The job's place in the order: lower is earlier. Seconds since the epoch, moved."""
    return submitted_at - priority * seconds_per_priority


def check_request(request: JobRequest) -> None:
    """Refuse an envelope out of range, and work that is no job.

    Raises:
        danzar.errors.BadInput: It names the field, the value and the range.
    """
    if isinstance(request.work, Capture | MeasureBatch):
        raise BadInput("A job can't watch a source or measure a model: it must come to an end.")
    _between("priority", request.priority, MIN_PRIORITY, MAX_PRIORITY)
    _between("max_attempts", request.max_attempts, 1, MAX_ATTEMPTS)
    _seconds("deadline_s", request.deadline_s)
    _seconds("keep_s", request.keep_s)
    if request.owner is not None and len(request.owner) > MAX_OWNER_CHARS:
        raise BadInput(f"owner is longer than {MAX_OWNER_CHARS} characters.")


def _between(name: str, value: int, lowest: int, highest: int) -> None:
    if not lowest <= value <= highest:
        raise BadInput(f"{name} is {value}; it must be from {lowest} to {highest}.")


def _seconds(name: str, value: float | None) -> None:
    if value is not None and not (math.isfinite(value) and 0 < value <= _LONGEST_S):
        raise BadInput(f"{name} is {value:g}; it must be above 0 and at most {_LONGEST_S:.0f} s.")


@dataclass(frozen=True, slots=True)
class TryAgain:
    """The job waits ``delay_s``, then any machine may start it.

    Attributes:
        counts: The start that failed is one of the job's attempts.
    """

    delay_s: float
    counts: bool


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The job has failed for good; ``reason`` is for its owner."""

    reason: str


@dataclass(frozen=True, slots=True)
class Tries:
    """What a job has behind it, and may still do.

    Attributes:
        attempt: Starts, with the one that failed.
        waited_s: Since it was accepted.
        retry_delay_s: Before the second start; it doubles.
        place_wait_s: How long it may wait for room.
    """

    attempt: int
    max_attempts: int
    waited_s: float
    retry_delay_s: float
    place_wait_s: float


def after_failure(error: Exception, tries: Tries) -> TryAgain | GiveUp:
    """What becomes of a job whose start ended with this error."""
    if isinstance(error, _NO_ROOM_YET) and tries.waited_s < tries.place_wait_s:
        return TryAgain(_no_room_delay_s(tries), counts=False)
    if isinstance(error, _TRY_AGAIN) and tries.attempt < tries.max_attempts:
        return TryAgain(_delay_s(tries.retry_delay_s, tries.attempt), counts=True)
    reason = str(error) if isinstance(error, DanzarError) else "It failed by a fault of Danzar."
    if isinstance(error, _TRY_AGAIN) and tries.attempt > 1:
        reason = f"{reason} (start {tries.attempt} of {tries.max_attempts})"
    return GiveUp(reason)


def _delay_s(first_s: float, attempt: int) -> float:
    return min(first_s * 2.0 ** (attempt - 1), LONGEST_DELAY_S)


def _no_room_delay_s(tries: Tries) -> float:
    """Look again often at first, then every half minute."""
    return min(max(tries.retry_delay_s, tries.waited_s / 2), LONGEST_DELAY_S / 2)


def too_often(attempt: int, max_attempts: int) -> str | None:
    """Why a job may not be started any more; ``None`` where it may.

    ``attempt`` counts the start that is about to happen.
    """
    if attempt <= max_attempts:
        return None
    times = "once" if max_attempts == 1 else f"{max_attempts} times"
    return f"It was started {times}, and each time the machine or worker that ran it died."


def retry_after_s(mean_run_s: float | None, running: int) -> float:
    """When a place in a full queue should be free: the time until the next job is taken.

    Args:
        mean_run_s: How long the model's last jobs took; ``None`` where none has ended yet.
        running: Jobs of the model that run now, on all machines.
    """
    if mean_run_s is None:
        return UNMEASURED_RETRY_S
    return min(max(mean_run_s / max(1, running), _SHORTEST_RETRY_S), _LONGEST_RETRY_S)
