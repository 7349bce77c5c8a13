"""Accepting a job, and finding one: what the HTTP routes and the WebSocket share."""

from typing import Any

from pydantic import ValidationError

from danzar.http.api_auth import Caller
from danzar.http.api_bodies import JobBody
from danzar.http.api_errors import ApiError
from danzar.http.api_params import read_params, refusal, refuse_crowd
from danzar.http.api_parts import ApiParts
from danzar.http.api_targets import find_target
from danzar.jobs.contract import JobMissing, JobRequest, JobView


def read_job(data: Any) -> JobBody:  # noqa: ANN401 - any JSON
    """The job that JSON asks for.

    Raises:
        ApiError: 400; it says none. The message names the key, and the nearest known one.
    """
    if not isinstance(data, dict):
        raise ApiError(400, "a job is a JSON object: {model, prompt, params}")
    refuse_crowd(data, "the job")
    try:
        return JobBody.model_validate(data)
    except ValidationError as exc:
        raise refusal(JobBody, data, exc) from exc


async def submit(parts: ApiParts, caller: Caller, body: JobBody) -> JobView:
    """Accept the job for this caller.

    Raises:
        ApiError: 400, its parameters; 429, the caller has too many.
        danzar.errors.DanzarError: As ``Jobs.submit``.
    """
    longest = parts.settings.max_prompt_chars
    if len(body.prompt) > longest:
        message = f"prompt: has {len(body.prompt)} characters; allowed: {longest}"
        raise ApiError(400, f"{message} (api.max_prompt_chars)", param="prompt")
    target = find_target(parts.targets(), body.model, parts.config.models.models)
    entry = parts.config.models.models.get(target.name)
    settings = {} if entry is None else entry.settings
    request = JobRequest(
        model=target.name,
        work=read_params(target.kind, body.params).work(body.prompt, settings),
        priority=body.priority,
        deadline_s=body.deadline_s,
        max_attempts=body.max_attempts,
        owner=caller.owner,
        keep_s=body.keep_s,
    )
    async with parts.owners.admit(caller.owner, caller.limits.jobs, parts.jobs.unfinished):
        return await parts.jobs.submit(request)


async def own_job(parts: ApiParts, caller: Caller, job_id: str) -> JobView:
    """The caller's job by this id; others' jobs are as missing as none.

    Raises:
        JobMissing: The caller has none.
    """
    view = await parts.jobs.view(job_id)
    if view.owner != caller.owner:
        raise JobMissing(f"there is no job {job_id[:80]!r}, or its time to be kept is over")
    return view
