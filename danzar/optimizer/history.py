"""What the scheduler and the upkeep did by themselves, as results; each told once."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from danzar.core.batching import BY_HAND
from danzar.core.events import BatchChanged
from danzar.core.upkeep import UpkeepAction, UpkeepStep
from danzar.optimizer.parts import Models, Upkeep
from danzar.optimizer.results import MemoryOptimizationResult

T = TypeVar("T")


class AutomaticSteps:
    """Remembers how far the two histories, which are bounded, were read."""

    def __init__(self, models: Models, upkeep: Upkeep) -> None:
        self._models = models
        self._upkeep = upkeep
        self._last_change: tuple[float, BatchChanged] | None = None
        self._last_step: UpkeepStep | None = None

    def since_last(self, now: datetime, now_s: float) -> Iterator[MemoryOptimizationResult]:
        """What is new; ``now`` and ``now_s`` are the same instant on both clocks."""
        steps = _after(self._last_step, self._upkeep.history)
        changes = _after(self._last_change, self._models.batch_changes)
        self._last_step = steps[-1] if steps else self._last_step
        self._last_change = changes[-1] if changes else self._last_change
        told = [(step.at_s, partial(_of_step, step)) for step in steps]
        told += [(at_s, partial(_of_change, change)) for at_s, change in changes]
        for at_s, make in sorted(told, key=lambda row: row[0]):
            yield make(now - timedelta(seconds=now_s - at_s))


def _after(last: T | None, items: Iterable[T]) -> list[T]:
    """The items behind the last known one; all where it has been forgotten."""
    known = list(items)
    return known[known.index(last) + 1 :] if last in known else known


def _of_step(step: UpkeepStep, at: datetime) -> MemoryOptimizationResult:
    recycled = step.action is UpkeepAction.RECYCLE
    return MemoryOptimizationResult(
        action_taken="recycle" if recycled else "trim",
        success=True,
        reason=f"{step.worker}: {step.reason} ({step.action})",
        memory_freed_bytes=step.freed_bytes,
        batch_size_before=None,
        batch_size_after=None,
        duration_s=0.0,
        at=at,
        automatic=True,
    )


def _of_change(change: BatchChanged, at: datetime) -> MemoryOptimizationResult:
    return MemoryOptimizationResult(
        action_taken="batch",
        success=True,
        reason=f"{change.model}: {change.reason}",
        memory_freed_bytes=None,
        batch_size_before=change.before,
        batch_size_after=change.size,
        duration_s=0.0,
        at=at,
        automatic=change.reason != BY_HAND,
    )
