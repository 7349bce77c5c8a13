"""An optimizer over two simulated cards, with a scheduler and an upkeep that obey at once."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from danzar.broker.model_view import ModelView
from danzar.config.optimizer import MemoryConfig
from danzar.core.batch_tuning import BatchView
from danzar.core.device import DeviceKind, DeviceSnapshot
from danzar.core.device_memory import DeviceMemory
from danzar.core.events import BatchChanged
from danzar.core.upkeep import AllocatorView, TrimLevel, TrimReport, TrimRow, UpkeepStep
from danzar.optimizer.optimizer import MemoryOptimizer, Parts
from danzar.optimizer.results import MemoryOptimizationResult
from danzar.units import GIB, MIB

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
CONFIGURED = 8


def card(index: int, used_gib: float = 2.0) -> DeviceMemory:
    used_bytes = round(used_gib * GIB)
    snapshot = DeviceSnapshot(
        uuid=f"GPU-{index}",
        index=index,
        name="NVIDIA GeForce RTX 4070",
        kind=DeviceKind.CUDA,
        total_bytes=12 * GIB,
        free_bytes=12 * GIB - used_bytes,
        used_bytes=used_bytes,
        utilisation_pct=30.0,
        temperature_c=60.0,
        power_w=None,
        processes=(),
        simulated=True,
        sampled_at_s=0.0,
    )
    return DeviceMemory(snapshot, (), (), (), ())


@dataclass
class FakeModels:
    """Batches that a test sets; a fixed size is in force at once, as far as the limit allows."""

    views: list[BatchView] = field(default_factory=list)
    batch_changes: deque[tuple[float, BatchChanged]] = field(default_factory=deque)
    fixed: list[int | None] = field(default_factory=list)

    def batches(self) -> Sequence[BatchView]:
        return self.views

    def fix_batch(self, size: int | None) -> None:
        self.fixed.append(size)

    def models(self) -> tuple[ModelView, ...]:
        return ()


@dataclass
class FakeUpkeep:
    """Gives back what a test says."""

    report: TrimReport
    paused: bool = False
    history: list[UpkeepStep] = field(default_factory=list)
    asked: list[TrimLevel] = field(default_factory=list)
    allocators: tuple[AllocatorView, ...] = ()

    def memory(self) -> Sequence[AllocatorView]:
        return self.allocators

    async def trim(
        self, level: TrimLevel = TrimLevel.GENTLE, device_uuid: str | None = None
    ) -> TrimReport:
        del device_uuid
        self.asked.append(level)
        return self.report


@dataclass
class FakeCards:
    """The cards that a test sets."""

    cards: tuple[DeviceMemory, ...]

    def devices(self) -> tuple[DeviceMemory, ...]:
        return self.cards


@dataclass
class Rig:
    optimizer: MemoryOptimizer
    models: FakeModels
    upkeep: FakeUpkeep
    cards: FakeCards
    told: list[MemoryOptimizationResult]
    now_s: float = 1000.0


def row(freed_bytes: int | None, *, recycled: bool = False, error: str | None = None) -> TrimRow:
    return TrimRow(
        worker="torch",
        device_uuid="GPU-1",
        level=TrimLevel.GENTLE,
        freed_bytes=freed_bytes,
        seconds=0.1,
        recycled=recycled,
        error=error,
    )


def view(size: int, limit: int | None = 16, optimal: int | None = 12) -> BatchView:
    return BatchView("yolo", "GPU-1", size, optimal, limit, "2.0 GiB have room", 100 * MIB, 0.0)


def make_rig(config: MemoryConfig | None = None, report: TrimReport | None = None) -> Rig:
    models = FakeModels([view(8)])
    upkeep = FakeUpkeep(report or TrimReport((row(120 * MIB),)))
    cards = FakeCards((card(0), card(1)))
    told: list[MemoryOptimizationResult] = []

    async def on_step(result: MemoryOptimizationResult) -> None:
        told.append(result)

    async def refresh() -> None:
        return None

    parts = Parts(models, upkeep, cards, refresh, on_step, CONFIGURED)
    optimizer = MemoryOptimizer(
        config or MemoryConfig(), parts, now_s=lambda: rig.now_s, wall_clock=lambda: NOON
    )
    rig = Rig(optimizer, models, upkeep, cards, told)
    return rig
