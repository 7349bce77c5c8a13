"""The life of one loaded model, as a table. Pure.

cold -> loading -> ready -> draining -> unloading -> cold
          |          |          |           |
          +----------+----------+-----------+--> failed -> loading (after its backoff)
"""

from dataclasses import dataclass, field
from enum import StrEnum

from danzar.core.batch_curve import BatchCurve
from danzar.core.leaving import Leaving
from danzar.core.model import Job, ModelFacts
from danzar.core.plan import PlacedOn, Plan, PlanInputs
from danzar.core.prefetch_counts import Prefetch
from danzar.core.queue import JobQueue
from danzar.core.tuned import TunedBatch
from danzar.core.usage import Usage


class InstanceState(StrEnum):
    """Where a model is in its life."""

    COLD = "cold"
    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"
    UNLOADING = "unloading"
    FAILED = "failed"


TRANSITIONS: dict[InstanceState, frozenset[InstanceState]] = {
    InstanceState.COLD: frozenset({InstanceState.LOADING}),
    InstanceState.LOADING: frozenset(
        {
            InstanceState.READY,
            InstanceState.FAILED,
            InstanceState.COLD,
            InstanceState.UNLOADING,
        }
    ),
    InstanceState.READY: frozenset(
        {InstanceState.DRAINING, InstanceState.UNLOADING, InstanceState.FAILED}
    ),
    InstanceState.DRAINING: frozenset({InstanceState.UNLOADING, InstanceState.FAILED}),
    InstanceState.UNLOADING: frozenset({InstanceState.COLD, InstanceState.FAILED}),
    InstanceState.FAILED: frozenset({InstanceState.LOADING}),
}
HELD = (InstanceState.READY, InstanceState.DRAINING)


def can_become(current: InstanceState, wanted: InstanceState) -> bool:
    """Whether the table allows the step."""
    return wanted in TRANSITIONS[current]


@dataclass(frozen=True, slots=True)
class Running:
    """A job on a model, and since when."""

    job: Job
    started_s: float


@dataclass(slots=True)
class Instance:
    """One model's place and state. Only the scheduler changes it.

    Attributes:
        load_id: Counts up with every load; what workers report by. ``None`` while cold.
        lease_ids: One for each share of its placement, in the same order; while its batch grows,
            one more for what that will take.
        in_flight: What runs on it, by job id.
        failures: Loads and jobs that failed in a row.
        not_before_s: After a failure: no load before this time.
        too_full: How often in a row a load found less free than was booked.
        paused_until_s: It is not planned again before; its requests wait.
        ran_out_bytes: By device UUID: ``(bytes, until when)`` of a load that was too large there.
        moved_s: When it last made way, or came back.
        flaps: How often in a row it had to make way again soon after it came back.
        rises_seen: How often its device had become full when it left.
        yielded_s: When it left because of pressure and has not come back; ``None`` otherwise.
        wanted_s: When a person asked for it to be loaded; ``None`` when nobody did.
        foreign_before: By device UUID: what other programs held when its load was planned.
        leaves_because: Why it is to go once its requests have ended; ``None`` when it is not.
        prefetch: It is loaded ahead, and nobody has asked for it yet; ``None`` otherwise.
        last_plan: The newest plan for it with what it was made from, for ``why``.
        curve: What its batches take, as measured; empty until then.
        batch: How many pictures it computes at once; ``None`` for models without batches.
    """

    facts: ModelFacts
    queue: JobQueue
    usage: Usage = field(default_factory=Usage)
    state: InstanceState = InstanceState.COLD
    load_id: int | None = None
    placed: PlacedOn | None = None
    lease_ids: tuple[int, ...] = ()
    in_flight: dict[int, Running] = field(default_factory=dict)
    last_used_s: float = 0.0
    loaded_s: float = 0.0
    failures: int = 0
    not_before_s: float = 0.0
    last_error: str | None = None
    too_full: int = 0
    paused_until_s: float = 0.0
    ran_out_bytes: dict[str, tuple[int, float]] = field(default_factory=dict)
    moved_s: float | None = None
    flaps: int = 0
    rises_seen: int = 0
    yielded_s: float | None = None
    wanted_s: float | None = None
    foreign_before: dict[str, int] = field(default_factory=dict)
    leaves_because: Leaving | None = None
    prefetch: Prefetch | None = None
    last_plan: tuple[PlanInputs, Plan] | None = None
    curve: BatchCurve = field(default_factory=BatchCurve)
    batch: TunedBatch | None = None

    def become(self, state: InstanceState) -> None:
        """Change the state along the table."""
        if not can_become(self.state, state):
            raise AssertionError(f"{self.facts.name}: {self.state} -> {state} is not in the table")
        self.state = state

    @property
    def name(self) -> str:
        """The model's name."""
        return self.facts.name

    @property
    def device_uuid(self) -> str | None:
        """The device that hosts it, or most of it; ``None`` while cold."""
        return self.placed.device_uuid if self.placed else None

    @property
    def degraded(self) -> str | None:
        """Why it runs worse than configured; ``None`` when it does not."""
        return self.placed.degraded if self.placed else None

    @property
    def slots(self) -> int:
        """Requests that it serves at once, as it is loaded."""
        loaded = dict(self.placed.settings).get("slots") if self.placed else None
        return loaded if isinstance(loaded, int) else self.facts.slots

    @property
    def asked_s(self) -> float | None:
        """When it was first asked for by what waits for it now; ``None`` when nobody waits."""
        asked = [t for t in (self.queue.oldest_s, self.wanted_s) if t is not None]
        return min(asked, default=None)

    @property
    def is_idle(self) -> bool:
        """Nothing runs on it or waits for it."""
        return not self.in_flight and not len(self.queue)
