"""A pretended game on a simulated card: how to see Danzar make way without owning a GPU."""

import asyncio
from dataclasses import dataclass, field

from danzar.errors import BadInput
from danzar.telemetry.simulated import SimulatedCards

NAME = "pretended-game"
LONGEST_S = 600
_PID = 812


@dataclass(slots=True)
class PretendedGames:
    """At most one on each simulated card; each ends by itself."""

    cards: SimulatedCards | None
    _ends: dict[str, asyncio.TimerHandle] = field(default_factory=dict)

    def start(self, uuid: str, size_bytes: int, seconds: int) -> None:
        """Let the game hold memory from now on, in place of the one that ran there.

        Raises:
            BadInput: The card is a real one, or the time is no good.
            danzar.errors.OutOfMemory: The card has less room; nothing changed.
        """
        cards = self._of(uuid)
        if not 1 <= seconds <= LONGEST_S:
            raise BadInput(f"a pretended game lasts 1 to {LONGEST_S} s")
        cards.set_foreign(uuid, _PID, NAME, size_bytes)
        self._cancel(uuid)
        self._ends[uuid] = asyncio.get_running_loop().call_later(seconds, self.stop, uuid)

    def stop(self, uuid: str) -> None:
        """End the game there, if one runs."""
        self._of(uuid).set_foreign(uuid, _PID, NAME, 0)
        self._cancel(uuid)

    def close(self) -> None:
        """End all."""
        for uuid in tuple(self._ends):
            self.stop(uuid)

    def _of(self, uuid: str) -> SimulatedCards:
        if self.cards is None or uuid not in self.cards.uuids:
            raise BadInput("only a simulated card can pretend; start a real game on a real one")
        return self.cards

    def _cancel(self, uuid: str) -> None:
        timer = self._ends.pop(uuid, None)
        if timer is not None:
            timer.cancel()
