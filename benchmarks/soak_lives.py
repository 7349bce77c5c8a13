"""Each process that a soak saw, and how the memory of those of one kind grew. Pure."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from benchmarks.soak_analysis import Growth, Point, growth

MB = 1_000_000
SAMPLES_AT_START_S = 120.0
LATER_SHARE = 1 / 3
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Life:
    """One process from the first to the last time that it was seen.

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
    warm: list[tuple[float, Json]]
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
    that of later ones: what takes longest to fill is in the bot.
    """
    by_role: dict[str, list[Life]] = defaultdict(list)
    for rows in _by_process(samples).values():
        is_later = rows[0][0] > SAMPLES_AT_START_S
        life = _life(rows, warm_up_s * LATER_SHARE if is_later else warm_up_s)
        by_role[life.role].append(life)
    return [Role(name, found, _memory(found)) for name, found in sorted(by_role.items())]


def _by_process(samples: list[Json]) -> dict[tuple[int, float], list[tuple[float, Json]]]:
    seen: dict[tuple[int, float], list[tuple[float, Json]]] = defaultdict(list)
    for sample in samples:
        for process in sample["processes"]:
            seen[process["pid"], process["began_at"]].append((sample["at_s"], process))
    return seen


def _life(rows: list[tuple[float, Json]], warm_up_s: float) -> Life:
    (began_s, first), (ended_s, last) = rows[0], rows[-1]
    lived_s = ended_s - began_s
    return Life(
        role=_role(rows),
        lived_s=lived_s,
        warm=[(at, process) for at, process in rows if at >= began_s + warm_up_s],
        last=last,
        peak_bytes=max(process["own"] for _, process in rows),
        cpu_share=(last["cpu_s"] - first["cpu_s"]) / lived_s if lived_s else 0.0,
    )


def _role(rows: list[tuple[float, Json]]) -> str:
    """What it was last, where the bot had written that down."""
    known = [p["role"] for _, p in rows if not p["role"].endswith("?")]
    return str(known[-1] if known else rows[-1][1]["role"])


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
