"""Waiting requests in a fair order. Pure; used for models' queues and for vision's batches.

Three rules. Between classes: the one whose first request's bound ends first, and those whose first
has waited half its bound take turns (``danzar.core.turns``). Within a class, persons take turns:
only each person's first request competes, and its waiting counts from when it became the first. So
thirty requests of one person delay another's by one request, not by thirty. One person's requests
of one class: first come, first served.

What follows: a person's first request, with ``P`` other persons waiting in its class and ``K``
classes, is among the next ``(P + 1) * K`` that are served once half its bound is over, whatever
else waits or comes. Before that, it may be earlier.
"""

import itertools
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from danzar.core.asker import Asker, RequestClass
from danzar.core.turns import turn_key

T = TypeVar("T")
Bounds = Mapping[RequestClass, float]
"""By class: how many seconds a request of it should wait at most."""


@dataclass(frozen=True, slots=True)
class _Entry(Generic[T]):
    item: T
    asked_s: float
    number: int


@dataclass(slots=True)
class _Line(Generic[T]):
    """One person's waiting requests of one class; never empty.

    Attributes:
        since_s: When the first of them became the first.
        last_turn: The number of this line's last serving; -1 before the first.
    """

    since_s: float
    entries: deque[_Entry[T]]
    last_turn: int = -1

    @property
    def rank(self) -> tuple[float, int, int]:
        return (self.since_s, self.last_turn, self.entries[0].number)


@dataclass(slots=True)
class _Class(Generic[T]):
    """One class: its persons in turn.

    Attributes:
        last_turn: The number of its last serving; -1 before the first.
    """

    last_turn: int = -1
    lines: dict[str | None, _Line[T]] = field(default_factory=dict)

    def first(self) -> tuple[str | None, _Line[T]] | None:
        """Who is next; ``None`` where nobody waits."""
        return min(self.lines.items(), key=lambda x: x[1].rank, default=None)

    def add(self, person: str | None, entry: _Entry[T]) -> None:
        line = self.lines.setdefault(person, _Line(entry.asked_s, deque()))
        line.entries.append(entry)

    def serve(self, person: str | None, turn: int, now_s: float) -> T:
        """Take the first of this person's; the next one counts from now."""
        line = self.lines[person]
        entry = line.entries.popleft()
        self.last_turn = line.last_turn = turn
        line.since_s = now_s
        if not line.entries:
            del self.lines[person]
        return entry.item

    def remove(self, item: T) -> bool:
        for person, line in self.lines.items():
            found = next((entry for entry in line.entries if entry.item is item), None)
            if found is not None:
                line.entries.remove(found)
                if line.entries:
                    line.since_s = max(line.since_s, line.entries[0].asked_s)
                else:
                    del self.lines[person]
                return True
        return False

    def copy(self) -> "_Class[T]":
        copies = (
            (p, _Line(x.since_s, deque(x.entries), x.last_turn)) for p, x in self.lines.items()
        )
        return _Class(self.last_turn, dict(copies))


class FairQueue(Generic[T]):
    """Waiting requests; see the module's docstring.

    Attributes:
        bounds_s: May be replaced at any time; holds every class.
    """

    def __init__(self, bounds_s: Bounds) -> None:
        """Make an empty queue."""
        self.bounds_s = bounds_s
        self._classes: dict[RequestClass, _Class[T]] = {}
        self._numbers = itertools.count()
        self._turns = 0

    def __len__(self) -> int:
        return sum(len(line.entries) for _, line in self._lines())

    def add(self, item: T, asker: Asker, asked_s: float) -> None:
        """Let a request wait."""
        entry = _Entry(item, asked_s, next(self._numbers))
        self._classes.setdefault(asker.kind, _Class()).add(asker.person, entry)

    def pop(self, now_s: float) -> T:
        """Take out the next one.

        Raises:
            IndexError: Nobody waits.
        """
        firsts = [
            (turn_key(found[1].since_s, self.bounds_s[kind], row.last_turn, now_s), kind, found[0])
            for kind, row in self._classes.items()
            if (found := row.first()) is not None
        ]
        if not firsts:
            raise IndexError("nobody waits")
        _, kind, person = min(firsts, key=lambda x: x[:2])
        self._turns += 1
        return self._classes[kind].serve(person, self._turns, now_s)

    def items(self) -> list[T]:
        """All that wait, in no order."""
        return [entry.item for _, line in self._lines() for entry in line.entries]

    def ordered(self, now_s: float) -> list[T]:
        """All that wait, as they would be served if no time passed and nobody else came."""
        copy = FairQueue[T](self.bounds_s)
        copy._classes = {kind: row.copy() for kind, row in self._classes.items()}
        copy._turns = self._turns
        return [copy.pop(now_s) for _ in range(len(copy))]

    def remove(self, item: T) -> bool:
        """Take out one that no longer wants to wait; whether it waited."""
        return any(row.remove(item) for row in self._classes.values())

    def waiting(self, asker: Asker) -> int:
        """How many requests of this person wait in this class."""
        row = self._classes.get(asker.kind)
        line = row.lines.get(asker.person) if row is not None else None
        return len(line.entries) if line is not None else 0

    def displaced_by(self, asker: Asker) -> T | None:
        """Who gives up its place in a full queue: the last of whoever has the most waiting.

        ``None`` where that is the new one itself, or would have as many as the other keeps.
        """
        lines = [(len(line.entries), kind, line) for kind, line in self._lines()]
        most = max(lines, key=lambda x: (x[0], self.bounds_s[x[1]]), default=None)
        if most is None or most[0] <= self.waiting(asker) + 1:
            return None
        return most[2].entries[-1].item

    def _lines(self) -> Iterator[tuple[RequestClass, _Line[T]]]:
        for kind, row in self._classes.items():
            for line in row.lines.values():
                yield kind, line
