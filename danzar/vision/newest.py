"""A place for one frame, where a newer one replaces an older one."""

import asyncio
from dataclasses import dataclass

from danzar.workers.contract import Frame


@dataclass(frozen=True, slots=True)
class Arrived:
    """A frame and when it came, in the event loop's seconds."""

    frame: Frame
    arrived_s: float


class NewestFrame:
    """Between a source that does not wait and models that are slower: old frames are dropped."""

    def __init__(self) -> None:
        self._held: Arrived | None = None
        self._closed = False
        self._changed = asyncio.Event()

    def put(self, arrived: Arrived) -> bool:
        """Leave a frame; whether an older one was dropped for it."""
        replaced = self._held is not None
        self._held = arrived
        self._changed.set()
        return replaced

    def close(self) -> None:
        """No more frames will come; one that is held can still be taken."""
        self._closed = True
        self._changed.set()

    async def take(self) -> Arrived | None:
        """Wait for a frame; ``None`` when no more will come."""
        while self._held is None:
            if self._closed:
                return None
            self._changed.clear()
            await self._changed.wait()
        held, self._held = self._held, None
        return held
