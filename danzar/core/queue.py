"""Jobs that wait for one model, in order, and who must be told where they stand. Pure."""

from collections import deque
from collections.abc import Iterator

from danzar.core.model import Job


class JobQueue:
    """First come, first served; a job whose worker was lost goes to the front.

    Attributes:
        limit: Jobs that may wait.
    """

    def __init__(self, limit: int) -> None:
        """Make an empty queue of at most ``limit`` jobs."""
        self.limit = limit
        self._jobs: deque[Job] = deque()
        self._told: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def jobs(self) -> tuple[Job, ...]:
        """The waiting jobs in order."""
        return tuple(self._jobs)

    @property
    def is_full(self) -> bool:
        """Whether another new job must be refused."""
        return len(self._jobs) >= self.limit

    def add(self, job: Job) -> None:
        """Queue a job. The caller asks ``is_full`` first; a retried job is always taken."""
        if job.retried:
            self._jobs.appendleft(job)
        else:
            self._jobs.append(job)

    @property
    def oldest_s(self) -> float | None:
        """When the job that waits longest was submitted; ``None`` for an empty queue."""
        return min((job.submitted_s for job in self._jobs), default=None)

    def pop(self) -> Job:
        """The next job."""
        job = self._jobs.popleft()
        self._told.pop(job.job_id, None)
        return job

    def remove(self, job_id: int) -> bool:
        """Drop a job that waits; whether it did."""
        found = next((j for j in self._jobs if j.job_id == job_id), None)
        if found is None:
            return False
        self._jobs.remove(found)
        self._told.pop(job_id, None)
        return True

    def drain(self) -> Iterator[Job]:
        """Take all jobs out, in order."""
        while self._jobs:
            yield self.pop()

    def moved(self) -> list[tuple[int, int]]:
        """``(job_id, position)`` of each job whose position changed since the last call."""
        now = {job.job_id: place for place, job in enumerate(self._jobs, start=1)}
        changed = [
            (job_id, place) for job_id, place in now.items() if self._told.get(job_id) != place
        ]
        self._told = now
        return changed
