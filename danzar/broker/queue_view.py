"""Who runs and who waits, per model, as people see it: frozen copies. Pure.

A person's identity is in it for whoever checks permissions or looks up a name; it is left out of
reprs, and must not be shown as it is.
"""

from dataclasses import dataclass, field

from danzar.core.asker import RequestClass
from danzar.core.instance import Instance, InstanceState
from danzar.core.jobs import expected_s
from danzar.core.state import State


@dataclass(frozen=True, slots=True)
class RunningView:
    """A request that is being answered.

    Attributes:
        number: Its id, as ``queue cancel`` takes it.
        for_s: Since it began.
        waited_s: Before that.
    """

    number: int
    kind: RequestClass
    for_s: float
    waited_s: float
    person: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class WaitingView:
    """A request that waits.

    Attributes:
        number: Its id, as ``queue cancel`` takes it.
        position: 1 is next.
        waited_s: So far.
        expected_s: Until it begins, as far as is known; ``None`` unknown.
        bound_s: How long such a request should wait at most, from its beginning.
    """

    number: int
    kind: RequestClass
    position: int
    waited_s: float
    expected_s: float | None
    bound_s: float
    person: str | None = field(default=None, repr=False)

    @property
    def is_late(self) -> bool:
        """Whether it waits, or will have waited, longer than it should."""
        return self.waited_s + (self.expected_s or 0.0) > self.bound_s


@dataclass(frozen=True, slots=True)
class QueueView:
    """One model's requests.

    Attributes:
        slots: Requests that it serves at once.
        job_s: What a request has taken on average; ``None`` before the first has ended.
    """

    model: str
    state: InstanceState
    slots: int
    job_s: float | None
    running: tuple[RunningView, ...]
    waiting: tuple[WaitingView, ...]

    @property
    def is_idle(self) -> bool:
        """Nothing runs and nothing waits."""
        return not self.running and not self.waiting


def queue_views(state: State, now_s: float) -> tuple[QueueView, ...]:
    """Every model, in the order of the configuration."""
    return tuple(_view(instance, now_s) for instance in state.instances.values())


def owned_by(views: tuple[QueueView, ...], person: str) -> tuple[WaitingView, ...]:
    """What waits of one person's."""
    return tuple(x for view in views for x in view.waiting if x.person == person)


def _view(instance: Instance, now_s: float) -> QueueView:
    bounds_s = instance.queue.rules.bounds_s
    return QueueView(
        model=instance.name,
        state=instance.state,
        slots=instance.slots,
        job_s=instance.usage.job_s,
        running=tuple(
            RunningView(
                number,
                run.job.asker.kind,
                max(0.0, now_s - run.started_s),
                max(0.0, run.started_s - run.job.submitted_s),
                run.job.asker.person,
            )
            for number, run in sorted(instance.in_flight.items())
        ),
        waiting=tuple(
            WaitingView(
                job.job_id,
                job.asker.kind,
                place,
                max(0.0, now_s - job.submitted_s),
                expected_s(instance, place, now_s),
                bounds_s[job.asker.kind],
                job.asker.person,
            )
            for place, job in enumerate(instance.queue.ordered(now_s), start=1)
        ),
    )
