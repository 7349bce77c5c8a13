"""What happens to requests and models, told as it happens to whoever counts it.

A listener is called where the thing happens, on the event loop: it counts and returns. One that
fails is told of in the log, once, and disturbs nothing.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from danzar.core.asker import RequestClass
from danzar.core.leaving import UnloadCause
from danzar.errors import (
    BadInput,
    Cancelled,
    CannotPlace,
    ModelMissing,
    OutOfMemory,
    QueueFull,
    WorkerStartFailed,
)
from danzar.workers.contract import Result

log = logging.getLogger(__name__)


class RequestOutcome(StrEnum):
    """How a request ended."""

    ANSWERED = "answered"
    FAILED = "failed"
    CANCELLED = "cancelled"
    """Whoever asked took it back, or went away."""
    REFUSED = "refused"
    """No place in the queue, no room, no load; or what was asked can't be answered."""
    OUT_OF_MEMORY = "out_of_memory"


class LoadOutcome(StrEnum):
    """How a load ended."""

    LOADED = "loaded"
    OUT_OF_MEMORY = "out_of_memory"
    TOO_FULL = "too_full"
    """Less was free than was booked, before anything was touched."""
    ERROR = "error"
    CANCELLED = "cancelled"
    """It was loaded ahead, and others needed the room."""


@dataclass(frozen=True, slots=True)
class RequestEnded:
    """A request is over; asked again after a lost worker, it counts once.

    Attributes:
        model: The one that answered, or was asked; it may be one that nobody knows.
        seconds: From asking to the end.
        waited_s: From asking to its start on a worker; ``None`` where it never started.
        result: ``None`` where it was not answered.
        error: The name of the error's type; empty where there was none.
    """

    model: str
    request_class: RequestClass
    outcome: RequestOutcome
    seconds: float
    waited_s: float | None
    result: Result | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class LoadEnded:
    """A load is over.

    Attributes:
        reason: Why it failed; empty where it did not.
        booked_bytes: What was booked on the devices that were measured.
        measured_bytes: What the driver says it took there; ``None``: it did not say.
    """

    model: str
    device_uuid: str
    outcome: LoadOutcome
    seconds: float
    reason: str = ""
    booked_bytes: int = 0
    measured_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class UnloadBegan:
    """A model leaves."""

    model: str
    device_uuid: str
    cause: UnloadCause


@dataclass(frozen=True, slots=True)
class ModelLost:
    """A model went down with its worker process."""

    model: str
    device_uuid: str


@dataclass(frozen=True, slots=True)
class PlanMade:
    """The scheduler made a plan.

    Attributes:
        seconds: What that took.
    """

    seconds: float


News = RequestEnded | LoadEnded | UnloadBegan | ModelLost | PlanMade
Listener = Callable[[News], None]


class NewsDesk:
    """Tells every listener; owned by the manager."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self._failed: set[int] = set()

    def add_listener(self, listener: Listener) -> None:
        """Have it called with everything that happens from now on."""
        self._listeners.append(listener)

    def tell(self, news: News) -> None:
        """Tell all; never raises."""
        for listener in self._listeners:
            try:
                listener(news)
            except Exception:
                if id(listener) not in self._failed:
                    self._failed.add(id(listener))
                    log.exception("what happened is not counted everywhere: %r", type(news))


_REFUSED = (QueueFull, CannotPlace, WorkerStartFailed, ModelMissing, BadInput)


def outcome_of(error: Exception) -> RequestOutcome:
    """How a request ended that ended with this error."""
    if isinstance(error, Cancelled):
        return RequestOutcome.CANCELLED
    if isinstance(error, OutOfMemory):
        return RequestOutcome.OUT_OF_MEMORY
    return RequestOutcome.REFUSED if isinstance(error, _REFUSED) else RequestOutcome.FAILED
