"""What the status server shows, as it is handed in by whoever knows it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from danzar.broker.decision import Decision
from danzar.broker.model_view import ModelView
from danzar.broker.prefetch_view import PrefetchView
from danzar.broker.queue_view import QueueView
from danzar.core.plan import Plan, PlanInputs
from danzar.graph import UseHistory
from danzar.http.model_json import Json
from danzar.http.status_json import StatusFacts
from danzar.logs.line import LogLine


class Planner(Protocol):
    """The part of ``danzar.broker.manager.ModelManager`` that explains."""

    def now_s(self) -> float:
        """The scheduler's clock, monotonic seconds."""
        ...

    def models(self) -> tuple[ModelView, ...]:
        """Every model as it is now."""
        ...

    def plan(self, model: str) -> tuple[PlanInputs, Plan]:
        """Where a model would go now; touches nothing."""
        ...

    def why(self, model: str) -> tuple[PlanInputs, Plan] | None:
        """The last decision about a model."""
        ...

    def queues(self) -> tuple[QueueView, ...]:
        """Who runs and who waits, for every model."""
        ...

    def prefetches(self) -> PrefetchView:
        """What loading ahead has brought."""
        ...


class Probes(Protocol):
    """What probes and Prometheus ask. In memory: none of it blocks."""

    def health(self) -> tuple[int, Json]:
        """HTTP status and body of ``/health``."""
        ...

    def ready(self) -> tuple[int, Json]:
        """HTTP status and body of ``/ready``."""
        ...

    def metrics(self, accept: str) -> tuple[bytes, str]:
        """Body and content type of ``/metrics``, in a format that ``accept`` takes."""
        ...


class LogTail(Protocol):
    """The newest lines of the log; ``danzar.logs.ring.Ring`` is one."""

    def newest(
        self, limit: int, *, level: str | None = None, request: str | None = None
    ) -> tuple[LogLine, ...]:
        """The newest lines, oldest first."""
        ...

    def since(self, number: int) -> tuple[LogLine, ...]:
        """What came after the line with this number."""
        ...


@dataclass(frozen=True, slots=True)
class StatusParts:
    """Everything that the status server reads. Nothing but ``jobs`` may block.

    Attributes:
        incidents: What lasts and what has ended, as JSON, the newest first.
        decisions: The last steps of the memory manager, oldest first.
        jobs: The newest jobs, as JSON; raises ``DanzarError`` where the queue can't be asked.
        use: The cards' past.
    """

    facts: Callable[[], StatusFacts]
    planner: Planner
    probes: Probes
    use: UseHistory
    log: LogTail
    decisions: Callable[[], Sequence[Decision]]
    incidents: Callable[[], Sequence[Json]]
    jobs: Callable[[], Awaitable[Sequence[Json]]]
