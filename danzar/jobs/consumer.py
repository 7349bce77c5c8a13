"""What each machine does for the queue: pull jobs that it can run, run them, give the rest back.

A machine decides for itself. It takes as many jobs of a model as the model serves at once, and one
more so that the next is at hand; order between models, batching and memory are the broker's.
"""

import asyncio
import contextlib
import logging
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from danzar.config.jobs import JobsConfig
from danzar.inference import Inference
from danzar.jobs.board import Board, Found, Lost, Pull, Stop, Work
from danzar.jobs.contract import QueueUnavailable
from danzar.jobs.order import TryAgain
from danzar.jobs.record import Ending, Taken
from danzar.jobs.runner import Runner
from danzar.running import running

log = logging.getLogger(__name__)

LocalModels = Callable[[], Mapping[str, int]]
"""Models that jobs may be run for here, and how many requests each serves at once."""
HoldBack = Callable[[str], float]
"""For how many seconds of waiting a model's jobs are left to a better machine; may be infinite."""

_ANNOUNCE_S = 20.0
_TRY_AGAIN_S = 1.0
_GIVE_BACK_S = 5.0


def no_hold_back(model: str) -> float:
    """Take every job at once."""
    return 0.0


@dataclass(frozen=True, slots=True)
class RunningJob:
    """A job that runs here; ``started_at`` is seconds since the epoch."""

    job_id: str
    model: str
    attempt: int
    started_at: float


@dataclass(slots=True)
class _Held:
    """A job that runs here, and whether nobody wants it any more."""

    taken: Taken
    task: "asyncio.Task[None]"
    unwanted: bool = False


class _Places:
    """So many jobs of a model at once; how many may change while some run."""

    def __init__(self) -> None:
        self.limit = 0
        self._free = asyncio.Semaphore(0)
        self._owed = 0  # places to be given up by whoever takes or gives one next

    def resize(self, limit: int) -> None:
        """From now on so many. Those that are taken stay so until they are given back."""
        more, self.limit = limit - self.limit, limit
        self._owed += max(0, -more)
        for _ in range(more):
            self.give()

    async def take(self) -> None:
        """Wait for a place."""
        await self._free.acquire()
        while self._owed:
            self._owed -= 1
            await self._free.acquire()

    def give(self) -> None:
        """One is free, or is given up."""
        if self._owed:
            self._owed -= 1
        else:
            self._free.release()


@asynccontextmanager
async def consume(
    inference: Inference,
    board: Board,
    models: LocalModels,
    node: str,
    config: JobsConfig,
    hold_back_s: HoldBack = no_hold_back,
) -> AsyncIterator["Consumer"]:
    """Run jobs while the context lasts; leaving it drains, and gives unfinished jobs back."""
    async with asyncio.TaskGroup() as jobs:
        runner = Runner(inference, board, config)
        consumer = Consumer(board, runner, node, config, jobs, hold_back_s)
        async with running(consumer.listen(), consumer.renew(), consumer.pull(models)):
            try:
                yield consumer
            finally:
                await consumer.drain(config.drain_s)


