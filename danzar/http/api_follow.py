"""A job's events as programs get them: named, with JSON; the last one is its result or its state.

state: JobStatus; text: the next piece; step: a step of denoising, sometimes with a small picture;
result: as ``GET /jobs/{id}/result``; error: what broke the stream. Pieces carry the attempt that
they are of: where a job is started again, those of earlier attempts are void.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import msgspec

from danzar.errors import DanzarError
from danzar.http.api_bodies import job_status
from danzar.http.api_errors import error_of
from danzar.http.api_results import picture_url, result_json
from danzar.jobs.contract import JobEvent, Jobs, JobState, PartCame, StateCame
from danzar.workers.contract import Part, StepDone, TextDelta


@dataclass(frozen=True, slots=True)
class Told:
    """One event; ``data`` is one line of JSON."""

    name: str
    data: bytes


async def told_events(jobs: Jobs, job_id: str) -> AsyncGenerator[Told]:
    """Everything about a job from now to its end, its result included.

    Errors are the last event: by then, the status of the answer is gone.
    """
    try:
        async with aclosing(jobs.follow(job_id)) as events:
            async for event in events:
                told = tell(event)
                if told is not None:
                    yield told
                if isinstance(event, StateCame) and event.view.state is JobState.COMPLETED:
                    output = await jobs.output(job_id)
                    yield Told("result", await asyncio.to_thread(result_json, job_id, output))
    except DanzarError as exc:
        yield Told("error", msgspec.json.encode(error_of(exc).body))


def tell(event: JobEvent) -> Told | None:
    """The event as programs get it; ``None`` for one that means nothing to them."""
    match event:
        case StateCame(view=view):
            return Told("state", job_status(view).model_dump_json().encode())
        case PartCame(part=part, attempt=attempt):
            return _tell_part(part, attempt)


def _tell_part(part: Part, attempt: int) -> Told | None:
    match part:
        case TextDelta(text=text):
            return _told("text", text=text, attempt=attempt)
        case StepDone(step=step, steps=steps, preview=preview):
            has_file = preview is not None and preview.encoding != "rgb"
            image = picture_url(preview) if preview is not None and has_file else None
            return _told("step", step=step, steps=steps, preview=image, attempt=attempt)
        case _:
            return None


def _told(name: str, **data: Any) -> Told:  # noqa: ANN401 - any JSON
    return Told(name, msgspec.json.encode(data))
