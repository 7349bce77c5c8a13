"""Invented cards that obey the rules of real ones, for the demo, the tests and trials of policies.

Nothing is drawn from thin air at sampling time: memory follows what was held and released,
utilisation follows the work that was noted, temperature and power follow utilisation. Every
snapshot of a card says ``simulated``; host RAM beside them is the real host's.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from danzar.core.device import DeviceKind, DeviceSnapshot, ProcessUse
from danzar.errors import OutOfMemory
from danzar.telemetry.host import HostReader
from danzar.units import GIB, MIB, format_size

_UTILISATION_WINDOW_S = 2.0
_HEAT_WINDOW_S = 60.0
_IDLE_TEMPERATURE_C = 36.0
_LOAD_TEMPERATURE_C = 34.0
_IDLE_POWER_W = 14.0
_MAX_NOTES = 4096


@dataclass(frozen=True, slots=True)
class SimulatedCard:
    """One invented card.

    Attributes:
        uuid: Empty means ``GPU-simulated-N`` with its place in the list.
        driver_reserve_bytes: What the driver keeps for itself; never free.
        board_power_w: At full load.
    """

    name: str
    total_bytes: int = 12 * GIB
    uuid: str = ""
    driver_reserve_bytes: int = 256 * MIB
    board_power_w: float = 200.0


SEED_CARDS = (
    SimulatedCard("NVIDIA GeForce RTX 4070"),
    SimulatedCard("NVIDIA GeForce RTX 4070 SUPER", board_power_w=220.0),
)


class _CardState:
    """What one card holds. ``notes`` are (ended_at_s, busy_s) of the last ``_HEAT_WINDOW_S``."""

    def __init__(self, index: int, card: SimulatedCard) -> None:
        self.index = index
        self.card = card
        self.uuid = card.uuid or f"GPU-simulated-{index}"
        self.held: dict[int, ProcessUse] = {}
        self.notes: deque[tuple[float, float]] = deque(maxlen=_MAX_NOTES)

    @property
    def used_bytes(self) -> int:
        return self.card.driver_reserve_bytes + sum(p.used_bytes or 0 for p in self.held.values())

    @property
    def free_bytes(self) -> int:
        return self.card.total_bytes - self.used_bytes

    def note(self, now_s: float, busy_s: float) -> None:
        """Remember work that ended now; forget what no window reaches any more."""
        self.notes.append((now_s, busy_s))
        while self.notes[0][0] < now_s - _HEAT_WINDOW_S:
            self.notes.popleft()

    def busy_share(self, now_s: float, window_s: float) -> float:
        """Share of the last ``window_s`` that was worked, 0 to 1."""
        start_s = now_s - window_s
        busy_s = sum(
            max(0.0, ended_at_s - max(start_s, ended_at_s - busy_s))
            for ended_at_s, busy_s in self.notes
        )
        return min(1.0, busy_s / window_s)


class SimulatedCards:
    """A telemetry source with cards from a description.

    All methods belong to one event loop's thread.
    """

    def __init__(
        self,
        cards: Sequence[SimulatedCard] = SEED_CARDS,
        *,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        states = [_CardState(index, card) for index, card in enumerate(cards)]
        self._cards = {state.uuid: state for state in states}
        if len(self._cards) != len(states):
            raise ValueError("two simulated cards have the same uuid; each needs its own")
        self._now_s = now_s
        self._host = HostReader()

    @property
    def uuids(self) -> tuple[str, ...]:
        """Identities in the cards' order."""
        return tuple(self._cards)

    def hold(self, uuid: str, pid: int, name: str, size_bytes: int) -> None:
        """Let ``pid`` hold exactly ``size_bytes`` on the card, whatever it held before.

        Raises:
            danzar.errors.OutOfMemory: The card has less room; nothing changed.
            ValueError: The size is negative.
            KeyError: No such card.
        """
        if size_bytes < 0:
            raise ValueError(f"a process can't hold {size_bytes} bytes")
        card = self._cards[uuid]
        before = card.held.get(pid)
        room_bytes = card.free_bytes + (before.used_bytes or 0 if before else 0)
        if size_bytes > room_bytes:
            raise OutOfMemory(
                f"cuda:{card.index} ({card.card.name}, simulated) has {format_size(room_bytes)} "
                f"for {name}, which asked for {format_size(size_bytes)}; free some of it first"
            )
        card.held[pid] = ProcessUse(pid, name, size_bytes)

    def release(self, uuid: str, pid: int) -> None:
        """Take back all that ``pid`` holds on the card, as the driver does when it exits."""
        self._cards[uuid].held.pop(pid, None)

    def set_foreign(self, uuid: str, pid: int, name: str, size_bytes: int) -> None:
        """Let another program hold ``size_bytes``; 0 ends it.

        Raises:
            danzar.errors.OutOfMemory: The card has less room; nothing changed.
        """
        if size_bytes == 0:
            self.release(uuid, pid)
        else:
            self.hold(uuid, pid, name, size_bytes)

    def note_work(self, uuid: str, busy_s: float) -> None:
        """Say that the card computed for ``busy_s`` seconds until now; utilisation follows."""
        self._cards[uuid].note(self._now_s(), max(0.0, busy_s))

    async def sample(self) -> tuple[DeviceSnapshot, ...]:
        """The cards as they stand, then the real host RAM."""
        now_s = self._now_s()
        cards = tuple(_snapshot(card, now_s) for card in self._cards.values())
        return (*cards, await asyncio.to_thread(self._host.read))

    async def close(self) -> None:
        """Nothing is held."""


def _snapshot(state: _CardState, now_s: float) -> DeviceSnapshot:
    busy = state.busy_share(now_s, _UTILISATION_WINDOW_S)
    heat = state.busy_share(now_s, _HEAT_WINDOW_S)
    return DeviceSnapshot(
        uuid=state.uuid,
        index=state.index,
        name=state.card.name,
        kind=DeviceKind.CUDA,
        total_bytes=state.card.total_bytes,
        free_bytes=state.free_bytes,
        used_bytes=state.used_bytes,
        utilisation_pct=100 * busy,
        temperature_c=_IDLE_TEMPERATURE_C + _LOAD_TEMPERATURE_C * heat,
        power_w=_IDLE_POWER_W + (state.card.board_power_w - _IDLE_POWER_W) * busy,
        processes=tuple(state.held.values()),
        simulated=True,
        sampled_at_s=now_s,
    )
