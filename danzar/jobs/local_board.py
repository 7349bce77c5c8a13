"""The queue of one process, in its memory. The disk behind it makes it durable, not this.

Nothing here awaits in the middle of a change, so each call is atomic on the event loop.
"""

import asyncio
import bisect
import contextlib
import time
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from danzar.jobs.board import (
    Changed,
    Found,
    HasEnded,
    HasStarted,
    Line,
    Pull,
    Signal,
    Stop,
    Work,
)
from danzar.jobs.contract import JobState, PartCame
from danzar.jobs.record import MAX_EVENTS, Ending, JobRecord, News, Standing, Taken, new_id
from danzar.running import running

_SILENCE_S = 2.0
_NEWEST_SHARE = 0.2  # of the running mean of run times


@dataclass(slots=True, eq=False)
class _Job:
    """One job that has not been written down as ended."""

    record: JobRecord
    attempt: int
    state: JobState = JobState.QUEUED
    token: str = ""
    started_at: float | None = None
    ended_at: float | None = None
    facts: dict[str, str] = field(default_factory=dict)
    ending: Ending | None = None
    events: deque[PartCame | Changed] = field(default_factory=deque)
    dropped: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def key(self) -> tuple[float, str]:
        return self.record.score, self.record.job_id

    def add(self, event: PartCame | Changed, keep: int = MAX_EVENTS) -> None:
        self.events.append(event)
        while len(self.events) > keep:
            self.events.popleft()
            self.dropped += 1
        news, self.news = self.news, asyncio.Event()
        news.set()


@dataclass(slots=True)
class _Queue:
    """One model's jobs that wait, the next one first; and how fast they go."""

    order: list[tuple[float, str]] = field(default_factory=list)
    running: int = 0
    mean_run_s: float | None = None
    woken: asyncio.Event = field(default_factory=asyncio.Event)


