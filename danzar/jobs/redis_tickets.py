"""docket's part: one stream of tickets for each model, delivered at least once.

A ticket says "one job of this model waits", and no more: it is redeemed for the best job at that
moment, so that a job's priority and age count until it starts, and nothing of a job goes through
docket. docket delivers a ticket again where the worker that had it died.

A docket worker looks around several times a second even where there is nothing to do, so a machine
has one for a model only while there are tickets for it; the wake-up call starts it.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from docket import Docket, Worker
from redis.exceptions import RedisError

from danzar.jobs.board import Pull
from danzar.jobs.contract import QueueUnavailable
from danzar.jobs.own_tickets import TICKET, serve_only_tickets
from danzar.jobs.redis_link import PREFIX, WAKE_CHANNEL, RedisLink, model_keys
from danzar.keys.plain_arguments import use_plain_arguments
from danzar.running import running

log = logging.getLogger(__name__)

_AWAKE_S = 20.0  # with nothing to do; starting a worker takes some 10 ms
_LOOK_S = 1.0
_BUSY_LOOK = timedelta(milliseconds=10)
_QUIET_LOOK = timedelta(milliseconds=500)
_RECONNECT = timedelta(seconds=1)


@asynccontextmanager
async def open_tickets(url: str, link: RedisLink, lease_s: float) -> AsyncIterator["Tickets"]:
    """Tickets at this address, which has been checked."""
    logging.getLogger("docket").setLevel(logging.ERROR)  # it tells of each task and each retry
    use_plain_arguments()  # nothing of what others wrote there is unpickled
    serve_only_tickets()
    async with AsyncExitStack() as stack:
        yield Tickets(url, link, lease_s, stack)


class Tickets:
    """The models' dockets, each opened when it is first needed."""

    def __init__(self, url: str, link: RedisLink, lease_s: float, stack: AsyncExitStack) -> None:
        self._url = url
        self._link = link
        self._lease_s = lease_s
        self._stack = stack
        self._dockets: dict[str, Docket] = {}
        self._opening = asyncio.Lock()
        self._awake: dict[str, asyncio.Event] = {}

    async def add(
        self, model: str, count: int, delay_s: float = 0.0, *, wake: bool = False
    ) -> None:
        """So many jobs of the model wait more, or will after the delay.

        ``wake`` calls the machines that take such jobs; ``put.lua`` has done so otherwise.
        """
        docket = await self._docket(model)
        when = datetime.now(UTC) + timedelta(seconds=delay_s)
        async with self._link.reaching():
            if count == 1:
                await docket.add(TICKET, when=when)()
            else:
                await docket.add_many(docket.call(TICKET, when=when)() for _ in range(count))
            if wake:
                await self._link.client.publish(WAKE_CHANNEL, model)

    def wake(self, model: str) -> None:
        """There may be tickets for the model."""
        if model in self._awake:
            self._awake[model].set()

    @asynccontextmanager
    async def pulling(self, pull: Pull, node: str) -> AsyncIterator[None]:
        """Serve tickets while the context lasts."""
        awake = self._awake[pull.model] = asyncio.Event()
        awake.set()  # there may be some from before
        try:
            async with running(self._pull(pull, node, awake)):
                yield
        finally:
            del self._awake[pull.model]

    async def _pull(self, pull: Pull, node: str, awake: asyncio.Event) -> None:
        while True:
            if not awake.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._lease_s / 2):
                        await awake.wait()
            awake.clear()
            try:
                if not await pull.may_pull():
                    await asyncio.sleep(_LOOK_S)
                    awake.set()
                    continue
                docket = await self._docket(pull.model)
                if await self._mend(pull.model, docket):
                    await self._work(pull, node, docket)
            except* Exception as group:
                # Alone, or in the group of the worker's tasks. Whatever it is, it must not end
                # this machine's other work.
                if not _is_away(group):
                    log.exception("the tickets for %s can't be served now", pull.model)
                await asyncio.sleep(_LOOK_S)
                awake.set()

    async def _work(self, pull: Pull, node: str, docket: Docket) -> None:
        """Keep a worker until there has been nothing to do for a while, or others should do it."""
        busy = _Busy()

        async def ticket() -> None:
            worker.minimum_check_interval = _BUSY_LOOK
            with busy:
                if await pull.may_pull():
                    await pull.serve()
                else:
                    await self.add(pull.model, 1, _LOOK_S, wake=True)  # for somebody else

        docket.register(ticket, names=[TICKET])
        worker = Worker(
            docket,
            name=f"{node}/{pull.model}",
            concurrency=pull.at_once(),
            redelivery_timeout=timedelta(seconds=self._lease_s),
            reconnection_delay=_RECONNECT,
            minimum_check_interval=_QUIET_LOOK,
            schedule_automatic_tasks=False,
        )
        async with worker, running(worker.run_forever()):
            quiet_s = 0.0
            while quiet_s < _AWAKE_S and await pull.may_pull():
                await asyncio.sleep(_LOOK_S)
                worker.concurrency = pull.at_once()
                waits = True  # as far as known: docket's worker outlives a while without the server
                with contextlib.suppress(QueueUnavailable):
                    waits = await self._mend(pull.model, docket)
                quiet_s = 0.0 if waits or busy.count else quiet_s + _LOOK_S
                if not busy.count:
                    worker.minimum_check_interval = _QUIET_LOOK

    async def _tickets(self, docket: Docket) -> int:
        async with self._link.reaching(), self._link.client.pipeline(transaction=False) as pipe:
            pipe.xlen(docket.stream_key)
            pipe.zcard(docket.queue_key)
            return sum(await pipe.execute())

    async def _mend(self, model: str, docket: Docket) -> bool:
        """Whether there are tickets; adds those that jobs here lack (a crash, a server's loss)."""
        async with self._link.reaching(), self._link.client.pipeline(transaction=False) as pipe:
            for key in model_keys(model):
                pipe.zcard(key)
            jobs = sum(await pipe.execute())
        tickets = await self._tickets(docket)
        if jobs > tickets:
            await self.add(model, jobs - tickets, wake=True)
        return jobs > 0 or tickets > 0

    async def _docket(self, model: str) -> Docket:
        async with self._opening:
            if model not in self._dockets:
                docket = Docket(f"{PREFIX}{model}", self._url, execution_ttl=timedelta(0))
                docket.register(_nothing, names=[TICKET])
                self._dockets[model] = await self._stack.enter_async_context(docket)
            return self._dockets[model]


def _is_away(group: BaseExceptionGroup[Exception]) -> bool:
    """Whether all that happened is that the server is not there."""
    return group.split((QueueUnavailable, RedisError, OSError))[1] is None


class _Busy:
    """How many tickets are being served."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> None:
        self.count += 1

    def __exit__(self, *_: Any) -> None:  # noqa: ANN401
        self.count -= 1


async def _nothing() -> None:
    """What a machine without workers registers: it only adds tickets."""
