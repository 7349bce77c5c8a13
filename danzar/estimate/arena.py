"""How large a buffer ggml makes for a graph: its allocator, played through with sizes alone. Pure.

ggml hands out addresses in one buffer: the best fitting hole, or the end. A result goes back once
its last reader has run, and an operation may overwrite an operand that nothing else reads.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

_ALIGNMENT_BYTES = 32
_ENDLESS_BYTES = 1 << 62


@dataclass(frozen=True, slots=True)
class _Step:
    size_bytes: int
    sources: tuple[int, ...]
    overwrites: bool


class Tape:
    """The operations of a graph in the order in which they run, as the sizes of their results."""

    def __init__(self) -> None:
        self._inputs: list[int] = []
        self._steps: list[_Step | None] = []
        self._kept: set[int] = set()

    def enter(self, size_bytes: int) -> int:
        """Data from outside, there from the beginning until its last reader has run."""
        self._steps.append(None)
        self._inputs.append(size_bytes)
        return len(self._steps) - 1

    def put(self, size_bytes: int, *sources: int | None) -> int:
        """An operation with a result of its own; ``None`` stands for weights."""
        return self._add(size_bytes, sources, overwrites=False)

    def over(self, size_bytes: int, *sources: int | None) -> int:
        """An operation that takes the place of an operand of its size, where it can."""
        return self._add(size_bytes, sources, overwrites=True)

    def keep(self, result: int) -> int:
        """Let a result stay to the end: it is what the graph is for."""
        self._kept.add(result)
        return result

    def _add(self, size_bytes: int, sources: Sequence[int | None], *, overwrites: bool) -> int:
        known = tuple(source for source in sources if source is not None)
        self._steps.append(_Step(size_bytes, known, overwrites))
        return len(self._steps) - 1

    @property
    def inputs_bytes(self) -> int:
        """What came from outside, together."""
        return sum(self._inputs)

    def peak_bytes(self) -> int:
        """The size of the buffer."""
        return _Player(self._steps, self._inputs, self._kept).play()


class _Player:
    def __init__(self, steps: list[_Step | None], inputs: list[int], kept: set[int]) -> None:
        self._steps = steps
        self._arena = _Arena()
        self._readers = [0] * len(steps)
        self._places: dict[int, tuple[int, int]] = {}
        self._kept = kept
        self._inputs = inputs

    def play(self) -> int:
        for step in self._steps:
            for source in step.sources if step else ():
                self._readers[source] += 1
        sizes = iter(self._inputs)
        for number, step in enumerate(self._steps):
            if step is None:
                self._take(number, next(sizes))
        for number, step in enumerate(self._steps):
            if step is not None:
                self._run(number, step)
        return self._arena.peak_bytes

    def _run(self, number: int, step: _Step) -> None:
        if not (step.overwrites and self._overwrite(number, step)):
            self._take(number, step.size_bytes)
        for source in step.sources:
            self._readers[source] -= 1
            if not self._readers[source] and source in self._places and source not in self._kept:
                self._arena.free(*self._places.pop(source))

    def _overwrite(self, number: int, step: _Step) -> bool:
        for source in step.sources:
            place = self._places.get(source)
            last = self._readers[source] == 1 and source not in self._kept
            if place is not None and last and place[1] == _aligned(step.size_bytes):
                self._places[number] = self._places.pop(source)
                return True
        return False

    def _take(self, number: int, size_bytes: int) -> None:
        size_bytes = _aligned(size_bytes)
        self._places[number] = (self._arena.take(size_bytes), size_bytes)


class _Arena:
    """One buffer: its holes by address, the last of which has no end."""

    def __init__(self) -> None:
        self._holes: list[tuple[int, int]] = [(0, _ENDLESS_BYTES)]
        self.peak_bytes = 0

    def take(self, size_bytes: int) -> int:
        holes = self._holes
        at, best_bytes = len(holes) - 1, _ENDLESS_BYTES
        for number, (_, hole_bytes) in enumerate(holes[:-1]):
            if size_bytes <= hole_bytes <= best_bytes:
                at, best_bytes = number, hole_bytes
        start, hole_bytes = holes.pop(at)
        if hole_bytes > size_bytes:
            holes.insert(at, (start + size_bytes, hole_bytes - size_bytes))
        self.peak_bytes = max(self.peak_bytes, start + size_bytes)
        return start

    def free(self, start: int, size_bytes: int) -> None:
        holes = self._holes
        at = bisect_left(holes, (start, 0))
        if at < len(holes) and start + size_bytes == holes[at][0]:
            size_bytes += holes.pop(at)[1]
        if at and sum(holes[at - 1]) == start:
            at -= 1
            start, size_bytes = holes[at][0], holes.pop(at)[1] + size_bytes
        holes.insert(at, (start, size_bytes))


def _aligned(size_bytes: int) -> int:
    return -(-size_bytes // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES
