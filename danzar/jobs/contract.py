"""What a job is, and the small face of the queue that programs above it see.

A job is one request to one model (``danzar.workers.contract.Request``) in an envelope: who asks,
how urgent it is, until when it is wanted. *Accepted* means written to disk: from then on it ends
exactly once, as completed, failed with a reason, or cancelled. Times are seconds since the epoch.
"""

from collections.abc import AsyncGenerator, Mapping
from enum import StrEnum
from typing import Protocol

from danzar.errors import DanzarError
from danzar.errors import QueueFull as RequestQueueFull
from danzar.workers.contract import Part, Request, Result, Struct

MIN_PRIORITY = -100
MAX_PRIORITY = 100


class JobState(StrEnum):
    """Where a job stands. The last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing about it changes any more."""
        return self in _ENDED


_ENDED = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED})


class JobRequest(Struct, frozen=True):
    """A job as it is asked for.

    Attributes:
        model: Name in ``models.yaml``, of this machine or of any node.
        priority: -100 to 100; higher is served earlier, and waiting raises it.
        deadline_s: Fails unless it has ended so many seconds after it was accepted.
        max_attempts: Starts, at most; a worker or node that dies under it costs one.
        owner: Whose job it is (the id of an API key, a Discord user); ``None``: nobody's.
        keep_s: How long its result is kept after its end; ``None``: as configured.
    """

    model: str
    work: Request
    priority: int = 0
    deadline_s: float | None = None
    max_attempts: int = 3
    owner: str | None = None
    keep_s: float | None = None


class JobView(Struct, frozen=True):
    """A job as it is now.

    Attributes:
        position: 1 is next; ``None`` unless it is queued, or where that is unknown.
        attempt: How often it was started.
        node: Which machine runs or ran it.
        device: ``cuda:N`` or ``cpu`` on that node.
        error: Why it failed, or was cancelled; in words for its owner.
        degraded: One sentence with the number that forced a worse place or smaller parameters.
        progress: 0 to 1; ``None`` unknown.
    """

    job_id: str
    model: str
    state: JobState
    submitted_at: float
    priority: int = 0
    owner: str | None = None
    started_at: float | None = None
    ended_at: float | None = None
    attempt: int = 0
    position: int | None = None
    node: str | None = None
    device: str | None = None
    error: str | None = None
    degraded: str | None = None
    progress: float | None = None


class JobOutput(Struct, frozen=True):
    """What a completed job brought: the streamed text in one piece, and the model's result."""

    text: str
    result: Result


class PartCame(Struct, frozen=True, tag="part"):
    """The next part of a running job's answer; ``attempt`` says of which start.

    Where a job is started again, its parts begin anew: a follower drops those of earlier attempts.
    """

    part: Part
    attempt: int


class StateCame(Struct, frozen=True, tag="state"):
    """The job as it is after a change. The last event has a state that is final."""

    view: JobView


JobEvent = PartCame | StateCame


class JobQueueFull(RequestQueueFull):
    """At most so many jobs may wait. ``retry_after_s`` is when to try again."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class JobMissing(DanzarError):
    """No job has this id, or its result's lifetime is over."""


class JobNotCompleted(DanzarError):
    """The job has no result: it waits, runs, failed or was cancelled. ``view`` says which."""

    def __init__(self, message: str, view: JobView) -> None:
        super().__init__(message)
        self.view = view


class QueueUnavailable(DanzarError):
    """The queue's server can't be reached."""


class Jobs(Protocol):
    """The queue as front ends see it. Every call raises ``QueueUnavailable`` where it has to."""

    async def submit(self, request: JobRequest) -> JobView:
        """Accept a job: it is on disk when this returns.

        Raises:
            JobQueueFull: Too many wait.
            danzar.errors.ModelMissing: No node knows the model.
            danzar.errors.BadInput: The envelope is out of range.
        """
        ...

    async def view(self, job_id: str) -> JobView:
        """A job as it is now.

        Raises:
            JobMissing: There is none.
        """
        ...

    async def output(self, job_id: str) -> JobOutput:
        """What a completed job brought.

        Raises:
            JobMissing: There is none.
            JobNotCompleted: It has no result (yet).
        """
        ...

    async def cancel(self, job_id: str, reason: str) -> JobView:
        """Cancel a job that waits or runs; one that has ended stays as it is.

        Raises:
            JobMissing: There is none.
        """
        ...

    def follow(self, job_id: str) -> AsyncGenerator[JobEvent]:
        """The job's state at once, then every change and part, until it has ended.

        Of one that has ended already, its state alone: ``output`` has the whole text. Closing the
        generator does not cancel the job.

        Raises:
            JobMissing: There is none.
        """
        ...

    async def waiting(self) -> Mapping[str, int]:
        """Jobs that wait, by model; of all machines, where the queue's server can be reached."""
        ...

    async def unfinished(self, owner: str | None) -> int:
        """How many jobs of this owner that this machine accepted have not ended."""
        ...

    async def recent(self, limit: int = 50) -> tuple[JobView, ...]:
        """Jobs that this machine accepted, the newest first, without those that are forgotten."""
        ...

    async def known_models(self) -> frozenset[str]:
        """Models that this machine, or one that was there within a day, takes jobs for."""
        ...
