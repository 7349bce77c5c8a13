"""The shell around the scheduler: one task owns it, carries out its effects, reports back events.

Requests are answered in the coroutine of whoever asked: the manager only tells it when and on
which worker to run, so that no token takes a detour.
"""

import asyncio
import itertools
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from danzar.core.device import DeviceSnapshot, find_device
from danzar.core.events import (
    Effect,
    Event,
    JobEnded,
    JobSubmitted,
    PreloadRequested,
    QueueMoved,
    Refusal,
    RefuseJob,
    SnapshotsTaken,
    StartJob,
    StartLoad,
    StartUnload,
    Tick,
    UnloadRequested,
    WorkerLost,
)
from danzar.core.model import Job
from danzar.core.scheduler import Scheduler
from danzar.errors import (
    CannotPlace,
    DanzarError,
    ModelMissing,
    QueueFull,
    WorkerDied,
    WorkerHung,
    WorkerStartFailed,
)
from danzar.inference import OnPosition, Outcome, Placed, Progress
from danzar.loader import Decision, Loader
from danzar.pool import WorkerPool
from danzar.telemetry.sampler import Sampler
from danzar.workers.contract import Part, Request
from danzar.workers.outcomes import Finished

log = logging.getLogger(__name__)

_REFUSALS: dict[Refusal, type[DanzarError]] = {
    Refusal.QUEUE_FULL: QueueFull,
    Refusal.CANNOT_PLACE: CannotPlace,
    Refusal.LOAD_FAILED: WorkerStartFailed,
    Refusal.UNKNOWN_MODEL: ModelMissing,
}


@dataclass(slots=True)
class _Ticket:
    """Whoever waits for a job to start."""

    started: asyncio.Future[StartJob]
    on_position: OnPosition | None


