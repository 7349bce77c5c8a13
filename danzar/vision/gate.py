"""A few places, for which people wait in a fair order: a semaphore that knows who asks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from danzar.core.asker import Asker
from danzar.core.fair import FairQueue
from danzar.core.queue import QueueRules


class FairGate:
    """Used on the event loop only.

    Attributes:
        free: Places that nobody has.
    """

    def __init__(self, places: int) -> None:
        """Open with this many places."""
        self.free = places
        self._waiting: FairQueue[asyncio.Future[None]] = FairQueue(QueueRules().bounds_s)

    @asynccontextmanager
    async def enter(self, asker: Asker) -> AsyncIterator[None]:
        """Inside, one place is taken."""
        await self._take(asker)
        try:
            yield
        finally:
            self._give_back()

    async def _take(self, asker: Asker) -> None:
        if self.free:
            self.free -= 1
            return
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._waiting.add(turn, asker, loop.time())
        try:
            await turn
        except asyncio.CancelledError:
            # Its turn may have come in the same moment.
            if not self._waiting.remove(turn) and not turn.cancelled():
                self._give_back()
            raise

    def _give_back(self) -> None:
        """The place goes to the next who waits."""
        while len(self._waiting):
            turn = self._waiting.pop(asyncio.get_running_loop().time())
            # Whoever waited may have been cancelled, and not have run since.
            if not turn.done():
                turn.set_result(None)
                return
        self.free += 1