class LocalBoard:
    """A ``Board`` for one process."""

    host = "this process"

    def __init__(self) -> None:
        self._jobs: dict[str, _Job] = {}
        self._queues: defaultdict[str, _Queue] = defaultdict(_Queue)
        self._listeners: dict[asyncio.Queue[Signal], str] = {}
        self._unwritten: dict[str, None] = {}  # an ordered set
        self._takers: dict[str, tuple[str, ...]] = {}
        self._delays: dict[str, asyncio.TimerHandle] = {}
        self._generation = new_id()

    async def put(self, jobs: Sequence[tuple[JobRecord, int]]) -> None:
        """As in ``Board``."""
        for record, attempt in jobs:
            if record.job_id not in self._jobs:
                self._jobs[record.job_id] = job = _Job(record, attempt)
                self._wait(job)

    async def put_one(self, record: JobRecord) -> int | None:
        """As in ``Board``."""
        if record.job_id in self._jobs:
            return None
        await self.put([(record, 0)])
        order = self._queues[record.request.model].order
        return bisect.bisect_left(order, (record.score, record.job_id)) + 1

    async def take(self, model: str, node: str) -> Taken | None:
        """As in ``Board``."""
        queue = self._queues[model]
        if not queue.order:
            return None
        job = self._jobs[queue.order.pop(0)[1]]
        queue.running += 1
        job.state, job.token, job.started_at = JobState.RUNNING, new_id(), time.time()
        job.attempt += 1
        job.facts = {"node": node}
        job.add(Changed(run=self._standing(job)))
        self._signal(HasStarted(job.record.job_id, job.attempt))
        return Taken(job.record, job.attempt, job.token, job.started_at)

    async def renew(self, held: Sequence[Taken], node: str) -> frozenset[str]:
        """As in ``Board``."""
        return frozenset(t.record.job_id for t in held if self._held(t) is None)

    async def tell(self, taken: Taken, news: News) -> None:
        """As in ``Board``."""
        job = self._held(taken)
        if job is None:
            return
        job.facts |= news.facts
        if news.facts:
            job.add(Changed(run=self._standing(job)))
        for part in news.parts:
            job.add(part, news.keep)

    async def give_back(self, taken: Taken, delay_s: float, *, counts: bool) -> None:
        """As in ``Board``."""
        job = self._held(taken)
        if job is None:
            return
        self._queues[job.record.request.model].running -= 1
        job.state, job.token, job.facts = JobState.QUEUED, "", {}
        job.attempt -= not counts
        job.add(Changed())
        if delay_s > 0:
            loop = asyncio.get_running_loop()
            self._delays[job.record.job_id] = loop.call_later(delay_s, self._delay_over, job)
        else:
            self._wait(job)

    async def finish(self, record: JobRecord, ending: Ending, token: str = "") -> bool:
        """As in ``Board``."""
        job = self._jobs.setdefault(record.job_id, _Job(record, 0))
        if job.state.ended:
            return False
        if token and job.token == token:
            job.facts |= ending.news.facts
        for part in ending.news.parts:
            job.add(part, ending.news.keep)
        self._leave(job, token)
        job.state, job.ending, job.ended_at, job.token = ending.state, ending, time.time(), ""
        self._unwritten[record.job_id] = None
        job.add(Changed(over=True))
        self._signal(HasEnded(record.job_id))
        return True

    async def look(self, job_id: str) -> tuple[JobRecord, Standing] | None:
        """As in ``Board``."""
        job = self._jobs.get(job_id)
        return None if job is None else (job.record, self._standing(job))

    async def states(self, job_ids: Sequence[str]) -> list[Standing | None]:
        """As in ``Board``."""
        jobs = (self._jobs.get(job_id) for job_id in job_ids)
        return [None if job is None else Standing(job.state, job.attempt) for job in jobs]

    async def end_of(self, job_id: str) -> tuple[JobRecord, Standing, bytes | None] | None:
        """As in ``Board``."""
        job = self._jobs.get(job_id)
        if job is None or job.ending is None:
            return None
        return job.record, self._standing(job), job.ending.output

    async def output(self, job_id: str) -> bytes | None:
        """As in ``Board``."""
        job = self._jobs.get(job_id)
        return job.ending.output if job is not None and job.ending is not None else None

    async def line(self, model: str) -> Line:
        """As in ``Board``."""
        queue = self._queues[model]
        return Line(len(queue.order), queue.running, queue.mean_run_s)

    async def waited_s(self, model: str) -> float | None:
        """As in ``Board``."""
        order = self._queues[model].order
        return time.time() - self._jobs[order[0][1]].record.submitted_at if order else None

    async def waiting(self) -> Mapping[str, int]:
        """As in ``Board``."""
        return {model: len(queue.order) for model, queue in self._queues.items() if queue.order}

    def events(self, job_id: str) -> AsyncGenerator[PartCame | Changed | None]:
        """As in ``Board``."""
        return self._events(job_id, self._jobs.get(job_id))

    async def _events(
        self, job_id: str, job: _Job | None
    ) -> AsyncGenerator[PartCame | Changed | None]:
        seen = 0
        while True:
            if job is None:
                await asyncio.sleep(_SILENCE_S)
                yield None
                job = self._jobs.get(job_id)
                continue
            news = job.news
            seen = max(seen, job.dropped)
            if seen < job.dropped + len(job.events):
                event = job.events[seen - job.dropped]
                seen += 1
                yield event
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SILENCE_S):
                    await news.wait()
                    continue
            yield None

    async def to_take_up(self, home: str, at_most: int) -> list[str]:
        """As in ``Board``."""
        return [job_id for job_id, _ in zip(self._unwritten, range(at_most), strict=False)]

    async def taken_up(self, home: str, job_ids: Iterable[str]) -> None:
        """As in ``Board``. They are on disk now, and forgotten here."""
        for job_id in job_ids:
            self._unwritten.pop(job_id, None)
            self._jobs.pop(job_id, None)

    async def announce(self, node: str, models: Iterable[str]) -> None:
        """As in ``Board``."""
        self._takers = dict.fromkeys(models, (node,))

    async def takers(self) -> Mapping[str, tuple[str, ...]]:
        """As in ``Board``."""
        return self._takers

    async def generation(self) -> str:
        """As in ``Board``; memory does not forget while the process lives."""
        return self._generation

    async def signals(self, home: str) -> AsyncGenerator[Signal]:
        """As in ``Board``."""
        queue: asyncio.Queue[Signal] = asyncio.Queue()
        self._listeners[queue] = home
        try:
            yield Found()
            while True:
                yield await queue.get()
        finally:
            del self._listeners[queue]

    @asynccontextmanager
    async def pulling(self, pull: Pull, node: str) -> AsyncIterator[None]:
        """As in ``Board``."""
        serving: set[asyncio.Task[None]] = set()
        async with running(self._serve(pull, serving)):
            try:
                yield
            finally:
                for task in serving:
                    task.cancel()
                await asyncio.gather(*serving, return_exceptions=True)

    async def _serve(self, pull: Pull, serving: set["asyncio.Task[None]"]) -> None:
        queue = self._queues[pull.model]

        def served(task: "asyncio.Task[None]") -> None:
            serving.discard(task)
            queue.woken.set()

        while True:
            queue.woken.clear()
            while queue.order and len(serving) < pull.at_once() and await pull.may_pull():
                task = asyncio.create_task(pull.serve())
                serving.add(task)
                task.add_done_callback(served)
                await asyncio.sleep(0)  # it takes its job
            await queue.woken.wait()

    def wake(self, model: str) -> None:
        """As in ``Board``."""
        self._queues[model].woken.set()

    def _wait(self, job: _Job) -> None:
        model = job.record.request.model
        bisect.insort(self._queues[model].order, job.key)
        self.wake(model)
        self._signal(Work(model))

    def _delay_over(self, job: _Job) -> None:
        self._delays.pop(job.record.job_id, None)
        if job.state is JobState.QUEUED:
            self._wait(job)

    def _leave(self, job: _Job, token: str) -> None:
        """Take a job that ends out of where it waits or runs."""
        queue = self._queues[job.record.request.model]
        if job.state is JobState.RUNNING:
            queue.running -= 1
            if job.token != token:
                self._signal(Stop(job.record.job_id))
            elif job.started_at is not None:
                took_s = time.time() - job.started_at
                mean_s = took_s if queue.mean_run_s is None else queue.mean_run_s
                queue.mean_run_s = mean_s + (took_s - mean_s) * _NEWEST_SHARE
            return
        delay = self._delays.pop(job.record.job_id, None)
        if delay is not None:
            delay.cancel()
        place = bisect.bisect_left(queue.order, job.key)
        if place < len(queue.order) and queue.order[place] == job.key:
            del queue.order[place]

    def _held(self, taken: Taken) -> _Job | None:
        job = self._jobs.get(taken.record.job_id)
        return job if job is not None and job.token == taken.token else None

    def _standing(self, job: _Job) -> Standing:
        position = None
        if job.state is JobState.QUEUED and job.record.job_id not in self._delays:
            order = self._queues[job.record.request.model].order
            position = bisect.bisect_left(order, job.key) + 1
        progress = job.facts.get("progress")
        return Standing(
            state=job.state,
            attempt=job.attempt,
            started_at=job.started_at,
            ended_at=job.ended_at,
            position=position,
            node=job.facts.get("node"),
            device=job.facts.get("device"),
            error=job.ending.error if job.ending is not None else None,
            degraded=job.facts.get("degraded"),
            progress=None if progress is None else float(progress),
        )

    def _signal(self, signal: Signal) -> None:
        for listener in self._listeners:
            listener.put_nowait(signal)
