"""One request for a model, from its ticket to its result, in the coroutine of whoever asked.

The owner of the scheduler only says when and on which worker to run, so that no token takes a
detour through its task.
"""

import itertools
import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace

from danzar.broker.news import NewsDesk, RequestEnded, RequestOutcome, outcome_of
from danzar.broker.pool import WorkerPool
from danzar.broker.tickets import Tickets
from danzar.core.asker import Asker
from danzar.core.device import DeviceSnapshot
from danzar.core.events import Event, JobEnded, JobSubmitted, StartJob
from danzar.core.model import Job
from danzar.errors import DanzarError, OutOfMemory, WorkerDied, WorkerHung
from danzar.inference import MakeRequest, OnPosition, Outcome, Placed, Progress
from danzar.workers.contract import Part, Request, Result, StepDone
from danzar.workers.outcomes import Finished

log = logging.getLogger(__name__)

OnResult = Callable[[str, Result, float], None]
_MOST_RUNGS = 8


@dataclass(slots=True)
class _Retries:
    """Once more after a lost worker; after running out as often as there are rungs to go down."""

    lost: int = 0
    ran_out: int = 0

    @property
    def used(self) -> bool:
        return self.lost + self.ran_out > 0

    def allow(self, error: DanzarError) -> bool:
        if isinstance(error, OutOfMemory):
            self.ran_out += 1
        else:
            self.lost += 1
        return self.ran_out <= _MOST_RUNGS and self.lost <= 1


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody asks of a model."""

    model: str
    request: Request | MakeRequest
    asker: Asker
    on_position: OnPosition | None


@dataclass(slots=True)
class _Course:
    """How a request goes, over all its attempts."""

    wanted: Wanted
    asked_s: float
    model: str
    waited_s: float | None = None
    outcome: RequestOutcome = RequestOutcome.CANCELLED
    result: Result | None = None
    error: str = ""

    def note(self, step: Progress) -> None:
        if isinstance(step, Placed):
            self.model = step.model
            if self.waited_s is None:
                self.waited_s = time.monotonic() - self.asked_s
        elif isinstance(step, Outcome):
            self.outcome, self.result = RequestOutcome.ANSWERED, step.result

    def ended(self) -> RequestEnded:
        return RequestEnded(
            model=self.model,
            request_class=self.wanted.asker.kind,
            outcome=self.outcome,
            seconds=time.monotonic() - self.asked_s,
            waited_s=self.waited_s,
            result=self.result,
            error=self.error,
        )


class Requests:
    """All requests that wait or run.

    Attributes:
        news: Where the end of every request is told.
        tickets: Where the scheduler's word on a waiting request goes.
        on_result: Called with every answer: the model, the result, the worker's seconds.
    """

    def __init__(
        self,
        pool: WorkerPool,
        device: Callable[[str], DeviceSnapshot],
        post: Callable[[Event], None],
        *,
        part_timeout_s: float,
    ) -> None:
        """Know the workers.

        Args:
            pool: The workers.
            device: A device by its UUID; raises ``WorkerDied`` where it is gone.
            post: Tells the scheduler.
            part_timeout_s: Longest silence of a worker in a request.
        """
        self._pool = pool
        self._device = device
        self._post = post
        self._part_timeout_s = part_timeout_s
        self._job_ids = itertools.count(1)
        self.tickets = Tickets()
        self.news = NewsDesk()
        self.on_result: OnResult = _ignore_result

    async def stream(self, wanted: Wanted) -> AsyncGenerator[Progress]:
        """See ``Inference.stream``."""
        course = _Course(wanted, time.monotonic(), wanted.model)
        try:
            async with aclosing(self._until_answered(wanted)) as steps:
                async for step in steps:
                    course.note(step)
                    yield step
        except Exception as exc:
            course.outcome, course.error = outcome_of(exc), type(exc).__name__
            raise
        finally:
            self.news.tell(course.ended())

    async def _until_answered(self, wanted: Wanted) -> AsyncGenerator[Progress]:
        """Asked again, as ``_Retries`` allows, until a part was sent.

        Steps of a generation are no part of its answer: they begin anew.
        """
        retries = _Retries()
        while True:
            answered = False
            attempt = self._attempt(wanted, retried=retries.used)
            try:
                async with aclosing(attempt):
                    async for step in attempt:
                        answered = answered or not isinstance(step, Placed | StepDone)
                        yield step
            except (WorkerDied, WorkerHung, OutOfMemory) as exc:
                if answered or not retries.allow(exc):
                    raise
                log.warning("request to %s is asked again: %s", wanted.model, exc)
            else:
                return

    async def _attempt(self, wanted: Wanted, *, retried: bool) -> AsyncGenerator[Progress]:
        asked_s = time.monotonic()
        ended = JobEnded(next(self._job_ids), wanted.model, succeeded=False)
        job = Job(ended.job_id, wanted.model, asked_s, retried, asker=wanted.asker)
        try:
            started = self.tickets.draw(job.job_id, wanted.on_position)
            self._post(JobSubmitted(job))
            start = await started
            ended = replace(ended, model=start.job.model)
            waited_s = time.monotonic() - asked_s
            placed = self._placed(start)
            yield placed
            made = wanted.request(placed) if callable(wanted.request) else wanted.request
            async with aclosing(self._run(placed.model, made)) as parts:
                async for part in parts:
                    if isinstance(part, Finished):
                        ended = replace(ended, succeeded=True, seconds=part.seconds)
                        self._pool.note_work(placed.model, part.seconds)
                        self.on_result(placed.model, part.result, part.seconds)
                        yield Outcome(part.result, placed, part.seconds, waited_s)
                    else:
                        yield part
        except OutOfMemory:
            ended = replace(ended, out_of_memory=True)
            raise
        finally:
            self.tickets.discard(job.job_id)
            self._post(ended)

    async def _run(self, model: str, request: Request) -> AsyncGenerator[Part | Finished]:
        process = self._pool.process(model)
        try:
            running = process.run(model, request, inactive_s=self._part_timeout_s)
            async with aclosing(running):
                async for part in running:
                    yield part
        except (WorkerDied, WorkerHung) as exc:
            # Before the request is asked again, the scheduler must know that the worker is gone.
            self._pool.forget(process, str(exc))
            raise

    def _placed(self, start: StartJob) -> Placed:
        device = self._device(start.device_uuid)
        label, simulated = device.label, device.simulated
        return Placed(
            start.job.model, label, simulated, start.degraded, start.settings, start.batch
        )


def _ignore_result(model: str, result: Result, seconds: float) -> None:
    """Until someone learns from it, an answer is just given."""
