"""What a plan depends on, and what it can say. Pure values."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from danzar.core.book import Book
from danzar.core.device import DeviceSnapshot
from danzar.core.eviction import Resident
from danzar.core.variant import Rung, Setting, Variant


@dataclass(frozen=True, slots=True)
class PlanRules:
    """What the owner decided about planning.

    Attributes:
        policy: Which idle model goes first: a name in ``danzar.core.eviction``.
        min_residence_s: A model loaded less than this long ago is not evicted for another.
        patience_s: A request waits this long for busy models before it is served worse.
        drain_after_s: A request that waited this long makes busy models finish and leave.
        min_layer_share: With fewer of its layers than this on a card, a model is better off on
            the CPU.
    """

    policy: str = "cost"
    min_residence_s: float = 0.0
    patience_s: float = 3.0
    drain_after_s: float = 10.0
    min_layer_share: float = 0.25


@dataclass(frozen=True, slots=True)
class Demand:
    """A model that needs a place.

    Attributes:
        variants: The ways to load it, best first; at least one.
        context_bytes: The CUDA context of a new process.
        process_bytes: Host RAM of a new process.
        shared_on: UUIDs of devices on which its worker already runs, context and all.
        device_order: UUIDs of GPUs to try, best first; others are not tried.
        ran_out: ``(UUID, bytes)``: a load of that size ran out there lately; only less is tried.
        min_free_bytes: A GPU with less measured free memory than this is not used.
        allow_cpu: Whether the CPU may host it.
        prefers: Whether its owner named a device; where not, any GPU is as good as another.
        wants_cpu: It belongs on the CPU, so that being there degrades nothing.
        protected: Protected models may go for it, as others do.
        waited_s: How long its most pressing request has waited.
        foreseen: Why it is loaded before anybody asked for it; empty where somebody did.
    """

    model: str
    purpose: str
    variants: tuple[Variant, ...]
    context_bytes: int
    process_bytes: int
    device_order: tuple[str, ...]
    shared_on: frozenset[str] = frozenset()
    ran_out: tuple[tuple[str, int], ...] = ()
    min_free_bytes: int = 0
    allow_cpu: bool = True
    prefers: bool = True
    wants_cpu: bool = False
    protected: bool = False
    waited_s: float = 0.0
    foreseen: str = ""


@dataclass(frozen=True, slots=True)
class PlanInputs:
    """Everything that a plan is made from: the same inputs always give the same plan."""

    demand: Demand
    devices: tuple[DeviceSnapshot, ...]
    book: Book
    residents: tuple[Resident, ...]
    rules: PlanRules
    now_s: float


def without(
    inputs: PlanInputs, model: str, lease_ids: Collection[int], back: Mapping[str, int]
) -> PlanInputs:
    """The same, were the model not loaded and its leases not booked.

    ``back`` is the bytes that each device (by UUID) would then have free besides.
    """
    return replace(
        inputs,
        devices=tuple(_with_back(s, back.get(s.uuid, 0)) for s in inputs.devices),
        book=replace(
            inputs.book,
            leases=tuple(x for x in inputs.book.leases if x.lease_id not in lease_ids),
        ),
        residents=tuple(r for r in inputs.residents if r.model != model),
    )


def _with_back(snapshot: DeviceSnapshot, size_bytes: int) -> DeviceSnapshot:
    if not size_bytes or snapshot.free_bytes is None:
        return snapshot
    return replace(snapshot, free_bytes=min(snapshot.total_bytes, snapshot.free_bytes + size_bytes))


@dataclass(frozen=True, slots=True)
class Share:
    """What a placement takes of one device.

    Attributes:
        layers: How many of the model's layers are there; ``None`` when it is not divided.
    """

    device_uuid: str
    size_bytes: int
    layers: int | None = None


@dataclass(frozen=True, slots=True)
class PlacedOn:
    """Load here now.

    Attributes:
        shares: The hosting device first; host RAM beside a GPU last.
        settings: What differs from the model's own settings.
        degraded: One sentence for people with the number that forced a worse way, or ``None``.
    """

    shares: tuple[Share, ...]
    rung: Rung
    settings: tuple[tuple[str, Setting], ...]
    reason: str
    degraded: str | None = None

    @property
    def device_uuid(self) -> str:
        """The device that hosts it, or most of it."""
        return self.shares[0].device_uuid

    @property
    def size_bytes(self) -> int:
        """What it takes of that device."""
        return self.shares[0].size_bytes


@dataclass(frozen=True, slots=True)
class NeedsEviction:
    """Unload the victims, then plan again."""

    device_uuid: str
    victims: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class WaitForRelease:
    """Unloads that have begun will make room; evict nothing more."""

    device_uuid: str
    reason: str


@dataclass(frozen=True, slots=True)
class WaitForIdle:
    """Models that are busy, or were loaded a moment ago, will make room when they may go."""

    device_uuid: str
    models: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Impossible:
    """No device can take it, even with everything evicted that may be.

    Attributes:
        shortfall_bytes: How much is missing on the device that came closest; ``None`` if no
            device could be measured.
    """

    shortfall_bytes: int | None
    reason: str


Plan = PlacedOn | NeedsEviction | WaitForRelease | WaitForIdle | Impossible
