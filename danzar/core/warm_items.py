"""What is kept warm in host RAM, as values. Pure.

Two kinds are booked on ``cpu`` with the purpose ``WARM_PURPOSE``: the weights of a model that has
left its device, and a standby process, in which an engine's libraries are imported and no model is
loaded. Both leave at once when anything else needs the memory. Pages of GGUF files in the system's
page cache are followed as well, but not booked: the system takes them back by itself.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class WarmKind(StrEnum):
    """What is kept."""

    WEIGHTS = "weights"
    STANDBY = "standby"


@dataclass(frozen=True, slots=True)
class WarmKey:
    """Names one thing that is kept: the weights of a model, or the standby of a worker."""

    kind: WarmKind
    name: str

    def __str__(self) -> str:
        return f"{self.name} {self.kind}"


class WarmPhase(StrEnum):
    """Whether it is being made, ready, or on its way out."""

    KEEPING = "keeping"
    KEPT = "kept"
    DROPPING = "dropping"


@dataclass(frozen=True, slots=True)
class WarmItem:
    """One thing that is kept, and its lease on ``cpu``.

    Attributes:
        device_uuid: Of a standby: the device whose process it may become; of weights: empty.
    """

    key: WarmKey
    lease_id: int
    phase: WarmPhase
    device_uuid: str = ""


@dataclass(frozen=True, slots=True)
class WarmRules:
    """What the owner decided.

    Attributes:
        budget_bytes: The most that weights and the standby may take together; 0 keeps nothing.
        standby: Whether a standby process is kept.
        page_cache_bytes: The most that the page cache shall keep of models that are not loaded.
    """

    budget_bytes: int = 0
    standby: bool = False
    page_cache_bytes: int = 0


@dataclass(frozen=True, slots=True)
class FilePages:
    """How much of a model's file is in the page cache.

    Attributes:
        resident_bytes: As the system says; ``None`` where it does not.
    """

    model: str
    resident_bytes: int | None
    file_bytes: int


@dataclass(slots=True)
class WarmTier:
    """Everything that is kept. Only the scheduler changes it.

    Attributes:
        homes: By worker: the device on which it last loaded a model.
        pages: By model: what was last seen of its file in the page cache.
        calm_since_s: Since when nothing was asked for, loaded or unloaded; ``None`` while it is.
        no_standby_before_s: A standby that had to leave is not replaced before this.
    """

    items: dict[WarmKey, WarmItem] = field(default_factory=dict)
    homes: dict[str, str] = field(default_factory=dict)
    pages: dict[str, FilePages] = field(default_factory=dict)
    calm_since_s: float | None = None
    no_standby_before_s: float = 0.0

    def phase(self, key: WarmKey) -> WarmPhase | None:
        """Where it is in its life; ``None`` while it is not kept."""
        item = self.items.get(key)
        return None if item is None else item.phase


def weights_of(model: str) -> WarmKey:
    """The weights of a model."""
    return WarmKey(WarmKind.WEIGHTS, model)


def standby_of(worker: str) -> WarmKey:
    """The standby process of a worker."""
    return WarmKey(WarmKind.STANDBY, worker)
