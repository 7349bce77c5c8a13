"""What the optimizer tells: figures of the cards, what it did, and its state. Pure."""

from dataclasses import dataclass
from datetime import datetime

from danzar.config.optimizer import MemoryConfig
from danzar.explain.model_text import amount


@dataclass(frozen=True, slots=True)
class MemoryMetrics:
    """One card at one instant; ``None`` is unknown, never zero.

    Attributes:
        device: ``cuda:N``.
        simulated: The card is invented.
        used_pct: Share of the capacity in use by anyone, 0 to 100.
        utilisation_pct: Share of time that it computed, 0 to 100.
        fragmentation_pct: Share of torch's memory that is split off and unused, 0 to 100.
        current_batch_size: Pictures at once, by the vision models there; ``None``: none is there.
        optimal_batch_size: What would fit best now; ``None`` likewise.
    """

    device: str
    uuid: str
    name: str
    simulated: bool
    total_bytes: int
    used_bytes: int | None
    free_bytes: int | None
    used_pct: float | None
    utilisation_pct: float | None
    temperature_c: float | None
    power_w: float | None
    fragmentation_pct: float | None
    current_batch_size: int | None
    optimal_batch_size: int | None


@dataclass(frozen=True, slots=True)
class MemoryOptimizationResult:
    """One thing that was done about memory, by itself or because someone asked.

    Attributes:
        action_taken: ``trim``, ``recycle``, ``batch`` or ``none``, joined by ``+``.
        success: Whether it did what it should; ``reason`` says why not.
        memory_freed_bytes: As the driver measured it, or the OS for host RAM; ``None``: unknown.
        batch_size_before: Of the vision models; ``None`` where none is loaded.
        automatic: Nobody asked for it.
    """

    action_taken: str
    success: bool
    reason: str
    memory_freed_bytes: int | None
    batch_size_before: int | None
    batch_size_after: int | None
    duration_s: float
    at: datetime
    automatic: bool = False

    @property
    def freed_text(self) -> str:
        """What came back; empty for what gives nothing back, as a change of batch."""
        if self.action_taken in ("none", "batch"):
            return ""
        told = "an unknown amount"
        return (
            f"{told if self.memory_freed_bytes is None else amount(self.memory_freed_bytes)} freed"
        )


@dataclass(frozen=True, slots=True)
class BatchSize:
    """One vision model's batch; ``None`` is unknown.

    Attributes:
        device: Where the model is loaded.
        limit: The most that memory allows now.
        reason: Why the size is what it is, with the numbers.
    """

    model: str
    device: str
    size: int
    optimal: int | None
    limit: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class WarmModel:
    """One model of the warm tier.

    Attributes:
        size_bytes: What is kept of it in host RAM, or in the page cache.
        reload_s: What loading it again is expected to take.
    """

    model: str
    size_bytes: int
    reload_s: float


@dataclass(frozen=True, slots=True)
class OptimizerStatus:
    """Everything about the optimizer at one instant.

    Attributes:
        monitoring: Whether it acts by itself.
        manual_batch_size: What a person set; ``None``: it decides.
        batch_size: Pictures at once now; the configured size where no vision model is loaded.
        warm: Models whose weights are in host RAM, for their next load.
    """

    config: MemoryConfig
    monitoring: bool
    manual_batch_size: int | None
    batch_size: int
    devices: tuple[MemoryMetrics, ...]
    batches: tuple[BatchSize, ...]
    warm: tuple[WarmModel, ...]
    last: MemoryOptimizationResult | None
