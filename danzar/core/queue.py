"""Jobs that wait for one model, in order, and who must be told where they stand. Pure."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from danzar.core.asker import Asker, RequestClass
from danzar.core.fair import Bounds, FairQueue
from danzar.core.model import Job


def default_bounds_s() -> dict[RequestClass, float]:
    """What a class should wait at most, seconds."""
    return {
        RequestClass.CHAT: 30.0,
        RequestClass.VISION: 45.0,
        RequestClass.PICTURE: 120.0,
        RequestClass.WATCH: 90.0,
        RequestClass.JOB: 600.0,
    }


@dataclass(frozen=True, slots=True)
class QueueRules:
    """What the owner decided about waiting.

    Attributes:
        bounds_s: How long a request of each class should wait at most.
        max_per_person: Requests of one person and one class that may wait for one model.
    """

    bounds_s: Bounds = field(default_factory=default_bounds_s)
    max_per_person: int = 8

    def stretch(self, kind: RequestClass) -> float:
        """How many times longer than the most urgent class this one may wait."""
        return self.bounds_s[kind] / min(self.bounds_s.values())


class JobQueue:
    """In a fair order (``danzar.core.fair``); a job whose worker was lost goes to the front.

    Attributes:
        limit: Jobs that may wait.
    """

    def __init__(self, limit: int, rules: QueueRules | None = None) -> None:
        """Make an empty queue of at most ``limit`` jobs."""
        self.limit = limit
        self._rules = rules or QueueRules()
        self._retried: deque[Job] = deque()
        self._fair: FairQueue[Job] = FairQueue(self._rules.bounds_s)
        self._told: dict[int, int] = {}
        self._changed = False

    def __len__(self) -> int:
        return len(self._retried) + len(self._fair)

    @property
    def rules(self) -> QueueRules:
        """What it goes by."""
        return self._rules

    @rules.setter
    def rules(self, rules: QueueRules) -> None:
        self._rules = rules
        self._fair.bounds_s = rules.bounds_s
        self._changed = True

    def jobs(self) -> tuple[Job, ...]:
        """The waiting jobs, the oldest first."""
        waiting = (*self._retried, *self._fair.items())
        return tuple(sorted(waiting, key=lambda job: (job.submitted_s, job.job_id)))

    def ordered(self, now_s: float) -> tuple[Job, ...]:
        """The waiting jobs as they would start, if no time passed and no one else came."""
        return (*self._retried, *self._fair.ordered(now_s))

    @property
    def is_full(self) -> bool:
        """Whether another new job has no place, unless it displaces one."""
        return len(self) >= self.limit

    def waiting(self, asker: Asker) -> int:
        """How many jobs of this person and class wait."""
        return self._fair.waiting(asker)

    def displaced_by(self, job: Job) -> Job | None:
        """Which job gives up its place in a full queue for this one; ``None``: no one."""
        return self._fair.displaced_by(job.asker)

    def add(self, job: Job) -> None:
        """Queue a job. The caller asks ``is_full`` first; a retried job is always taken."""
        if job.retried:
            self._retried.appendleft(job)
        else:
            self._fair.add(job, job.asker, job.submitted_s)
        self._changed = True

    @property
    def oldest_s(self) -> float | None:
        """When the job that waits longest was submitted; ``None`` for an empty queue."""
        waiting = (*self._retried, *self._fair.items())
        return min((job.submitted_s for job in waiting), default=None)

    def pop(self, now_s: float) -> Job:
        """The next job."""
        job = self._retried.popleft() if self._retried else self._fair.pop(now_s)
        self._told.pop(job.job_id, None)
        self._changed = True
        return job

    def remove(self, job_id: int) -> bool:
        """Drop a job that waits; whether it did."""
        found = next((j for j in self.jobs() if j.job_id == job_id), None)
        if found is None:
            return False
        if found.retried:
            self._retried.remove(found)
        else:
            self._fair.remove(found)
        self._told.pop(job_id, None)
        self._changed = True
        return True

    def drain(self) -> Iterator[Job]:
        """Take all jobs out, the oldest first."""
        for job in self.jobs():
            self.remove(job.job_id)
            yield job

    def moved(self, now_s: float) -> list[tuple[Job, int]]:
        """``(job, position)`` of each job whose position changed since the last call."""
        if not self._changed:
            return []
        self._changed = False
        before, jobs = self._told, self.ordered(now_s)
        self._told = {job.job_id: place for place, job in enumerate(jobs, start=1)}
        placed = enumerate(jobs, start=1)
        return [(job, place) for place, job in placed if before.get(job.job_id) != place]
