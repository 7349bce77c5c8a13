"""Joins the pictures of several watchers and people into one request to one model.

One request at a time is under way for each model; meanwhile further pictures gather, so batches
grow with the load by themselves. The wait for others is skipped when no one else is expected:
a lone picture is never held back.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from danzar.core.asker import NOBODY, Asker
from danzar.core.queue import QueueRules
from danzar.errors import BackendFailed, BadInput, DanzarError, OutOfMemory, QueueFull
from danzar.inference import Placed
from danzar.vision.asked import AskedPictures, asker_of
from danzar.workers.contract import Picture

A = TypeVar("A")
# A picture that breaks the model is found by halving the batch.
_WORTH_HALVING = (BadInput, BackendFailed, OutOfMemory)


@dataclass(frozen=True, slots=True)
class Reply(Generic[A]):
    """A model's answer to a batch: one ``A`` per picture.

    Attributes:
        seconds: The worker's time for the whole batch.
    """

    values: Sequence[A]
    placed: Placed
    seconds: float


@dataclass(frozen=True, slots=True)
class Answer(Generic[A]):
    """One picture's share of a reply; ``seconds`` is the whole batch's time."""

    value: A
    placed: Placed
    seconds: float
    batch: int


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[A]):
    picture: Picture
    asker: Asker
    answer: asyncio.Future[Answer[A]]


class Batcher(Generic[A]):
    """Batches for one model. ``run`` must be running for ``ask`` to be answered."""

    def __init__(
        self,
        send: Callable[[tuple[Picture, ...], Asker], Awaitable[Reply[A]]],
        *,
        size: int,
        wait_s: float,
        size_now: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._send = send
        self._usual_size = size
        self._size_now = size_now
        self._wait_s = wait_s
        self._regulars = 0
        self._waiting: AskedPictures[_Waiting[A]] = AskedPictures()
        self._arrived = asyncio.Event()

    @property
    def _size(self) -> int:
        """As the memory allows just now, or (nothing is known of it) the usual one."""
        return self._size_now() or self._usual_size

    @asynccontextmanager
    async def regular(self) -> AsyncIterator[None]:
        """Inside, one more caller asks again and again, and is worth waiting for."""
        self._regulars += 1
        try:
            yield
        finally:
            self._regulars -= 1

    def set_rules(self, rules: QueueRules) -> None:
        """Put pictures in order by other rules from now on."""
        self._waiting.rules = rules

    async def ask(self, picture: Picture, asker: Asker = NOBODY) -> Answer[A]:
        """The model's answer for one picture. Cancelling it drops the picture.

        Raises:
            QueueFull: Too many pictures wait already, of this person or of all.
            DanzarError: What the model's side raised for this picture.
        """
        loop = asyncio.get_running_loop()
        waiting: _Waiting[A] = _Waiting(picture, asker, loop.create_future())
        displaced = self._waiting.add(waiting, asker, loop.time())
        if displaced is not None:
            _fail([displaced], QueueFull("others' pictures went first; try again in a moment"))
        self._arrived.set()
        try:
            return await waiting.answer
        except asyncio.CancelledError:
            self._waiting.remove(waiting)
            raise

    async def run(self) -> None:
        """Serve batches until cancelled; whoever waits then is cancelled too."""
        batch: list[_Waiting[A]] = []
        try:
            while True:
                batch = await self._gather()
                if batch:
                    await self._serve(batch)
        finally:
            for waiting in (*batch, *self._waiting.items()):
                waiting.answer.cancel()

    async def _gather(self) -> list[_Waiting[A]]:
        await self._until(1)
        try:
            async with asyncio.timeout(self._wait_s):
                await self._until(min(self._size, self._regulars))
        except TimeoutError:
            pass
        batch = self._waiting.take(self._size, asyncio.get_running_loop().time())
        return [waiting for waiting in batch if not waiting.answer.done()]

    async def _until(self, count: int) -> None:
        while len(self._waiting) < count:
            self._arrived.clear()
            await self._arrived.wait()

    async def _serve(self, batch: list[_Waiting[A]]) -> None:
        async with asyncio.TaskGroup() as group:
            work = group.create_task(self._answer(batch))

            def stop_if_unwanted(_: asyncio.Future[Answer[A]]) -> None:
                if all(waiting.answer.cancelled() for waiting in batch):
                    work.cancel()

            for waiting in batch:
                waiting.answer.add_done_callback(stop_if_unwanted)

    async def _answer(self, batch: list[_Waiting[A]]) -> None:
        try:
            pictures = tuple(waiting.picture for waiting in batch)
            reply = await self._send(pictures, asker_of([waiting.asker for waiting in batch]))
        except _WORTH_HALVING as error:
            if len(batch) == 1:
                _fail(batch, error)
                return
            middle = len(batch) // 2
            await self._answer(batch[:middle])
            await self._answer(batch[middle:])
        except DanzarError as error:
            _fail(batch, error)
        except Exception as error:  # noqa: BLE001 - a bug belongs to the askers; the batcher goes on
            _fail(batch, error)
        else:
            _share(batch, reply)


def _share(batch: list[_Waiting[A]], reply: Reply[A]) -> None:
    if len(reply.values) != len(batch):
        counts = f"{len(reply.values)} answers for {len(batch)} pictures"
        _fail(batch, BackendFailed(f"{reply.placed.model} gave {counts}"))
        return
    for waiting, value in zip(batch, reply.values, strict=True):
        if not waiting.answer.done():
            answer = Answer(value, reply.placed, reply.seconds, len(batch))
            waiting.answer.set_result(answer)


def _fail(batch: list[_Waiting[A]], error: Exception) -> None:
    for waiting in batch:
        if not waiting.answer.done():
            waiting.answer.set_exception(error)
