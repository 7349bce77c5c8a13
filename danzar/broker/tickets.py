"""Who waits for a request to start, and what they are told meanwhile."""

import asyncio
from dataclasses import dataclass

from danzar.core.events import QueueMoved, Refusal, RefuseJob, StartJob
from danzar.errors import (
    Cancelled,
    CannotPlace,
    DanzarError,
    ModelMissing,
    QueueFull,
    WorkerStartFailed,
)
from danzar.inference import OnPosition, QueuePlace

_REFUSALS: dict[Refusal, type[DanzarError]] = {
    Refusal.QUEUE_FULL: QueueFull,
    Refusal.CANNOT_PLACE: CannotPlace,
    Refusal.LOAD_FAILED: WorkerStartFailed,
    Refusal.UNKNOWN_MODEL: ModelMissing,
}


@dataclass(slots=True)
class _Ticket:
    started: asyncio.Future[StartJob]
    on_position: OnPosition | None


class Tickets:
    """One for each request that was submitted and is not over.

    A ticket that is gone or cancelled is passed over: its request is reported as ended, which
    frees the slot.
    """

    def __init__(self) -> None:
        self._tickets: dict[int, _Ticket] = {}

    def draw(self, job_id: int, on_position: OnPosition | None) -> asyncio.Future[StartJob]:
        """Wait in line; the future ends with the start, or with the refusal as its error."""
        ticket = _Ticket(asyncio.get_running_loop().create_future(), on_position)
        self._tickets[job_id] = ticket
        return ticket.started

    def discard(self, job_id: int) -> None:
        """The request is over, or nobody waits for it any more."""
        self._tickets.pop(job_id, None)

    def start(self, effect: StartJob) -> None:
        """It is this request's turn."""
        ticket = self._tickets.get(effect.job.job_id)
        if ticket is not None and not ticket.started.done():
            ticket.started.set_result(effect)

    def refuse(self, effect: RefuseJob) -> None:
        """This request will not be answered."""
        ticket = self._tickets.get(effect.job_id)
        if ticket is not None and not ticket.started.done():
            ticket.started.set_exception(_REFUSALS[effect.kind](effect.reason))

    def cancel(self, job_id: int, reason: str) -> bool:
        """A person takes a request back that has not begun; whether it was still waiting."""
        ticket = self._tickets.get(job_id)
        if ticket is None or ticket.started.done():
            return False
        ticket.started.set_exception(Cancelled(reason))
        return True

    def move(self, effect: QueueMoved) -> None:
        """This request's place in the queue changed."""
        ticket = self._tickets.get(effect.job_id)
        if ticket is not None and ticket.on_position is not None:
            ticket.on_position(
                QueuePlace(effect.position, effect.expected_s, effect.bound_s, effect.loading)
            )
