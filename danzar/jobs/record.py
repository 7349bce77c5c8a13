"""A job as the queue keeps it, and how it is written down."""

import secrets
import time
from typing import Any

import msgspec

from danzar.jobs.contract import JobEvent, JobOutput, JobRequest, JobState, JobView
from danzar.workers.contract import Struct

_ID_TIME_HEX = 11  # milliseconds since the epoch: enough until the year 2527
_ID_CHANCE_BYTES = 10


class JobRecord(Struct, frozen=True):
    """What never changes about a job.

    Attributes:
        home: Whose disk it was accepted on; there its end is written down.
        score: Its place in the order (``danzar.jobs.order.score``).
        deadline_at: Seconds since the epoch; ``None``: it has all the time.
        shared_s: How long its result stays in the queue's server.
    """

    job_id: str
    request: JobRequest
    home: str
    submitted_at: float
    score: float
    deadline_at: float | None
    shared_s: float


class Standing(Struct, frozen=True):
    """What changes about a job. The same words as in ``JobView``."""

    state: JobState = JobState.QUEUED
    attempt: int = 0
    started_at: float | None = None
    ended_at: float | None = None
    position: int | None = None
    node: str | None = None
    device: str | None = None
    error: str | None = None
    degraded: str | None = None
    progress: float | None = None


class Taken(Struct, frozen=True):
    """A job that this machine holds; ``token`` proves it."""

    record: JobRecord
    attempt: int
    token: str
    started_at: float


class Ending(Struct, frozen=True):
    """How a job ended.

    Attributes:
        output: A ``JobOutput``, packed; ``None`` unless it is completed.
    """

    state: JobState
    error: str | None = None
    output: bytes | None = None


def new_id() -> str:
    """An id that can't be guessed; later ones are greater, but for those of one millisecond."""
    return f"{int(time.time() * 1000):0{_ID_TIME_HEX}x}{secrets.token_hex(_ID_CHANCE_BYTES)}"


def view_of(record: JobRecord, standing: Standing) -> JobView:
    """The job as front ends see it."""
    request = record.request
    return JobView(
        job_id=record.job_id,
        model=request.model,
        submitted_at=record.submitted_at,
        priority=request.priority,
        owner=request.owner,
        **_fields(standing),
    )


def _fields(standing: Standing) -> dict[str, Any]:
    return {name: getattr(standing, name) for name in standing.__struct_fields__}


pack = msgspec.msgpack.Encoder().encode
unpack_record = msgspec.msgpack.Decoder(JobRecord).decode
unpack_standing = msgspec.msgpack.Decoder(Standing).decode
unpack_output = msgspec.msgpack.Decoder(JobOutput).decode
_events: msgspec.msgpack.Decoder[JobEvent] = msgspec.msgpack.Decoder(JobEvent)
unpack_event = _events.decode
