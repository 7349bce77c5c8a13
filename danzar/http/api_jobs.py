"""The seed's routes of jobs: submit, look, take the result, cancel."""

import asyncio
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Body, Path, Query, Response
from fastapi.responses import JSONResponse

from danzar.http.api_auth import Asking, Seated
from danzar.http.api_bodies import (
    AnyResult,
    JobBody,
    JobStatus,
    Submitted,
    job_status,
    submitted,
)
from danzar.http.api_errors import documented
from danzar.http.api_parts import ApiParts, Parts
from danzar.http.api_results import MP4, PNG, result_file, result_json
from danzar.http.api_route import ApiRoute
from danzar.http.api_submit import own_job, submit
from danzar.jobs.contract import StateCame

_MAX_WAIT_S = 60.0
_MOST_FILES = 1000

router = APIRouter(route_class=ApiRoute, tags=["jobs"])
JobId = Annotated[str, Path(max_length=200, description="As `POST /jobs` said.")]
_EXAMPLES = {
    "text": {
        "summary": "A text",
        "value": {
            "model": "llama-ministral",
            "prompt": "Explain quantum computing in simple terms",
            "params": {"max_tokens": 200},
        },
    },
    "picture": {
        "summary": "A picture, before others, and within ten minutes",
        "value": {
            "model": "stable-diffusion-turbo",
            "prompt": "A serene mountain lake at sunset",
            "params": {"width": 512, "height": 512, "seed": 7},
            "priority": 10,
            "deadline_s": 600,
        },
    },
}


@router.post("/jobs", status_code=201, responses=documented(404))
async def submit_job(
    body: Annotated[JobBody, Body(openapi_examples=_EXAMPLES)],
    caller: Asking,
    parts: Parts,
    response: Response,
) -> Submitted:
    """Submit a job. It is on disk when this answers, and ends exactly once."""
    view = await submit(parts, caller, body)
    response.headers["Location"] = f"/jobs/{view.job_id}"
    return submitted(view)


@router.get("/jobs/{job_id}", responses=documented(404))
async def get_job(job_id: JobId, caller: Asking, parts: Parts) -> JobStatus:
    """Say how a job is."""
    return job_status(await own_job(parts, caller, job_id))


@router.get("/jobs/{job_id}/result", response_model=AnyResult, responses=documented(404, 409))
async def get_result(
    job_id: JobId,
    caller: Seated,
    parts: Parts,
    wait_s: Annotated[
        float, Query(ge=0, le=_MAX_WAIT_S, description="Wait so long for the job's end.")
    ] = 0.0,
) -> Response:
    """Give what a completed job brought; 409 where there is nothing (yet)."""
    view = await own_job(parts, caller, job_id)
    if wait_s and not view.state.ended:
        await _wait_for_end(parts, job_id, wait_s)
    output = await parts.jobs.output(job_id)
    body = await asyncio.to_thread(result_json, job_id, output)
    return Response(body, media_type=JSONResponse.media_type)


@router.get(
    "/jobs/{job_id}/result/{number}",
    response_class=Response,
    responses={
        **documented(404, 409),
        200: {
            "description": "The file itself.",
            "content": {
                kind: {"schema": {"type": "string", "format": "binary"}}
                for kind in (PNG, "image/jpeg", MP4, "text/plain")
            },
        },
    },
)
async def get_result_file(
    job_id: JobId,
    number: Annotated[int, Path(ge=0, lt=_MOST_FILES, description="Counted from 0.")],
    caller: Seated,
    parts: Parts,
) -> Response:
    """Give one picture, the video or the text of a result as a file."""
    await own_job(parts, caller, job_id)
    file = result_file(await parts.jobs.output(job_id), number)
    return Response(file.data, media_type=file.media_type)


@router.delete("/jobs/{job_id}", responses=documented(404))
async def cancel_job(job_id: JobId, caller: Asking, parts: Parts) -> JobStatus:
    """Cancel a job that waits or runs; one that has ended stays as it is."""
    await own_job(parts, caller, job_id)
    return job_status(await parts.jobs.cancel(job_id, f"cancelled by {caller.name}"))


async def _wait_for_end(parts: ApiParts, job_id: str, wait_s: float) -> None:
    try:
        async with asyncio.timeout(wait_s), aclosing(parts.jobs.follow(job_id)) as events:
            async for event in events:
                if isinstance(event, StateCame) and event.view.state.ended:
                    return
    except TimeoutError:
        return
