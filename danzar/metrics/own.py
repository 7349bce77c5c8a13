"""What is told of Danzar itself, the machines around it and its processes. Pure."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from danzar.core.pressure import Level
from danzar.metrics import names
from danzar.metrics.text import Family, Labels
from danzar.nodes.standing import Member, Standing
from danzar.readiness import Readiness

INCIDENT_KINDS = (
    "memory",
    "heat",
    "lost",
    "kept",
    "telemetry",
    "leak",
    "spill",
    "disk",
    "certificate",
    "queue",
    "drift",
    "node",
)
"""What the keys of Danzar's observers begin with: counted from 0, so that the first one shows."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """Discord's side.

    Attributes:
        latency_s: Not finite while there was no heartbeat.
    """

    connected: bool
    latency_s: float


@dataclass(frozen=True, slots=True)
class WorkerFact:
    """One worker process.

    Attributes:
        resident_bytes: ``None`` before its first heartbeat.
        caches: Bytes of that by model which it keeps for requests that may come.
    """

    engine: str
    title: str
    resident_bytes: int | None
    caches: Mapping[str, int] = field(default_factory=dict)


def gateway_families(gateway: Gateway | None) -> list[Family]:
    """Nothing without Discord; no latency while there is none."""
    if gateway is None:
        return []
    known = gateway.connected and math.isfinite(gateway.latency_s)
    return [
        (names.DISCORD_CONNECTED, {(): int(gateway.connected)}),
        (names.DISCORD_LATENCY, {(): gateway.latency_s} if known else {}),
    ]


def ready_families(readiness: Readiness) -> list[Family]:
    """Whether it is ready, and each thing that is needed."""
    return [
        (names.READY, {(): int(readiness.ready)}),
        (names.READY_CHECK, {(check.name,): int(check.ok) for check in readiness.checks}),
    ]


def incident_families(levels: Iterable[Level], opened: Mapping[str, int]) -> list[Family]:
    """Those that last, by level, and how many ever began, by kind."""
    open_now = Counter(levels)
    shown = (level for level in Level if level is not Level.NORMAL)
    kinds = dict.fromkeys((*INCIDENT_KINDS, *opened))
    return [
        (names.INCIDENTS_OPEN, {(level.name.lower(),): open_now[level] for level in shown}),
        (names.INCIDENTS, {(kind,): opened.get(kind, 0) for kind in kinds}),
    ]


def node_families(members: Sequence[Member]) -> list[Family]:
    """The machines that are remembered."""
    up: dict[Labels, float] = {(m.name,): int(m.standing is not Standing.LOST) for m in members}
    return [(names.NODE_UP, up), (names.NODES, {(): sum(up.values())})]


def process_families(workers: Sequence[WorkerFact], bot_bytes: int | None) -> list[Family]:
    """The processes and what they take of host RAM, as far as it is known."""
    engines = Counter(worker.engine for worker in workers)
    resident: dict[Labels, float] = {} if bot_bytes is None else {("bot",): bot_bytes}
    resident |= {(w.title,): w.resident_bytes for w in workers if w.resident_bytes is not None}
    caches: dict[Labels, float] = {
        (model,): held_bytes for w in workers for model, held_bytes in w.caches.items()
    }
    return [
        (names.WORKERS, {(engine,): count for engine, count in engines.items()}),
        (names.RESIDENT_BYTES, resident),
        (names.PROMPT_CACHE_BYTES, caches),
    ]


def single(metric: names.Metric, value: float | None) -> Family:
    """A metric of one row; of none where it is unknown."""
    return (metric, {} if value is None else {(): value})
