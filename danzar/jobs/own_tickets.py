"""Only tickets are served: what else stands in a model's stream is dropped, with a warning.

Whoever may write to the queue's server can put an entry there that docket can't read. docket's
worker would end over it, take it up again after its restart, and end again, on every machine in
turn. docket has no hook for that, but its worker reads entries by the one class that is replaced
here for this process.
"""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import docket.worker
from docket import Docket, Execution

from danzar.jobs.record import new_id

log = logging.getLogger(__name__)

TICKET = "ticket"
_FIRST_GENERATION = 1


class _NotATicket(ValueError):
    """The entry names another task than Danzar's."""


class _Ticket(Execution):
    """What docket's worker makes of an entry."""

    @classmethod
    async def from_message(
        cls,
        docket: Docket,
        message: Mapping[bytes, bytes],
        *args: Any,  # noqa: ANN401 - handed on
        **more: Any,  # noqa: ANN401
    ) -> "_Ticket":
        """The ticket; for anything else one that docket drops, because nobody asked for it."""
        try:
            _check_task(message)
            return await super().from_message(docket, dict(message), *args, **more)
        except Exception as exc:  # noqa: BLE001 - a stranger wrote it: anything may be wrong with it
            log.warning(
                "an entry of %s in the queue was not written by Danzar, and is dropped (%s)",
                docket.name,
                type(exc).__name__,
            )
        return cls(
            docket,
            _nothing,
            (),
            {},
            new_id(),
            datetime.now(UTC),
            1,
            generation=_FIRST_GENERATION,  # of a key that nobody wrote: docket acknowledges it
            message_id=more.get("message_id"),
        )


def _check_task(message: Mapping[bytes, bytes]) -> None:
    if message[b"function"] != TICKET.encode():
        raise _NotATicket("it asks for another task")


def serve_only_tickets() -> None:
    """From now on, docket's workers in this process outlive foreign entries. May be repeated."""
    docket.worker.Execution = _Ticket  # type: ignore[attr-defined]


async def _nothing() -> None:
    """What an entry stands for that is dropped."""
