"""A running job's parts on their way to those who follow it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from danzar.jobs.board import Board
from danzar.jobs.contract import PartCame, QueueUnavailable
from danzar.jobs.record import MAX_EVENTS, News, Taken
from danzar.workers.contract import Part, StepDone, TextDelta

_MAX_STEPS = 64  # with their small pictures; what follows later sees only these
_MAX_PENDING = 256
_TRY_AGAIN_S = 1.0
_GATHER_S = 0.002  # what comes so close together is sent together


class PartsOut:
    """Takes parts at once and sends them as fast as they go; nothing of a text is lost meanwhile.

    Texts that wait are joined into one; of steps that wait only the newest is sent.
    """

    def __init__(self, board: Board, taken: Taken) -> None:
        self._board = board
        self._taken = taken
        self._pending: list[Part] = []
        self._facts: dict[str, str] = {}
        self._come = asyncio.Event()
        self._over = asyncio.Event()
        self._keep = MAX_EVENTS

    def note(self, facts: Mapping[str, str]) -> None:
        """Tell device, progress and the like, soon."""
        self._facts |= facts
        self._come.set()

    def add(self, part: Part) -> None:
        """Send it, soon."""
        if isinstance(part, StepDone):
            self._keep = _MAX_STEPS
        last = self._pending[-1] if self._pending else None
        if isinstance(part, TextDelta) and isinstance(last, TextDelta):
            self._pending[-1] = TextDelta(last.text + part.text)
        elif isinstance(part, StepDone) and isinstance(last, StepDone):
            self._pending[-1] = part
        elif len(self._pending) < _MAX_PENDING:
            self._pending.append(part)
        self._come.set()

    @asynccontextmanager
    async def sending(self) -> AsyncIterator[None]:
        """Send while the context lasts; what is pending at its end stays (``left``)."""
        task = asyncio.create_task(self._run())
        try:
            yield
            self._over.set()
            self._come.set()
            await task
        finally:
            task.cancel()
            await asyncio.wait({task})

    def left(self) -> News:
        """What was not sent."""
        pending, self._pending = self._pending, []
        facts, self._facts = self._facts, {}
        parts = [PartCame(part, self._taken.attempt) for part in pending]
        return News(facts, parts, self._keep)

    async def _run(self) -> None:
        while True:
            await self._come.wait()
            self._come.clear()
            await self._rest(_GATHER_S)
            if self._over.is_set():
                return
            if not await self._send():
                await self._rest(_TRY_AGAIN_S)

    async def _rest(self, longest_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(longest_s):
                await self._over.wait()

    async def _send(self) -> bool:
        pending, facts = self._pending, self._facts
        try:
            await self._board.tell(self._taken, self.left())
        except QueueUnavailable:
            self._facts = facts | self._facts
            later, self._pending = self._pending, pending
            for part in later:
                self.add(part)
            self._come.set()
            return False
        return True
