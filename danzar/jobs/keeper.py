"""Makes every job that this machine accepted end exactly once, whatever the queue forgets.

The disk has the last word: what it says has ended stays ended, and what it says has not ended is
put into the queue again if it is not there.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Sequence

from danzar.config.jobs import JobsConfig
from danzar.errors import StoreFailed
from danzar.jobs.board import Board, Found, HasEnded, HasStarted, Lost
from danzar.jobs.contract import JobState, JobView, QueueUnavailable
from danzar.jobs.record import Ending, JobRecord, Standing, view_of
from danzar.jobs.runner import late
from danzar.jobs.store import Ended, JobStore, Kept

log = logging.getLogger(__name__)

_LOOK_S = 5.0
_FORGET_S = 600.0
_TRY_AGAIN_S = 1.0
_CONTACT_S = 1.0
_STARTS_S = 0.05
_PAGE = 500  # jobs that are compared at once
_OUTPUTS_AT_ONCE = 8  # results in memory on their way to disk
_MAY_BE_LOST_S = 120.0  # Redis may lose what came so long before it went away


OnEnded = Callable[[str, JobState], None]


class Keeper:
    """Joins the disk and the queue of one machine.

    Attributes:
        on_ended: Called once with each accepted job's model and how it ended; counts and returns.
    """

    def __init__(self, store: JobStore, board: Board, config: JobsConfig) -> None:
        self._store = store
        self._board = board
        self._config = config
        self.on_ended: OnEnded = _ignore
        self._connected = False
        self._contact = asyncio.Event()
        self._starts: dict[str, int] = {}
        self._started = asyncio.Event()
        self._ends: dict[str, None] = {}  # an ordered set
        self._news = asyncio.Event()
        self._taking_up: dict[str, asyncio.Future[JobView | None]] = {}
        self._taken_up: list[str] = []  # of which the queue has not heard
        self._look = asyncio.Event()
        self._next_deadline = float("inf")
        self._next_forget = 0.0
        self._idle = False  # no job was open at the last look
        self._generation: str | None = None
        self._after = ""  # the open job that was compared last
        self._outputs = asyncio.Semaphore(_OUTPUTS_AT_ONCE)

    @property
    def connected(self) -> bool:
        """Whether the queue's server answered lately."""
        return self._connected

    def accepted(self, record: JobRecord, *, is_put: bool) -> None:
        """A job was written to disk; ``is_put``: and put into the queue."""
        if record.deadline_at is not None and record.deadline_at < self._next_deadline:
            self._next_deadline = record.deadline_at
            self._look.set()
        if self._idle or not is_put:
            self._look.set()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            tasks.create_task(self._write_starts())
            tasks.create_task(self._write_ends())
            tasks.create_task(self._look_around())

    async def first_contact(self) -> None:
        """Wait a moment for the queue's server; jobs are accepted without it, too."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CONTACT_S):
                await self._contact.wait()

    async def last_ends(self) -> None:
        """Write down what ended while jobs drained; what remains is taken up at the next start."""
        with contextlib.suppress(QueueUnavailable, StoreFailed):
            await self.take_up(await self._board.to_take_up(self._store.home, _PAGE))
            await self._tell_taken_up()

    async def take_up(self, job_ids: Iterable[str]) -> None:
        """Write down how these jobs ended, before anybody is told.

        Raises:
            QueueUnavailable: Some are left for later.
            danzar.errors.StoreFailed: The same.
        """
        async with asyncio.TaskGroup() as tasks:
            ends = [tasks.create_task(self._try_to_take_up(job_id)) for job_id in job_ids]
        failed = [end.result() for end in ends if end.result() is not None]
        if failed and failed[0] is not None:
            raise failed[0]

    async def take_up_one(self, job_id: str) -> JobView | None:
        """The same for one job; as it ended, where that was written now.

        Who asks while another is at it waits for that one.
        """
        while (other := self._taking_up.get(job_id)) is not None:
            await asyncio.wait({other})
            if not other.cancelled():
                return other.result()
        mine = self._taking_up[job_id] = asyncio.get_running_loop().create_future()
        try:
            view = await self._take_up(job_id)
            mine.set_result(view)
        finally:
            del self._taking_up[job_id]
            mine.cancel()  # unless it is done
        return view

    async def _try_to_take_up(self, job_id: str) -> QueueUnavailable | StoreFailed | None:
        try:
            await self.take_up_one(job_id)
        except (QueueUnavailable, StoreFailed) as exc:
            return exc
        return None

    async def _take_up(self, job_id: str) -> JobView | None:
        view = None
        async with self._outputs:
            found = await self._board.end_of(job_id)
            if found is not None and await self._store.end(self._ended(*found)):
                view = view_of(*found[:2])
                self.on_ended(view.model, view.state)
        self._starts.pop(job_id, None)
        self._taken_up.append(job_id)
        self._news.set()
        return view

    async def _tell_taken_up(self) -> None:
        """Let the queue forget these ends; it tells of those again that it was not told of."""
        taken_up, self._taken_up = self._taken_up, []
        if taken_up:
            await self._board.taken_up(self._store.home, taken_up)

    async def end_here(self, kept: Kept, ending: Ending) -> None:
        """End a job on disk while the queue is away; the queue learns it when it is back."""
        standing = Standing(
            state=ending.state, attempt=kept.attempt, ended_at=time.time(), error=ending.error
        )
        if await self._store.end(self._ended(kept.record, standing, None)):
            self.on_ended(kept.record.request.model, ending.state)

    def _ended(self, record: JobRecord, standing: Standing, output: bytes | None) -> Ended:
        at = standing.ended_at or time.time()
        keep_s = record.request.keep_s
        limit_s = self._config.keep_s
        kept_s = limit_s if keep_s is None else min(keep_s, limit_s)
        return Ended(record.job_id, standing, output, at + kept_s)

    async def _listen(self) -> None:
        async with contextlib.aclosing(self._board.signals(self._store.home)) as signals:
            async for signal in signals:
                match signal:
                    case HasStarted(job_id=job_id, attempt=attempt):
                        self._starts[job_id] = attempt
                        self._started.set()
                    case HasEnded(job_id=job_id):
                        self._ends[job_id] = None
                        self._news.set()
                    case Found():
                        self._connected = True
                        self._contact.set()
                        self._look.set()
                    case Lost():
                        self._connected = False
                    case _:
                        pass

    async def _write_starts(self) -> None:
        """Starts, as they are told, a moment later: jobs that end meanwhile need no such write."""
        while True:
            await self._started.wait()
            self._started.clear()
            await asyncio.sleep(_STARTS_S)
            starts, self._starts = self._starts, {}
            try:
                async with asyncio.TaskGroup() as tasks:
                    for job_id, attempt in starts.items():
                        tasks.create_task(self._store.started(job_id, attempt))
            except* StoreFailed as exc:
                log.warning("starts of jobs can't be written down: %s", exc.exceptions[0])

    async def _write_ends(self) -> None:
        """Ends, as they are told; many at once."""
        while True:
            await self._news.wait()
            self._news.clear()
            ends, self._ends = list(self._ends), {}
            try:
                await self.take_up(ends)
                await self._tell_taken_up()
            except (QueueUnavailable, StoreFailed) as exc:
                log.warning("ends of jobs wait to be written down: %s", exc)
                await asyncio.sleep(_TRY_AGAIN_S)
                self._look.set()

    async def _look_around(self) -> None:
        while True:
            self._look.clear()
            try:
                self._idle = not await self._look_once()
            except (QueueUnavailable, StoreFailed) as exc:
                log.debug("looking after jobs waits: %s", exc)
                self._idle = False
            await self._rest(_FORGET_S if self._idle else _LOOK_S)

    async def _rest(self, longest_s: float) -> None:
        """Until something is due, or someone calls."""
        until_deadline_s = self._next_deadline - time.time()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.01, min(longest_s, until_deadline_s))):
                await self._look.wait()

    async def _look_once(self) -> bool:
        """Whether it is worth looking again soon."""
        await self._end_late()
        if time.time() >= self._next_forget:
            await self._store.forget(time.time(), self._config.keep_size)
            self._next_forget = time.time() + _FORGET_S
        if not await self._store.open_jobs("", 1):
            return False
        generation = await self._board.generation()
        if generation != self._generation:
            await self._compare_all()
            self._generation = generation
        else:
            await self._compare_next()
        await self.take_up(await self._board.to_take_up(self._store.home, _PAGE))
        return True

    async def _end_late(self) -> None:
        """Jobs whose deadline is over fail, wherever they are."""
        if time.time() < self._next_deadline < float("inf"):
            return
        for kept in await self._store.late_jobs(time.time(), _PAGE):
            ending = late(kept.record.request.deadline_s)
            try:
                await self._board.finish(kept.record, ending)
                await self.take_up([kept.record.job_id])
            except QueueUnavailable:
                await self.end_here(kept, ending)
        self._next_deadline = await self._store.next_deadline() or float("inf")

    async def _compare_all(self) -> None:
        """After a start of ours or a loss of the server's: what does it know of our jobs?"""
        ended = await self._store.ended_since(time.time() - _MAY_BE_LOST_S)
        for start in range(0, len(ended), _PAGE):
            await self._end_again(ended[start : start + _PAGE])
        self._after = ""
        while await self._compare_next():
            pass

    async def _compare_next(self) -> bool:
        """The next page of open jobs; False at the end of them."""
        page = await self._store.open_jobs(self._after, _PAGE)
        self._after = page[-1].record.job_id if len(page) == _PAGE else ""
        standings = await self._board.states([kept.record.job_id for kept in page])
        pairs = list(zip(page, standings, strict=True))
        await self._put_again([kept for kept, standing in pairs if standing is None])
        over = [k.record.job_id for k, s in pairs if s is not None and s.state.ended]
        await self.take_up(over)
        return bool(self._after)

    async def _put_again(self, lost: Sequence[Kept]) -> None:
        """Put those that the queue does not know, unless they have ended a moment ago."""
        still: list[tuple[JobRecord, int]] = []
        for kept in lost:
            now = await self._store.find(kept.record.job_id)
            if now is not None and now.standing is None:
                still.append((now.record, now.attempt))
        if still:
            log.info("%d accepted jobs go into the queue (again)", len(still))
            await self._board.put(still)

    async def _end_again(self, ended: Sequence[Kept]) -> None:
        """What has ended here, and is open in the queue, was lost there: it must not run again."""
        standings = await self._board.states([kept.record.job_id for kept in ended])
        for kept, standing in zip(ended, standings, strict=True):
            if standing is None or standing.state.ended or kept.standing is None:
                continue
            ending = Ending(kept.standing.state, kept.standing.error)
            await self._board.finish(kept.record, ending)


def _ignore(model: str, state: JobState) -> None:
    """Until someone counts, a job just ends."""
