"""Pictures that another machine makes: a job whose events read like a local request's."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from danzar.core.asker import Asker
from danzar.errors import BackendFailed, Cancelled
from danzar.inference import OnPosition, Outcome, Placed, Progress, QueuePlace
from danzar.jobs.contract import JobRequest, Jobs, JobState, JobView, PartCame
from danzar.pictures.limits import PictureRequest

# A person waits for it; the files are in the channel, so the queue need not keep them for long.
PRIORITY = 10
KEEP_S = 600.0
_STOPPED = "the person stopped it"


async def stream_job(
    jobs: Jobs,
    model: str,
    request: PictureRequest,
    asker: Asker,
    on_position: OnPosition | None = None,
) -> AsyncGenerator[Progress]:
    """Submit a job and follow it to its end, as ``Inference.stream`` does.

    Closing the generator cancels the job.

    Raises:
        danzar.errors.DanzarError: It can't be submitted, failed, or was cancelled.
    """
    owner = None if asker.person is None else f"discord:{asker.person}"
    wanted = JobRequest(model, request, priority=PRIORITY, owner=owner, keep_s=KEEP_S)
    job_id = (await jobs.submit(wanted)).job_id
    last: JobView | None = None
    placed: Placed | None = None
    try:
        async with aclosing(jobs.follow(job_id)) as events:
            async for event in events:
                if isinstance(event, PartCame):
                    placed = placed or _placed(last, model)
                    yield event.part
                    continue
                last = event.view
                if last.state is JobState.QUEUED and last.position and on_position is not None:
                    on_position(QueuePlace(last.position))
                if last.state is JobState.RUNNING:
                    placed = _placed(last, model)
                    yield placed
    finally:
        if last is None or not last.state.ended:
            await jobs.cancel(job_id, _STOPPED)
    yield await _outcome(jobs, last)


async def _outcome(jobs: Jobs, ended: JobView | None) -> Outcome:
    if ended is None or ended.state is not JobState.COMPLETED:
        raise _failure(ended)
    output = await jobs.output(ended.job_id)
    begun = ended.started_at or ended.submitted_at
    return Outcome(
        output.result,
        _placed(ended, ended.model),
        seconds=max(0.0, (ended.ended_at or begun) - begun),
        waited_s=max(0.0, begun - ended.submitted_at),
    )


def _failure(ended: JobView | None) -> Exception:
    if ended is not None and ended.state is JobState.CANCELLED:
        return Cancelled(ended.error or "The request was cancelled.")
    why = ended.error if ended is not None else None
    return BackendFailed(why or "The other machine ended the request without a reason.")


def _placed(view: JobView | None, model: str) -> Placed:
    """Where it runs, as far as the job says."""
    device = (view.device if view is not None else None) or "another machine"
    if view is not None and view.node:
        device = f"{device} of {view.node}"
    return Placed(model, device, simulated=False, degraded=view.degraded if view else None)
