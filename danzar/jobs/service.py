"""The jobs of one machine as its front ends see them: accepts, shows, follows, cancels."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass

from danzar.config.jobs import JobsConfig
from danzar.errors import ModelMissing, StoreFailed
from danzar.jobs.board import Board, Changed, Line
from danzar.jobs.consumer import Consumer, LocalModels
from danzar.jobs.contract import (
    JobEvent,
    JobMissing,
    JobNotCompleted,
    JobOutput,
    JobQueueFull,
    JobRequest,
    JobState,
    JobView,
    PartCame,
    QueueUnavailable,
    StateCame,
)
from danzar.jobs.keeper import Keeper, OnEnded
from danzar.jobs.order import UNMEASURED_RETRY_S, check_request, retry_after_s, score
from danzar.jobs.record import Ending, JobRecord, Standing, moved, new_id, unpack_output, view_of
from danzar.jobs.store import JobStore, Kept
from danzar.running import running

log = logging.getLogger(__name__)

_DEFAULT_CANCEL = "It was cancelled."
_SMALL_BYTES = 64 * 1024  # is read in well under a millisecond
_LINE_S = 0.1  # how long what was heard of a model's queue is taken for true while there is room


@dataclass(frozen=True, slots=True)
class _Heard:
    """What was heard of a model's queue.

    Attributes:
        pending: Jobs that it may not count yet.
        asked: How often it had been asked for by then; each time may be one job more since.
    """

    line: Line
    until_s: float
    pending: int
    asked: int


class JobService:
    """A ``Jobs``; made by ``danzar.jobs.open_jobs``.

    Attributes:
        consumer: What runs jobs here; ``None`` where this process runs none.
    """

    def __init__(
        self,
        store: JobStore,
        board: Board,
        config: JobsConfig,
        models: LocalModels,
    ) -> None:
        self._store = store
        self._board = board
        self._config = config
        self._models = models
        self.consumer: Consumer | None = None
        self._keeper = Keeper(store, board, config)
        self._accepting: Counter[str] = Counter()
        self._asked: Counter[str] = Counter()
        self._lines: dict[str, _Heard] = {}

    @asynccontextmanager
    async def keeping(self) -> AsyncIterator["JobService"]:
        """Look after the accepted jobs while the context lasts."""
        async with running(self._keeper.run()):
            try:
                await self._keeper.first_contact()
                yield self
            finally:
                await self._keeper.last_ends()

    @property
    def healthy(self) -> bool:
        """Whether the queue's server answers; always, where the queue is this process."""
        return self._keeper.connected

    def tell_ends(self, on_ended: OnEnded) -> None:
        """Have ``on_ended`` called once for each job of this machine that ends."""
        self._keeper.on_ended = on_ended

    @property
    def queue_host(self) -> str:
        """Where the queue is, without a secret."""
        return self._board.host

    async def submit(self, request: JobRequest) -> JobView:
        """As in ``Jobs``."""
        check_request(request)
        await self._check_model(request.model)
        with self._room_for(request.model, await self._line(request.model)):
            record = self._record(request)
            try:
                await self._store.accept(record)
            except StoreFailed as exc:
                raise QueueUnavailable(f"The job can't be kept: {exc}") from exc
            place = await self._put(record)
        self._keeper.accepted(record, is_put=place is not None)
        log.debug("job %s for %s is accepted", record.job_id, request.model)
        return view_of(record, Standing(position=place))

    async def view(self, job_id: str) -> JobView:
        """As in ``Jobs``."""
        kept = await self._store.find(job_id)
        return await self._elsewhere(job_id) if kept is None else await self._shown(kept)

    async def _now(self, job_id: str, *, over: bool = False) -> JobView:
        kept = await self._store.find(job_id)
        if kept is not None:
            return await self._view(kept, over=over)
        return await self._elsewhere(job_id)

    async def _elsewhere(self, job_id: str) -> JobView:
        """A job that another machine accepted."""
        found = await self._board.look(job_id)
        if found is None:
            raise _missing(job_id)
        return view_of(*found)

    async def output(self, job_id: str) -> JobOutput:
        """As in ``Jobs``."""
        view, data = await self._with_output(job_id)
        if view.state is not JobState.COMPLETED:
            text = f"Job {job_id} is {view.state.value}: it has no result."
            raise JobNotCompleted(text, view)
        if data is None:
            data = await self._board.output(job_id)
        if data is None:
            raise JobMissing(f"The result of job {job_id} is not kept any more.")
        if len(data) <= _SMALL_BYTES:
            return unpack_output(data)
        return await asyncio.to_thread(unpack_output, data)

    async def cancel(self, job_id: str, reason: str = _DEFAULT_CANCEL) -> JobView:
        """As in ``Jobs``."""
        ending = Ending(JobState.CANCELLED, reason)
        kept = await self._store.find(job_id)
        if kept is not None and kept.standing is not None:
            return kept.view
        try:
            found = None if kept is not None else await self._board.look(job_id)
            if kept is None and found is None:
                raise _missing(job_id)
            record = kept.record if kept is not None else found[0] if found else None
            if record is not None:
                await self._board.finish(record, ending)
        except QueueUnavailable:
            if kept is None:
                raise
            await self._keeper.end_here(kept, ending)
        return await self._now(job_id)

    async def follow(self, job_id: str) -> AsyncGenerator[JobEvent]:
        """As in ``Jobs``."""
        async with aclosing(self._board.events(job_id)) as events:
            view = await self.view(job_id)
            yield StateCame(view)
            silent = False  # nothing came since it was seen to have ended
            while not view.state.ended:
                event = await anext(events)
                if isinstance(event, PartCame):
                    silent = False
                    if event.attempt >= view.attempt:
                        yield event
                    continue
                now = await self._after(view, event)
                if now.state.ended and event != Changed(over=True) and not silent:
                    silent = event is None
                    continue  # its last parts come before its end
                if now != view:
                    view = now
                    yield StateCame(view)

    async def _after(self, view: JobView, event: Changed | None) -> JobView:
        """The job after news, or after silence; as it was, while that can't be known or kept."""
        if event is not None and event.run is not None:
            return moved(view, event.run)
        try:
            return await self._now(view.job_id, over=event is not None and event.over)
        except QueueUnavailable:
            return view
        except StoreFailed:
            await self._store.find(view.job_id)  # raises where it can't be read, either
            return view

    async def waiting(self) -> Mapping[str, int]:
        """As in ``Jobs``."""
        try:
            return await self._board.waiting()
        except QueueUnavailable:
            kept = await self._store.open_jobs("", self._config.max_waiting)
            return Counter(k.record.request.model for k in kept)

    async def unfinished(self, owner: str | None) -> int:
        """As in ``Jobs``."""
        return await self._store.unfinished(owner)

    async def recent(self, limit: int = 50) -> tuple[JobView, ...]:
        """As in ``Jobs``."""
        return tuple([await self._shown(kept) for kept in await self._store.recent(limit)])

    async def known_models(self) -> frozenset[str]:
        """As in ``Jobs``."""
        here = frozenset(self._models())
        try:
            return here | (await self._board.takers()).keys()
        except QueueUnavailable:
            return here

    async def takers(self) -> Mapping[str, tuple[str, ...]]:
        """Nodes that take jobs now, by model; those without any were there within a day."""
        return await self._board.takers()

    async def _shown(self, kept: Kept) -> JobView:
        """For who looks: an end that can't be written down yet has not come yet."""
        try:
            return await self._view(kept)
        except StoreFailed:
            return kept.view

    async def _view(self, kept: Kept, *, over: bool = False) -> JobView:
        """A job of ours: what the disk says where it has ended, else what the queue says.

        ``over``: the queue has said that it has ended.
        """
        if kept.standing is not None:
            return kept.view
        job_id = kept.record.job_id
        try:
            found = None if over else await self._board.look(job_id)
            if found is not None and not found[1].state.ended:
                return view_of(*found)
            ended = await self._keeper.take_up_one(job_id)
        except QueueUnavailable:
            return kept.view
        if ended is not None:
            return ended
        now = await self._store.find(job_id)
        return kept.view if now is None else now.view

    async def _with_output(self, job_id: str) -> tuple[JobView, bytes | None]:
        """The job, and its output where the disk here has it."""
        kept = await self._store.output(job_id)
        if kept is not None and kept[0].standing is not None:
            return kept[0].view, kept[1]
        view = await self.view(job_id)  # which may write its end down
        kept = await self._store.output(job_id)
        return view, None if kept is None else kept[1]

    async def _check_model(self, model: str) -> None:
        if model in self._models():
            return
        if model not in await self._board.takers():
            known = ", ".join(sorted(await self.known_models())) or "none"
            raise ModelMissing(f"No machine takes jobs for a model {model!r}; known: {known}.")

    async def _line(self, model: str) -> Line:
        """How it stands with the model; up to a moment old where there is room anyhow."""
        self._asked[model] += 1
        asked, pending = self._asked[model], self._accepting[model]
        heard = self._lines.get(model)
        if heard is not None and time.monotonic() < heard.until_s:
            at_most = heard.line.waiting + heard.pending + asked - heard.asked
            if at_most < self._config.max_waiting:
                return heard.line
        try:
            line = await self._board.line(model)
        except QueueUnavailable:
            return Line(await self._store.unfinished(of_all=True), 0, None)
        self._lines[model] = _Heard(line, time.monotonic() + _LINE_S, pending, asked)
        return line

    @contextmanager
    def _room_for(self, model: str, line: Line) -> Iterator[None]:
        """Hold one of the places among those that may wait.

        Raises:
            JobQueueFull: There is none.
        """
        limit = self._config.max_waiting
        if line.waiting + self._accepting[model] >= limit:
            again_s = retry_after_s(line.mean_run_s, line.running)
            measured = "" if again_s == UNMEASURED_RETRY_S else " as fast as jobs go now"
            text = (
                f"{line.waiting} jobs wait for {model} already (jobs.max_waiting is {limit}). "
                f"Try again in {again_s:.0f} s{measured and ','}{measured}."
            )
            raise JobQueueFull(text, again_s)
        self._accepting[model] += 1
        try:
            yield
        finally:
            self._accepting[model] -= 1

    def _record(self, request: JobRequest) -> JobRecord:
        now = time.time()
        deadline_s = request.deadline_s
        return JobRecord(
            job_id=new_id(),
            request=request,
            home=self._store.home,
            submitted_at=now,
            score=score(now, request.priority, self._config.seconds_per_priority),
            deadline_at=None if deadline_s is None else now + deadline_s,
            shared_s=self._config.shared_s,
        )

    async def _put(self, record: JobRecord) -> int | None:
        """Its place in the queue; ``None``: the keeper puts it there later."""
        if not self._keeper.connected:
            return None
        try:
            return await self._board.put_one(record)
        except QueueUnavailable:
            return None


def _missing(job_id: str) -> JobMissing:
    return JobMissing(f"There is no job {job_id[:64]!r}, or it is not kept any more.")
