"""How many answers one person and one channel may have in work. Touched on the event loop only."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from danzar.errors import QueueFull


class Admission:
    """Counts what is in work; the order is the manager's business."""

    def __init__(
        self, *, per_person: int = 2, per_channel: int = 8, what: str = "questions"
    ) -> None:
        self._what = what
        self._per_person = per_person
        self._per_channel = per_channel
        self._people: Counter[int] = Counter()
        self._channels: Counter[int] = Counter()

    @contextmanager
    def enter(self, person_id: int, channel_id: int) -> Iterator[None]:
        """Count one answer while the block runs.

        Raises:
            QueueFull: The person or the channel has as many in work as allowed.
        """
        self._refuse_excess(person_id, channel_id)
        self._people[person_id] += 1
        self._channels[channel_id] += 1
        try:
            yield
        finally:
            _give_back(self._people, person_id)
            _give_back(self._channels, channel_id)

    def _refuse_excess(self, person_id: int, channel_id: int) -> None:
        if self._people[person_id] >= self._per_person:
            raise QueueFull(
                f"I am already working on {self._per_person} {self._what} of yours. "
                "Wait for an answer, or press Stop under one."
            )
        if self._channels[channel_id] >= self._per_channel:
            raise QueueFull(
                f"I am already working on {self._per_channel} {self._what} in this channel. "
                "Try again when one is answered."
            )


def _give_back(counter: Counter[int], key: int) -> None:
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]
