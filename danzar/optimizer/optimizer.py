"""The optimizer under the names that the seed gave: it reads, asks others to act, and remembers.

Batch sizes are decided by the scheduler, cached memory is given back by the upkeep; both go on by
themselves. Here is what their owner sees and does. Whatever is switched off here, the ledger goes
on: no byte is used that was not booked.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from danzar.config.optimizer import MemoryConfig
from danzar.core.device import DeviceKind
from danzar.core.device_memory import DeviceMemory
from danzar.core.upkeep import TrimLevel, TrimReport
from danzar.errors import BadInput
from danzar.optimizer.history import AutomaticSteps
from danzar.optimizer.metrics import (
    batch_sizes,
    memory_metrics,
    smallest_batch,
    warm_models,
)
from danzar.optimizer.parts import Cards, Models, Upkeep
from danzar.optimizer.results import (
    MemoryMetrics,
    MemoryOptimizationResult,
    OptimizerStatus,
)
from danzar.optimizer.told import over_limit_text, trimmed_text

log = logging.getLogger(__name__)

KEPT_RESULTS = 200
_TRIM_TIMEOUT_S = 120.0
OFF = "the optimizer is disabled; switch it on first: danzar optimizer enable"


@dataclass(frozen=True, slots=True)
class Parts:
    """What the optimizer works with.

    Attributes:
        refresh: Measures all devices now.
        on_step: Hears of everything that was done.
        configured_batch: What batches are while the optimizer is disabled.
    """

    models: Models
    upkeep: Upkeep
    cards: Cards
    refresh: Callable[[], Awaitable[object]]
    on_step: Callable[[MemoryOptimizationResult], Awaitable[None]]
    configured_batch: int


class MemoryOptimizer:
    """Owned by ``danzar.services``, which runs ``run``; every method may be called at any time.

    Attributes:
        on_result: Called with everything that was done; it counts and returns.
    """

    def __init__(
        self,
        config: MemoryConfig,
        parts: Parts,
        *,
        now_s: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._config = config
        self._parts = parts
        self._now_s = now_s
        self._wall_clock = wall_clock
        self._monitoring = True
        self._manual: int | None = None
        self._switched = asyncio.Condition()
        self._optimizing = asyncio.Lock()
        self._results: deque[MemoryOptimizationResult] = deque(maxlen=KEPT_RESULTS)
        self._steps = AutomaticSteps(parts.models, parts.upkeep)
        self.on_result: Callable[[MemoryOptimizationResult], None] = _ignore

    @property
    def config(self) -> MemoryConfig:
        """What it goes by."""
        return self._config

    @property
    def is_monitoring(self) -> bool:
        """Whether it acts by itself."""
        return self._monitoring

    async def run(self) -> None:
        """Note what happened by itself, each ``monitoring_interval``, until cancelled."""
        while True:
            async with self._switched:
                await self._switched.wait_for(lambda: self._monitoring)
            await self.look()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._config.monitoring_interval), self._switched:
                    await self._switched.wait()

    async def look(self) -> None:
        """Remember what others did since the last look."""
        for result in self._steps.since_last(self._wall_clock(), self._now_s()):
            await self._remember(result)

    async def configure(self, config: MemoryConfig) -> None:
        """Go by other settings from now on; a batch size that a person set goes if it must."""
        self._config = config
        too_large = self._manual is not None and self._manual > config.max_batch_size
        if not config.enabled or too_large:
            self._fix(None)
        await self._wake()

    # --- the seed's names ------------------------------------------------------------------

    async def start_monitoring(self) -> None:
        """Act by itself from now on."""
        self._monitoring, self._parts.upkeep.paused = True, False
        await self._wake()

    async def stop_monitoring(self) -> None:
        """Clean up no more by itself; batches still follow the memory, which is safety."""
        self._monitoring, self._parts.upkeep.paused = False, True
        await self._wake()

    async def optimize_memory(self) -> MemoryOptimizationResult:
        """Give back what is cached and unused now, and let batches follow.

        Above the critical threshold it is done thoroughly. Takes up to two minutes.
        """
        async with self._optimizing:
            await self.look()
            result = await self._optimize()
        await self._remember(result)
        return result

    def get_current_batch_size(self) -> int:
        """Pictures at once, now: the smallest of the loaded vision models'."""
        views = self._parts.models.batches() if self._config.enabled else ()
        return min((view.size for view in views), default=self._parts.configured_batch)

    def set_batch_size(self, size: int | None) -> int:
        """Keep batches at ``size`` as far as memory allows; ``None``: decide again.

        Returns:
            The size that was in force.

        Raises:
            danzar.errors.BadInput: It is out of range, or memory has no room for it.
        """
        before = self.get_current_batch_size()
        if size is not None:
            self._check_size(size)
        self._fix(size)
        return before

    def get_memory_status(self) -> tuple[MemoryMetrics, ...]:
        """The figures of every GPU."""
        parts = self._parts
        return memory_metrics(parts.cards.devices(), parts.upkeep.memory(), parts.models.batches())

    def get_optimization_history(self) -> list[dict[str, Any]]:
        """What was done, oldest first; at most ``KEPT_RESULTS`` entries."""
        return [asdict(result) for result in self._results]

    def status(self) -> OptimizerStatus:
        """Everything at one instant."""
        labels = {d.snapshot.uuid: d.snapshot.label for d in self._parts.cards.devices()}
        return OptimizerStatus(
            config=self._config,
            monitoring=self._monitoring,
            manual_batch_size=self._manual,
            batch_size=self.get_current_batch_size(),
            devices=self.get_memory_status(),
            batches=batch_sizes(self._parts.models.batches(), labels),
            warm=warm_models(self._parts.models.models()),
            last=self._results[-1] if self._results else None,
        )

    # --- how it is done --------------------------------------------------------------------

    async def _optimize(self) -> MemoryOptimizationResult:
        if not self._config.enabled:
            return self._failed("none", OFF)
        devices, begun_s = self._parts.cards.devices(), self._now_s()
        before = smallest_batch(self._parts.models.batches())
        try:
            async with asyncio.timeout(_TRIM_TIMEOUT_S):
                report = await self._parts.upkeep.trim(_level(devices, self._config))
                await self._parts.refresh()
        except TimeoutError:
            why = f"the workers gave no answer within {_TRIM_TIMEOUT_S:.0f} s"
            return self._failed("trim", why)
        after = smallest_batch(self._parts.models.batches())
        return MemoryOptimizationResult(
            action_taken=_actions(report, before, after),
            success=not any(row.error for row in report.rows),
            reason=trimmed_text(report, _shown_labels(devices)),
            memory_freed_bytes=report.freed_bytes,
            batch_size_before=before,
            batch_size_after=after,
            duration_s=self._now_s() - begun_s,
            at=self._wall_clock(),
        )

    def _failed(self, action: str, reason: str) -> MemoryOptimizationResult:
        size = smallest_batch(self._parts.models.batches())
        at = self._wall_clock()
        return MemoryOptimizationResult(action, False, reason, None, size, size, 0.0, at)

    def _check_size(self, size: int) -> None:
        config = self._config
        if not config.enabled:
            raise BadInput(OFF)
        if not config.min_batch_size <= size <= config.max_batch_size:
            raise BadInput(
                f"a batch of {size} is out of range; allowed: {config.min_batch_size} to "
                f"{config.max_batch_size} (min_batch_size, max_batch_size)"
            )
        over = [v for v in self._parts.models.batches() if v.limit is not None and size > v.limit]
        if over:
            raise BadInput(over_limit_text(size, over, _shown_labels(self._parts.cards.devices())))

    def _fix(self, size: int | None) -> None:
        self._manual = size
        self._parts.models.fix_batch(size)

    async def _remember(self, result: MemoryOptimizationResult) -> None:
        self._results.append(result)
        self.on_result(result)
        await self._parts.on_step(result)

    async def _wake(self) -> None:
        async with self._switched:
            self._switched.notify_all()


def _ignore(result: MemoryOptimizationResult) -> None:
    """Until someone counts, what was done is just remembered."""


def _actions(report: TrimReport, before: int | None, after: int | None) -> str:
    done = ["trim"] if report.rows else []
    done += ["recycle"] if any(row.recycled for row in report.rows) else []
    done += ["batch"] if before != after else []
    return "+".join(done) or "none"


def _level(devices: Sequence[DeviceMemory], config: MemoryConfig) -> TrimLevel:
    critical_pct = 100 * config.memory_threshold_critical
    gpus = (d.snapshot for d in devices if d.snapshot.kind is DeviceKind.CUDA)
    shares = (gpu.memory_pct for gpu in gpus)
    full = any(share is not None and share > critical_pct for share in shares)
    return TrimLevel.AGGRESSIVE if full else TrimLevel.GENTLE


def _shown_labels(devices: Sequence[DeviceMemory]) -> dict[str, str]:
    snapshots = (device.snapshot for device in devices)
    return {s.uuid: f"{s.label} (simulated)" if s.simulated else s.label for s in snapshots}