class Consumer:
    """The jobs that run on this machine."""

    def __init__(
        self,
        board: Board,
        runner: Runner,
        node: str,
        config: JobsConfig,
        jobs: asyncio.TaskGroup,
        hold_back_s: HoldBack,
    ) -> None:
        self._board = board
        self._runner = runner
        self._node = node
        self._config = config
        self._jobs = jobs
        self._hold_back_s = hold_back_s
        self._held: dict[str, _Held] = {}  # by token
        self._places: defaultdict[str, _Places] = defaultdict(_Places)
        self._cooling: dict[str, float] = {}
        self._paused = False
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def running(self) -> tuple[RunningJob, ...]:
        """What runs here now, the oldest first."""
        taken = (held.taken for held in self._held.values())
        return tuple(
            RunningJob(t.record.job_id, t.record.request.model, t.attempt, t.started_at)
            for t in taken
        )

    @property
    def paused(self) -> bool:
        """Whether it takes no jobs for now."""
        return self._paused

    def in_flight(self) -> Mapping[str, int]:
        """How many jobs run here, by model."""
        return Counter(job.model for job in self.running)

    def pause(self, paused: bool) -> None:
        """Take no further jobs, or take them again."""
        self._paused = paused
        for model in self._places:
            self._board.wake(model)

    async def drain(self, grace_s: float) -> None:
        """Take no further jobs, let those that run end, and then give back those that don't."""
        self.pause(True)
        tasks = [held.task for held in self._held.values()]
        if tasks and grace_s > 0:
            log.info("waiting up to %.0f s for %d running jobs", grace_s, len(tasks))
            await asyncio.wait(tasks, timeout=grace_s)
        left = [held.task for held in self._held.values()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def listen(self) -> None:
        """Follow what the board tells."""
        async with contextlib.aclosing(self._board.signals(f"node {self._node}")) as signals:
            async for signal in signals:
                match signal:
                    case Stop(job_id=job_id):
                        self._let_go(job_id)
                    case Work(model=model):
                        self._board.wake(model)
                    case Lost():
                        self._end_session()
                    case Found():
                        for model in self._places:
                            self._board.wake(model)
                    case _:
                        pass

    async def renew(self) -> None:
        """Say every quarter of a lease that the jobs here still run."""
        while True:
            await asyncio.sleep(self._config.lease_s / 4)
            held = [held.taken for held in self._held.values()]
            if not held:
                continue
            with contextlib.suppress(QueueUnavailable):
                for job_id in await self._board.renew(held, self._node):
                    self._let_go(job_id)

    async def pull(self, models: LocalModels) -> None:
        """Pull jobs for the models of this machine, as these change."""
        pullers: dict[str, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as tasks:
            while True:
                wanted = dict(models())
                for model, slots in wanted.items():
                    self._places[model].resize(slots + 1)
                    self._board.wake(model)
                    if model not in pullers or pullers[model].done():
                        pullers[model] = tasks.create_task(self._pull(model))
                for model in pullers.keys() - wanted.keys():
                    if not pullers[model].cancelling():  # it ends when the jobs that run have ended
                        pullers[model].cancel()
                with contextlib.suppress(QueueUnavailable):
                    await self._board.announce(self._node, () if self._paused else wanted)
                await asyncio.sleep(_ANNOUNCE_S)

    async def _pull(self, model: str) -> None:
        """Until cancelled, pull jobs of this model."""
        places = self._places[model]

        async def serve() -> None:
            await self._serve(model)

        async def may_pull() -> bool:
            return await self._may_pull(model)

        pull = Pull(model, lambda: places.limit, serve, may_pull)
        async with self._board.pulling(pull, self._node):
            await asyncio.get_running_loop().create_future()

    async def _may_pull(self, model: str) -> bool:
        if self._paused or time.monotonic() < self._cooling.get(model, 0.0):
            return False
        hold_s = self._hold_back_s(model)
        if hold_s <= 0:
            return True
        waited_s = await self._board.waited_s(model)
        return waited_s is not None and waited_s >= hold_s

    async def _serve(self, model: str) -> None:
        """Take one job and wait for it; where the server goes away, only the job goes on."""
        places = self._places[model]
        await places.take()
        try:
            taken = await self._board.take(model, self._node)
            if taken is None:
                places.give()
                return
            task = self._jobs.create_task(self._run(taken))
            self._held[taken.token] = _Held(taken, task)
        except BaseException:
            places.give()
            raise
        task.add_done_callback(lambda _: places.give())
        task.add_done_callback(lambda _: self._held.pop(taken.token))
        await asyncio.wait({task, self._lost}, return_when=asyncio.FIRST_COMPLETED)

    async def _run(self, taken: Taken) -> None:
        try:
            outcome = await self._runner.run(taken)
            await self._settle(taken, outcome)
        except asyncio.CancelledError:
            if not self._held[taken.token].unwanted:
                await self._give_back(taken)
            raise

    async def _settle(self, taken: Taken, outcome: Ending | TryAgain) -> None:
        """Say what became of the job, until that is heard."""
        while True:
            try:
                match outcome:
                    case Ending():
                        await self._board.finish(taken.record, outcome, taken.token)
                    case TryAgain(delay_s=delay_s, counts=counts):
                        if not counts:
                            self._cool(taken.record.request.model, delay_s)
                        await self._board.give_back(taken, delay_s, counts=counts)
            except QueueUnavailable:
                await asyncio.sleep(_TRY_AGAIN_S)
            else:
                return

    async def _give_back(self, taken: Taken) -> None:
        with contextlib.suppress(QueueUnavailable, TimeoutError):
            async with asyncio.timeout(_GIVE_BACK_S):
                await self._board.give_back(taken, 0.0, counts=False)

    def _cool(self, model: str, delay_s: float) -> None:
        """This machine has no room for the model just now: leave its jobs to others for a while."""
        self._cooling[model] = time.monotonic() + delay_s
        asyncio.get_running_loop().call_later(delay_s, self._board.wake, model)

    def _let_go(self, job_id: str) -> None:
        for held in self._held.values():
            if held.taken.record.job_id == job_id and not held.unwanted:
                held.unwanted = True
                held.task.cancel()

    def _end_session(self) -> None:
        lost, self._lost = self._lost, asyncio.get_running_loop().create_future()
        lost.set_result(None)
