"""A loaded model's batch as the scheduler keeps it. Pure."""

from dataclasses import dataclass

from danzar.core.batching import BatchState
from danzar.core.events import ResizeBatch


@dataclass(slots=True)
class TunedBatch:
    """Only the scheduler changes it.

    Attributes:
        growing: What it becomes once the worker has taken the memory, and the claim for that.
        shrinking: What is asked of the worker once ``old_jobs`` have ended.
        old_jobs: Requests that began with a larger batch.
    """

    state: BatchState
    growing: tuple[BatchState, int] | None = None
    shrinking: ResizeBatch | None = None
    old_jobs: frozenset[int] = frozenset()
