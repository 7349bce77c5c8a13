"""What is counted while a simulation runs, and the report that comes of it. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from danzar.core.asker import Asker
from danzar.core.events import LoadFailure
from danzar.core.fair import Bounds
from danzar.simulate.class_waits import ClassWait, class_waits
from danzar.simulate.percentile import percentile

_PERCENTILES = (50, 95, 99)
_RAN_OUT = LoadFailure.OUT_OF_MEMORY


@dataclass(frozen=True, slots=True)
class Loaded:
    """One load that began: ``seconds`` until it was done, or had failed.

    Attributes:
        gpus: Over how many it went; 0 on the CPU.
    """

    model: str
    began_s: float
    size_bytes: int
    seconds: float
    gpus: int
    again: bool
    failed: str | None = None


@dataclass(slots=True)
class Figures:
    """Everything that is counted.

    Attributes:
        out_of_memory: Requests that ran out of memory while they computed.
        waits_s: From asking to starting, by the purpose of the model that was asked.
        waits_by: The same by who asked.
        refused_by: Requests that were refused, by who asked.
        first_s: ``(asked at, until the first part)`` of each turn, seconds.
        served: ``(model, on a GPU)`` of each request in the order in which they started.
    """

    requests: int = 0
    answered: int = 0
    refused: int = 0
    failed: int = 0
    out_of_memory: int = 0
    degraded: int = 0
    evictions: int = 0
    futile: list[str] = field(default_factory=list)
    over_commits: list[str] = field(default_factory=list)
    unloads: int = 0
    decisions: int = 0
    loads: list[Loaded] = field(default_factory=list)
    waits_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    waits_by: dict[Asker, list[float]] = field(default_factory=lambda: defaultdict(list))
    refused_by: Counter[Asker] = field(default_factory=Counter)
    first_s: list[tuple[float, float]] = field(default_factory=list)
    served: list[tuple[str, bool]] = field(default_factory=list)


class Wait(msgspec.Struct, frozen=True):
    """Seconds from asking to starting, over one class of requests."""

    requests: int
    p50_s: float
    p95_s: float
    p99_s: float
    max_s: float


class Report(msgspec.Struct, frozen=True):
    """What a simulation came to.

    Attributes:
        reload_s: Without each model's first load.
        out_of_memory: Requests and loads that ran out of memory.
    """

    policy: str
    requests: int
    answered: int
    refused: int
    failed: int
    out_of_memory: int
    unanswered: int
    degraded: int
    loads: int
    load_s: float
    reloads: int
    reload_s: float
    failed_loads: int
    evictions: int
    futile_evictions: int
    over_commits: int
    unloads: int
    decisions: int
    waits: dict[str, Wait]
    classes: dict[str, ClassWait]
    virtual_s: float
    wall_s: float


def summarise(
    figures: Figures, policy: str, bounds_s: Bounds, virtual_s: float, wall_s: float
) -> Report:
    """The report of what was counted."""
    done = [x for x in figures.loads if x.failed is None]
    again = [x for x in done if x.again]
    return Report(
        policy=policy,
        requests=figures.requests,
        answered=figures.answered,
        refused=figures.refused,
        failed=figures.failed,
        out_of_memory=figures.out_of_memory + sum(x.failed == _RAN_OUT for x in figures.loads),
        unanswered=figures.requests - figures.answered - figures.refused - figures.failed,
        degraded=figures.degraded,
        loads=len(done),
        load_s=_seconds(done),
        reloads=len(again),
        reload_s=_seconds(again),
        failed_loads=len(figures.loads) - len(done),
        evictions=figures.evictions,
        futile_evictions=len(figures.futile),
        over_commits=len(figures.over_commits),
        unloads=figures.unloads,
        decisions=figures.decisions,
        waits={purpose: _wait(waits) for purpose, waits in sorted(figures.waits_s.items())},
        classes=class_waits(figures.waits_by, figures.refused_by, bounds_s),
        virtual_s=round(virtual_s, 3),
        wall_s=round(wall_s, 3),
    )


def _wait(waits_s: Iterable[float]) -> Wait:
    ordered = sorted(waits_s)
    p50_s, p95_s, p99_s = (round(percentile(ordered, pct), 3) for pct in _PERCENTILES)
    return Wait(len(ordered), p50_s, p95_s, p99_s, round(ordered[-1], 3))


def _seconds(loads: Iterable[Loaded]) -> float:
    return round(sum(x.seconds for x in loads), 3)
