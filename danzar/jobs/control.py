"""Jobs for commands on this machine, over the control channel of the Danzar that runs here."""

import base64
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from danzar.config.secrets import redact
from danzar.errors import DanzarError
from danzar.jobs.contract import JobOutput, JobRequest, Jobs, JobState, JobView
from danzar.workers.contract import GeneratedImages, GeneratedVideo, Result

PATH = "/v1/jobs"
OWNER = "command line"

Json = dict[str, Any]
Audit = Callable[[str, str, str], Awaitable[None]]
"""Who, what kind of action, and the details: as ``danzar.store.Store.audit``."""


class ListJobs(msgspec.Struct, frozen=True, tag="list"):
    """The newest jobs that this machine accepted."""

    limit: int = 20


class ShowJob(msgspec.Struct, frozen=True, tag="show"):
    """One job; with its files, base64, where they are wanted."""

    job_id: str
    with_files: bool = False


class CancelJob(msgspec.Struct, frozen=True, tag="cancel"):
    """Stop one."""

    job_id: str


class SubmitJob(msgspec.Struct, frozen=True, tag="submit"):
    """Accept one."""

    request: JobRequest


AnyWish = ListJobs | ShowJob | CancelJob | SubmitJob


class Answer(msgspec.Struct, frozen=True):
    """What came of a wish, or why it was refused."""

    body: Json = {}
    refused: str | None = None


def job_routes(jobs: Jobs | None, audit: Audit) -> dict[str, Handler]:
    """For ``danzar.live.control.serve_control``, which lets in only who knows the secret."""

    async def post(request: web.Request) -> web.StreamResponse:
        try:
            wish = msgspec.json.decode(await request.read(), type=AnyWish)
        except msgspec.DecodeError:
            return web.Response(status=web.HTTPBadRequest.status_code)
        answer = await _grant(jobs, wish)
        if isinstance(wish, CancelJob) and answer.refused is None:
            await audit(OWNER, "jobs.cancel", wish.job_id)
        body = msgspec.json.encode(answer)
        return web.Response(body=body, content_type="application/json")

    return {PATH: post}


async def _grant(jobs: Jobs | None, wish: AnyWish) -> Answer:
    if jobs is None:
        return Answer(refused="jobs are switched off (jobs.enabled in bot_config.yaml)")
    try:
        return Answer(await _body(jobs, wish))
    except DanzarError as exc:
        return Answer(refused=redact(str(exc)))


async def _body(jobs: Jobs, wish: AnyWish) -> Json:
    match wish:
        case ListJobs(limit=limit):
            shown = [view_json(view) for view in await jobs.recent(limit)]
            return {"jobs": shown, "waiting": dict(await jobs.waiting())}
        case ShowJob(job_id=job_id, with_files=with_files):
            view = await jobs.view(job_id)
            result = None
            if view.state is JobState.COMPLETED:
                result = result_json(await jobs.output(job_id), with_files=with_files)
            return {"job": view_json(view), "result": result}
        case CancelJob(job_id=job_id):
            view = await jobs.cancel(job_id, "It was cancelled from the command line.")
            return {"job": view_json(view)}
        case SubmitJob(request=request):
            return {"job": view_json(await jobs.submit(request))}


def view_json(view: JobView) -> Json:
    """A job's keys as `docs/json.md` has them."""
    body: Json = msgspec.to_builtins(view)
    return body


def result_json(output: JobOutput, *, with_files: bool) -> Json:
    """What a job brought: its text, and its files if they are wanted (else how many there are)."""
    files = _files(output.result)
    kind = type(output.result).__struct_config__.tag
    body: Json = {"type": kind, "text": output.text, "files": len(files)}
    if with_files:
        body["data"] = [base64.b64encode(data).decode("ascii") for data in files]
    return body


def _files(result: Result) -> list[bytes]:
    match result:
        case GeneratedImages(pictures=pictures):
            return [picture.data for picture in pictures]
        case GeneratedVideo(data=data):
            return [data]
        case _:
            return []
