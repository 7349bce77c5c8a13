"""What the optimizer needs of others, as small as it is used; ``danzar.services`` has the real."""

from collections.abc import Sequence
from typing import Protocol

from danzar.broker.model_view import ModelView
from danzar.core.batch_tuning import BatchView
from danzar.core.device_memory import DeviceMemory
from danzar.core.events import BatchChanged
from danzar.core.upkeep import AllocatorView, TrimLevel, TrimReport, UpkeepStep


class Models(Protocol):
    """The part of ``danzar.broker.manager.ModelManager`` that knows batches."""

    @property
    def batch_changes(self) -> Sequence[tuple[float, BatchChanged]]:
        """What changed lately and when (monotonic seconds), oldest first."""
        ...

    def batches(self) -> Sequence[BatchView]:
        """The batch of every loaded vision model."""
        ...

    def fix_batch(self, size: int | None) -> None:
        """Go by a person's size as far as memory allows; ``None``: decide again."""
        ...

    def models(self) -> tuple[ModelView, ...]:
        """Every model as it is now."""
        ...


class Upkeep(Protocol):
    """The part of ``danzar.broker.upkeep.Upkeep`` that is used."""

    paused: bool

    @property
    def history(self) -> Sequence[UpkeepStep]:
        """What was done lately, oldest first."""
        ...

    def memory(self) -> Sequence[AllocatorView]:
        """What each worker's allocator holds."""
        ...

    async def trim(self, level: TrimLevel, device_uuid: str | None = None) -> TrimReport:
        """Have workers give back what they hold and do not use."""
        ...


class Cards(Protocol):
    """The part of ``danzar.gpu_memory.GpuMemoryManager`` that is read."""

    def devices(self) -> tuple[DeviceMemory, ...]:
        """All devices, GPUs in PCI order and then host RAM."""
        ...