class ModelManager:
    """Answers requests for models by name; see ``danzar.inference.Inference``."""

    def __init__(
        self,
        scheduler: Scheduler,
        pool: WorkerPool,
        sampler: Sampler,
        *,
        part_timeout_s: float,
    ) -> None:
        """Wire the parts; ``run`` makes them move.

        Args:
            scheduler: Owned from now on.
            pool: Owned from now on; closed when ``run`` ends.
            sampler: Run by someone else; asked for fresh snapshots after loads and unloads.
            part_timeout_s: Longest silence of a worker in a request.
        """
        self._scheduler = scheduler
        self._pool = pool
        self._sampler = sampler
        self._part_timeout_s = part_timeout_s
        self._inbox: asyncio.Queue[Event] = asyncio.Queue()
        self._loader = Loader(pool, sampler, self._inbox.put_nowait)
        self._tickets: dict[int, _Ticket] = {}
        self._job_ids = itertools.count(1)
        pool.on_lost = self._worker_lost

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """What was loaded and unloaded lately, and why; oldest first."""
        return tuple(self._loader.decisions)

    @property
    def scheduler(self) -> Scheduler:
        """The scheduler, to be read only."""
        return self._scheduler

    def worker_pids(self) -> frozenset[int]:
        """Process ids of Danzar's workers: memory that others hold is foreign use."""
        return self._pool.pids()

    async def run(self) -> None:
        """Own the scheduler until cancelled; then end all workers."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._follow_sampler())
                while True:
                    event = await self._inbox.get()
                    for effect in self._scheduler.handle(event, time.monotonic()):
                        self._carry_out(effect, tasks)
        finally:
            await self._pool.close()

    def preload(self, model: str) -> None:
        """Load a model before it is asked for, if it fits without evicting anything."""
        self._inbox.put_nowait(PreloadRequested(model))

    def unload(self, model: str) -> None:
        """Unload a model once it is idle."""
        self._inbox.put_nowait(UnloadRequested(model))

    async def call(self, model: str, request: Request) -> Outcome:
        """The result of a request whose parts do not matter."""
        async with aclosing(self.stream(model, request)) as progress:
            async for step in progress:
                if isinstance(step, Outcome):
                    return step
        raise AssertionError(f"{model} ended without a result")

    async def stream(
        self, model: str, request: Request, *, on_position: OnPosition | None = None
    ) -> AsyncGenerator[Progress]:
        """See ``Inference.stream``; asked once more if the worker is lost before the first part."""
        answered = False
        try:
            async with aclosing(self._attempt(model, request, on_position)) as attempt:
                async for step in attempt:
                    answered = answered or not isinstance(step, Placed)
                    yield step
        except (WorkerDied, WorkerHung) as exc:
            if answered:
                raise
            log.warning("request to %s is asked again: %s", model, exc)
        else:
            return
        again = self._attempt(model, request, on_position, retried=True)
        async with aclosing(again):
            async for step in again:
                yield step

    # --- one request -----------------------------------------------------------------------

    async def _attempt(
        self,
        model: str,
        request: Request,
        on_position: OnPosition | None,
        *,
        retried: bool = False,
    ) -> AsyncGenerator[Progress]:
        asked_s = time.monotonic()
        job = Job(next(self._job_ids), model, asked_s, retried)
        succeeded = False
        try:
            start = await self._wait_for_start(job, on_position)
            waited_s = time.monotonic() - asked_s
            placed = self._placed(model, start)
            yield placed
            async with aclosing(self._run(model, request)) as parts:
                async for part in parts:
                    if isinstance(part, Finished):
                        succeeded = True
                        self._pool.note_work(model, part.seconds)
                        yield Outcome(part.result, placed, part.seconds, waited_s)
                    else:
                        yield part
        finally:
            self._tickets.pop(job.job_id, None)
            self._inbox.put_nowait(JobEnded(job.job_id, model, succeeded))

    async def _wait_for_start(self, job: Job, on_position: OnPosition | None) -> StartJob:
        ticket = _Ticket(asyncio.get_running_loop().create_future(), on_position)
        self._tickets[job.job_id] = ticket
        self._inbox.put_nowait(JobSubmitted(job))
        return await ticket.started

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

    def _placed(self, model: str, start: StartJob) -> Placed:
        device = self._device(start.device_uuid)
        return Placed(model, device.label, device.simulated, start.degraded)

    def _device(self, uuid: str) -> DeviceSnapshot:
        found = find_device(self._scheduler.snapshots, uuid)
        if found is None:
            raise WorkerDied(f"the device {uuid} is gone; ask again")
        return found

    # --- effects ---------------------------------------------------------------------------

    def _carry_out(self, effect: Effect, tasks: asyncio.TaskGroup) -> None:
        match effect:
            case StartLoad():
                tasks.create_task(self._loader.load(effect, self._device(effect.device_uuid)))
            case StartUnload():
                tasks.create_task(self._loader.unload(effect))
            case StartJob(job):
                self._start(job, effect)
            case RefuseJob(job_id, kind, reason):
                self._refuse(job_id, _REFUSALS[kind](reason))
            case QueueMoved(job_id, position):
                ticket = self._tickets.get(job_id)
                if ticket is not None and ticket.on_position is not None:
                    ticket.on_position(position)

    def _start(self, job: Job, effect: StartJob) -> None:
        ticket = self._tickets.get(job.job_id)
        # A ticket that is gone or cancelled has posted JobEnded, which frees the slot.
        if ticket is not None and not ticket.started.done():
            ticket.started.set_result(effect)

    def _refuse(self, job_id: int, error: DanzarError) -> None:
        ticket = self._tickets.get(job_id)
        if ticket is not None and not ticket.started.done():
            ticket.started.set_exception(error)

    # --- what happens by itself ------------------------------------------------------------

    def _worker_lost(self, engine: str, device_uuid: str, reason: str) -> None:
        self._inbox.put_nowait(WorkerLost(engine, device_uuid, reason))

    async def _follow_sampler(self) -> None:
        async with aclosing(self._sampler.readings()) as readings:
            async for reading in readings:
                self._inbox.put_nowait(SnapshotsTaken(reading.snapshots))
                self._inbox.put_nowait(Tick())
