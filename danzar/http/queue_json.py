"""The body of ``GET /v1/queue``. Pure; documented in docs/status-api.md.

Persons are numbered in each answer anew: the API tells who is the same, not who it is.
"""

from collections.abc import Iterable

from danzar.broker.queue_view import QueueView, RunningView, WaitingView
from danzar.http.model_json import Json

VERSION = 1


def queue_json(views: Iterable[QueueView]) -> Json:
    """Every model with what runs on it and what waits for it, the next one first."""
    numbers: dict[str, int] = {}
    return {"version": VERSION, "queues": [_queue(view, numbers) for view in views]}


def _queue(view: QueueView, numbers: dict[str, int]) -> Json:
    return {
        "model": view.model,
        "state": str(view.state),
        "slots": view.slots,
        "job_s": _rounded(view.job_s),
        "running": [_running(row, numbers) for row in view.running],
        "waiting": [_waiting(row, numbers) for row in view.waiting],
    }


def _running(row: RunningView, numbers: dict[str, int]) -> Json:
    return {
        "number": row.number,
        "class": str(row.kind),
        "person": _person(row.person, numbers),
        "for_s": _rounded(row.for_s),
        "waited_s": _rounded(row.waited_s),
    }


def _waiting(row: WaitingView, numbers: dict[str, int]) -> Json:
    return {
        "number": row.number,
        "class": str(row.kind),
        "person": _person(row.person, numbers),
        "position": row.position,
        "waited_s": _rounded(row.waited_s),
        "expected_s": _rounded(row.expected_s),
        "bound_s": row.bound_s,
        "late": row.is_late,
    }


def _person(person: str | None, numbers: dict[str, int]) -> int | None:
    return None if person is None else numbers.setdefault(person, len(numbers) + 1)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
