"""Ask a model for an API client: here where this node has it, else on another node by a job."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from danzar.core.asker import Asker
from danzar.errors import BackendFailed, Cancelled, CannotPlace, DanzarError, WorkerDied
from danzar.http.api_parts import ApiParts
from danzar.inference import MakeRequest, Outcome, Placed, Progress
from danzar.jobs.contract import JobRequest, Jobs, JobState, JobView, PartCame, StateCame
from danzar.workers.contract import Part, Request, TextDelta

log = logging.getLogger(__name__)

# A person waits: before ordinary jobs, whose priority is 0.
_PRIORITY = 50
_CANCEL_TIMEOUT_S = 5.0
_GONE = "the client hung up"


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client wants of a model.

    Attributes:
        fitted: The request for how the model is loaded here; ``None``: as it is.
        elsewhere: Another node is to do it, although this one has the model.
    """

    model: str
    request: Request
    asker: Asker
    fitted: MakeRequest | None = None
    elsewhere: bool = False


async def ask(parts: ApiParts, wish: Wish) -> AsyncGenerator[Progress]:
    """The steps of an answer, as ``Inference.stream`` yields them; closing it stops the work.

    Where no device here has room, a node that has the model is asked.

    Raises:
        danzar.errors.DanzarError: With a message for the client.
    """
    if wish.model in parts.config.models.models and not wish.elsewhere:
        try:
            async with aclosing(_ask_here(parts, wish)) as steps:
                async for step in steps:
                    yield step
        except CannotPlace as exc:
            if not is_elsewhere(parts, wish.model):
                raise
            log.info("another node is asked: %s", exc)
        else:
            return
    async with aclosing(_ask_elsewhere(parts.jobs, wish)) as steps:
        async for step in steps:
            yield step


def is_elsewhere(parts: ApiParts, model: str) -> bool:
    """Whether another node takes jobs for a model."""
    target = parts.targets().get(model)
    return target is not None and bool(target.nodes)


async def ask_once(parts: ApiParts, wish: Wish) -> Outcome:
    """The end of an answer whose parts do not matter; same errors as ``ask``."""
    async with aclosing(ask(parts, wish)) as steps:
        async for step in steps:
            if isinstance(step, Outcome):
                return step
    raise BackendFailed(f"{wish.model} ended without a result")


def _ask_here(parts: ApiParts, wish: Wish) -> AsyncGenerator[Progress]:
    request = wish.fitted or wish.request
    return parts.inference.stream(wish.model, request, asker=wish.asker)


async def _ask_elsewhere(jobs: Jobs, wish: Wish) -> AsyncGenerator[Progress]:
    accepted = await jobs.submit(
        JobRequest(wish.model, wish.request, priority=_PRIORITY, owner=wish.asker.person)
    )
    ended = False
    try:
        async with aclosing(_follow(jobs, accepted)) as steps:
            async for step in steps:
                ended = isinstance(step, Outcome)
                yield step
    finally:
        if not ended:
            await _cancel(jobs, accepted.job_id)


async def _follow(jobs: Jobs, accepted: JobView) -> AsyncGenerator[Progress]:
    text, view, told = _Text(), accepted, False
    async with aclosing(jobs.follow(accepted.job_id)) as events:
        async for event in events:
            if isinstance(event, StateCame):
                view = event.view
                continue
            part = text.new_in(event)
            if part is not None:
                if not told:
                    yield _placed(view)
                told = True
                yield part
    if not told:
        yield _placed(view)
    yield await _ended(jobs, view)


async def _ended(jobs: Jobs, view: JobView) -> Outcome:
    if view.state is JobState.CANCELLED:
        raise Cancelled(view.error or "the request was cancelled")
    if view.state is not JobState.COMPLETED:
        raise BackendFailed(view.error or f"{view.model} failed on {view.node}")
    output = await jobs.output(view.job_id)
    started_at = view.started_at or view.submitted_at
    seconds = max(0.0, (view.ended_at or started_at) - started_at)
    return Outcome(output.result, _placed(view), seconds, started_at - view.submitted_at)


def _placed(view: JobView) -> Placed:
    where = " on ".join(filter(None, (view.device, view.node))) or "another node"
    return Placed(view.model, where, simulated=False, degraded=view.degraded)


class _Text:
    """An answer that may be started again by another node: what was sent can't be taken back."""

    def __init__(self) -> None:
        self._sent = ""
        self._attempt = 0
        self._now = ""

    def new_in(self, event: PartCame) -> Part | None:
        """What of a start's next part is new to the client; ``None``: nothing.

        Raises:
            WorkerDied: The new start says something else than was sent.
        """
        if event.attempt < self._attempt:
            return None
        if event.attempt > self._attempt:
            self._attempt, self._now = event.attempt, ""
        if not isinstance(event.part, TextDelta):
            return event.part
        self._now += event.part.text
        common = min(len(self._now), len(self._sent))
        if self._now[:common] != self._sent[:common]:
            raise WorkerDied("the node was lost in the middle of the answer; ask again")
        new = self._now[common:]
        self._sent += new
        return TextDelta(new) if new else None


async def _cancel(jobs: Jobs, job_id: str) -> None:
    try:
        async with asyncio.timeout(_CANCEL_TIMEOUT_S):
            await jobs.cancel(job_id, _GONE)
    except (DanzarError, TimeoutError) as exc:
        log.warning("job %s of a client that hung up could not be cancelled: %s", job_id, exc)
