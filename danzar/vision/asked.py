"""Pictures that wait for one model, in which order they go into batches. Pure.

The same order as in a model's queue: people's pictures before watches' frames, until those have
waited for long enough; and person by person. So a person's picture never waits behind a row of
frames, and frames go on under any load.
"""

from collections.abc import Sequence
from typing import Generic, TypeVar

from danzar.core.asker import NOBODY, Asker, RequestClass
from danzar.core.fair import FairQueue
from danzar.core.queue import QueueRules
from danzar.errors import QueueFull

T = TypeVar("T")
MAX_WAITING = 64
_URGENCY = tuple(RequestClass)


class AskedPictures(Generic[T]):
    """What waits for the next batches.

    Attributes:
        rules: May be replaced at any time.
    """

    def __init__(self, rules: QueueRules | None = None) -> None:
        """Nothing waits yet."""
        self._rules = rules or QueueRules()
        self._queue: FairQueue[T] = FairQueue(self._rules.bounds_s)

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def rules(self) -> QueueRules:
        """What it goes by."""
        return self._rules

    @rules.setter
    def rules(self, rules: QueueRules) -> None:
        self._rules = rules
        self._queue.bounds_s = rules.bounds_s

    def add(self, item: T, asker: Asker, now_s: float) -> T | None:
        """Let a picture wait; returns the one that lost its place for it, if one did.

        Raises:
            QueueFull: The person has as many waiting as allowed, or nobody has more than this one.
        """
        displaced = self._displaced_by(asker)
        if displaced is not None:
            self._queue.remove(displaced)
        self._queue.add(item, asker, now_s)
        return displaced

    def take(self, count: int, now_s: float) -> list[T]:
        """The next ``count``, or as many as there are."""
        return [self._queue.pop(now_s) for _ in range(min(count, len(self._queue)))]

    def remove(self, item: T) -> bool:
        """Nobody wants it any more; whether it waited."""
        return self._queue.remove(item)

    def items(self) -> list[T]:
        """All that wait, in no order."""
        return self._queue.items()

    def _displaced_by(self, asker: Asker) -> T | None:
        own, most = self._queue.waiting(asker), self._rules.max_per_person
        if asker.person is not None and own >= most:
            raise QueueFull(
                f"{own} of your pictures wait already, and {most} may; wait until they are done"
            )
        if len(self._queue) < MAX_WAITING:
            return None
        displaced = self._queue.displaced_by(asker)
        if displaced is None:
            raise QueueFull(f"{MAX_WAITING} pictures wait already; try again in a moment")
        return displaced


def asker_of(askers: Sequence[Asker]) -> Asker:
    """For whom a batch is asked: its most urgent class, and its person where there is just one."""
    if not askers:
        return NOBODY
    kind = min((asker.kind for asker in askers), key=_URGENCY.index)
    people = {asker.person for asker in askers}
    return Asker(kind, people.pop() if len(people) == 1 else None)
