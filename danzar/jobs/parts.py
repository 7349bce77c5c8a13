"""A running job's parts on their way to those who follow it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from danzar.jobs.board import MAX_EVENTS, Board
from danzar.jobs.contract import PartCame, QueueUnavailable
from danzar.jobs.record import Taken
from danzar.workers.contract import Part, StepDone, TextDelta

_MAX_STEPS = 64  # with their small pictures; what follows later sees only these
_MAX_PENDING = 256
_TRY_AGAIN_S = 1.0


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
        self._over = False
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
        """Send while the context lasts; what is pending at its end is sent before it is left."""
        task = asyncio.create_task(self._run())
        try:
            yield
            self._over = True
            self._come.set()
            await task
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def _run(self) -> None:
        while self._pending or self._facts or not self._over:
            await self._come.wait()
            self._come.clear()
            if not await self._send():
                if self._over:
                    return  # the result has it all
                await asyncio.sleep(_TRY_AGAIN_S)

    async def _send(self) -> bool:
        pending, self._pending = self._pending, []
        facts, self._facts = self._facts, {}
        parts = [PartCame(part, self._taken.attempt) for part in pending]
        try:
            if facts:
                await self._board.note(self._taken, facts)
            if parts:
                await self._board.append(self._taken.record.job_id, parts, self._keep)
        except QueueUnavailable:
            self._facts = facts | self._facts
            later, self._pending = self._pending, pending
            for part in later:
                self.add(part)
            self._come.set()
            return False
        return True
