"""Lets simulated cards show what workers hold, as a driver would. Real cards show it themselves."""

from collections.abc import Iterable, Mapping

from danzar.telemetry.simulated import SimulatedCards


class CardMirror:
    """What workers hold on simulated cards; does nothing where there are none."""

    def __init__(self, cards: SimulatedCards | None) -> None:
        self._cards = cards

    def show(self, pid: int, name: str, held_bytes: Mapping[str, int]) -> None:
        """Let a worker hold exactly these bytes, by device UUID.

        Raises:
            danzar.errors.OutOfMemory: A card has less room; the other cards may have changed.
        """
        for cards, uuid in self._simulated():
            size_bytes = held_bytes.get(uuid, 0)
            if size_bytes:
                cards.hold(uuid, pid, name, size_bytes)
            else:
                cards.release(uuid, pid)

    def clear(self, pid: int) -> None:
        """A worker is gone, and all that it held is back."""
        for cards, uuid in self._simulated():
            cards.release(uuid, pid)

    def note_work(self, uuids: Iterable[str], busy_s: float) -> None:
        """Let the cards' utilisation follow work done in their name."""
        wanted = frozenset(uuids)
        for cards, uuid in self._simulated():
            if uuid in wanted:
                cards.note_work(uuid, busy_s)

    def _simulated(self) -> Iterable[tuple[SimulatedCards, str]]:
        cards = self._cards
        return () if cards is None else tuple((cards, uuid) for uuid in cards.uuids)
