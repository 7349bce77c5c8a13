"""A game on a simulated card: it takes what it wants as soon as there is room."""

import asyncio

from danzar.errors import OutOfMemory
from danzar.telemetry.simulated import SimulatedCards
from danzar.units import MIB

GAME_NAME = "game (simulated)"
_STEP_BYTES = 256 * MIB
_RETRY_S = 0.05
# Above every process id that Linux and Windows give.
_FIRST_PID = 1 << 30


class SimulatedGames:
    """At most one game on each card."""

    def __init__(self, cards: SimulatedCards) -> None:
        self._cards = cards
        self._held_bytes: dict[str, int] = {}

    def held_bytes(self, uuid: str) -> int:
        """What the game on this card has by now."""
        return self._held_bytes.get(uuid, 0)

    async def take(self, uuid: str, wanted_bytes: int) -> None:
        """Grow to so many bytes; waits for room, as games do while they load.

        Raises:
            KeyError: No such card.
        """
        while (held := self.held_bytes(uuid)) < wanted_bytes:
            more = min(wanted_bytes, held + _STEP_BYTES)
            try:
                self._cards.set_foreign(uuid, self._pid(uuid), GAME_NAME, more)
            except OutOfMemory:
                await asyncio.sleep(_RETRY_S)
            else:
                self._held_bytes[uuid] = more

    def end(self, uuid: str) -> None:
        """Give everything back."""
        self._cards.set_foreign(uuid, self._pid(uuid), GAME_NAME, 0)
        self._held_bytes.pop(uuid, None)

    def _pid(self, uuid: str) -> int:
        return _FIRST_PID + self._cards.uuids.index(uuid)
