"""A job as the queue keeps it, and how it is written down."""

import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from danzar.jobs.contract import JobEvent, JobOutput, JobRequest, JobState, JobView, PartCame
from danzar.workers.contract import Struct

MAX_EVENTS = 4096
"""Parts of one job that are kept for who follows it; older ones go."""
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


class News(Struct, frozen=True):
    """What has come of a job that runs, since the last news.

    Attributes:
        facts: Device, progress and the like, by the names of ``Standing``.
        parts: For who follows it.
        keep: At most so many entries of what followers see stay.
    """

    facts: Mapping[str, str] = {}
    parts: Sequence[PartCame] = ()
    keep: int = MAX_EVENTS


class Ending(Struct, frozen=True):
    """How a job ended.

    Attributes:
        output: A ``JobOutput``, packed; ``None`` unless it is completed.
        news: The last, which go with it.
    """

    state: JobState
    error: str | None = None
    output: bytes | None = None
    news: News = News()


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


def moved(view: JobView, run: Standing) -> JobView:
    """The view after news of a run; unchanged where it knows that or better already.

    Who follows late is told everything again, so old news must not take newer away.
    """
    if view.state.ended or run.started_at is None:
        return view
    news = _fields(run)
    if run.started_at == view.started_at:
        if view.state is not JobState.RUNNING or (view.progress or 0.0) > (run.progress or 0.0):
            return view
        news = {name: value for name, value in news.items() if value is not None}
    elif view.started_at is not None and run.started_at < view.started_at:
        return view
    return msgspec.structs.replace(view, **news)


pack = msgspec.msgpack.Encoder().encode
unpack_record = msgspec.msgpack.Decoder(JobRecord).decode
unpack_standing = msgspec.msgpack.Decoder(Standing).decode
unpack_output = msgspec.msgpack.Decoder(JobOutput).decode
_events: msgspec.msgpack.Decoder[JobEvent] = msgspec.msgpack.Decoder(JobEvent)
unpack_event = _events.decode
