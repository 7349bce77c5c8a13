"""How long a model's load takes, by the way in which it goes. Pure.

A load is quick or slow for two reasons: whether the weights are in host RAM already, and whether a
process with the engine's libraries is there. Each way is measured for itself; one that was not yet
measured is estimated from those that were.
"""

from dataclasses import dataclass, field
from enum import StrEnum

# Guesses until loads were measured: what comes from disk, and what is copied from host RAM.
LOAD_BYTES_PER_S = 500 * 1024 * 1024
COPY_BYTES_PER_S = 4 * 1024 * 1024 * 1024
# The same for the start of a process with an engine's libraries.
PROCESS_S = 5.0
_NEW_SHARE = 0.3


class ProcessFrom(StrEnum):
    """Where the process comes from that a model is loaded into."""

    NEW = "new"
    STANDBY = "standby"
    RUNNING = "running"


@dataclass(frozen=True, slots=True)
class LoadWay:
    """How a load goes.

    Attributes:
        warm: The weights are in host RAM: kept by the warm tier, or in the page cache.
    """

    warm: bool = False
    process: ProcessFrom = ProcessFrom.NEW


@dataclass(frozen=True, slots=True)
class Reload:
    """What a load is expected to take.

    Attributes:
        measured: The average of loads that went the same way; else it is an estimate.
    """

    seconds: float
    way: LoadWay
    measured: bool


@dataclass(slots=True)
class Loads:
    """Seconds that loads of one model took, averaged.

    Attributes:
        by_way: For each way that was seen; ``None`` for loads of which nobody said how they went.
    """

    by_way: dict[LoadWay | None, float] = field(default_factory=dict)

    def note(self, seconds: float, way: LoadWay | None) -> None:
        """One load took this long."""
        before = self.by_way.get(way)
        self.by_way[way] = seconds if before is None else before + _NEW_SHARE * (seconds - before)

    def expect(self, size_bytes: int, way: LoadWay) -> Reload:
        """What a load in this way is expected to take; the size counts until one was measured."""
        ways = [each for each in self.by_way if each is not None]
        known_s = self.by_way.get(way if ways else None)
        if known_s is not None:
            return Reload(known_s, way, measured=True)
        return Reload(self._estimate_s(size_bytes, way), way, measured=False)

    def _estimate_s(self, size_bytes: int, way: LoadWay) -> float:
        """By the same kind of process first: starting one often takes longer than the weights."""
        ways = [each for each in self.by_way if each is not None]
        if not ways:
            return _moved_s(size_bytes, way)
        nearest = min(ways, key=lambda w: (w.process != way.process, w.warm != way.warm, str(w)))
        known_s = self.by_way[nearest]
        changed_s = _assumed_s(size_bytes, way) - _assumed_s(size_bytes, nearest)
        return max(min(known_s, _moved_s(size_bytes, way)), known_s + changed_s)


def _assumed_s(size_bytes: int, way: LoadWay) -> float:
    """What a load would take, by the guesses alone."""
    started_s = PROCESS_S if way.process is ProcessFrom.NEW else 0.0
    return started_s + _moved_s(size_bytes, way)


def _moved_s(size_bytes: int, way: LoadWay) -> float:
    """How long it takes to have the weights in place."""
    return size_bytes / (COPY_BYTES_PER_S if way.warm else LOAD_BYTES_PER_S)
