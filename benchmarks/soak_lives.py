"""Each process that a soak saw, and how the memory of those of one kind grew. Pure."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from benchmarks.soak_analysis import Growth, Point, growth

MB = 1_000_000
SAMPLES_AT_START_S = 120.0
LATER_SHARE = 1 / 3
Json = dict[str, Any]
Row = tuple[float, Json]


@dataclass(frozen=True, slots=True)
class Life:
    """One process from the first to the last time that it was seen in one role.

    Attributes:
        role: What it is: bot, local discord, worker torch...
        lived_s: How long it was seen.
        warm: What is judged of it: its samples after its warm-up, with their seconds.
        last: Its last sample.
        peak_bytes: The most memory of its own.
        cpu_share: Of one core, on average.
    """

    role: str
    lived_s: float
    warm: list[Row]
    last: Json
    peak_bytes: int
    cpu_share: float

    @property
    def warm_s(self) -> float:
        """How long it is judged."""
        return self.warm[-1][0] - self.warm[0][0] if self.warm else 0.0


@dataclass(frozen=True, slots=True)
class Role:
    """All processes of one kind, which replaced each other.

    Attributes:
        memory: Their growth in MB an hour: ``own``, that no file stands behind; ``floor``, the
            least of that in each bin, which is what requests leave behind; ``rss``, with the files
            that they map; ``uncached`` and ``uncached floor``, the first two without what they keep
            of conversations. ``None`` where they were too short-lived to say, or keep nothing.
    """

    name: str
    lives: list[Life]
    memory: dict[str, Growth | None]


def roles(samples: list[Json], warm_up_s: float) -> list[Role]:
    """Every kind of process.

    The first ``warm_up_s`` of those that were there from the start do not count, nor a third of
    that of later ones: what takes longest to fill is in the bot. One that becomes another, as a
    standby that takes a model over, begins a new life.
    """
    by_role: dict[str, list[Life]] = defaultdict(list)
    for rows in _by_process(samples).values():
        for role, spent in groupby(rows, key=_role_at(rows)):
            by_role[role].append(_life(role, list(spent), warm_up_s))
    return [Role(name, found, _memory(found)) for name, found in sorted(by_role.items())]


def _by_process(samples: list[Json]) -> dict[tuple[int, float], list[Row]]:
    seen: dict[tuple[int, float], list[Row]] = defaultdict(list)
    for sample in samples:
        for process in sample["processes"]:
            seen[process["pid"], process["began_at"]].append((sample["at_s"], process))
    return seen


def _role_at(rows: list[Row]) -> Callable[[Row], str]:
    """What a process was at each time; where the bot had not written it down: next, or last."""
    known = [(at, p["role"]) for at, p in rows if not p["role"].endswith("?")]

    def role(row: Row) -> str:
        if not known:
            return str(row[1]["role"])
        following = bisect_left(known, row[0], key=lambda each: each[0])
        return str(known[min(following, len(known) - 1)][1])

    return role


def _life(role: str, rows: list[Row], warm_up_s: float) -> Life:
    (began_s, first), (ended_s, last) = rows[0], rows[-1]
    lived_s = ended_s - began_s
    judged_from_s = began_s + warm_up_s * (LATER_SHARE if began_s > SAMPLES_AT_START_S else 1)
    return Life(
        role=role,
        lived_s=lived_s,
        warm=[(at, process) for at, process in rows if at >= judged_from_s],
        last=last,
        peak_bytes=max(process["own"] for _, process in rows),
        cpu_share=(last["cpu_s"] - first["cpu_s"]) / lived_s if lived_s else 0.0,
    )


def _memory(found: list[Life]) -> dict[str, Growth | None]:
    own = [_points(life, "own") for life in found]
    rss = [_points(life, "rss") for life in found]
    uncached = [_uncached(life) for life in found]
    return {
        "own": growth(own),
        "floor": growth(own, take=min),
        "rss": growth(rss),
        "uncached": growth(uncached),
        "uncached floor": growth(uncached, take=min),
    }


def _points(life: Life, kind: str) -> list[Point]:
    return [(at, process[kind] / MB) for at, process in life.warm]


def _uncached(life: Life) -> list[Point]:
    known = [(at, process) for at, process in life.warm if "cached" in process]
    return [(at, (process["own"] - process["cached"]) / MB) for at, process in known]
