"""What a generation needs, and what is there: plain values. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from danzar.units import MIB


@dataclass(frozen=True, slots=True)
class Phase:
    """What is on the device during one part of a generation.

    Attributes:
        name: ``encode``, ``denoise`` or ``decode``.
        weights_bytes: All weights that are there, with adapters.
        activations_bytes: The largest set of intermediate results.
        overhead_bytes: The allocator's, and the CUDA context on a card.
    """

    name: str
    weights_bytes: int
    activations_bytes: int
    overhead_bytes: int

    @property
    def total_bytes(self) -> int:
        """The sum."""
        return self.weights_bytes + self.activations_bytes + self.overhead_bytes


@dataclass(frozen=True, slots=True)
class ResourceRequirement:
    """What one generation needs. All of it is estimated, unless a figure says otherwise.

    Attributes:
        device: ``cuda`` or ``cpu``.
        vram_bytes: Of a card, at the worst moment; 0 on the CPU.
        ram_bytes: Of the host, at the worst moment.
        disk_bytes: Of the result, in the folder of the results.
        weights_bytes: All weights of the model: what its files take, and what loading reads.
        cpu_threads: That work; 1 feeds a card.
        estimated_time_seconds: ``None`` where nothing is known to reckon it from.
        time_source: What the time rests on.
        vram_source: What the VRAM rests on.
        phases: The parts of the generation, in order.
        tokens: Of one video or picture.
        assumptions: What is not measured, in words.
    """

    model_type: str
    device: str
    size: str
    frames: int
    steps: int
    vram_bytes: int
    ram_bytes: int
    disk_bytes: int
    weights_bytes: int
    cpu_threads: int
    estimated_time_seconds: float | None
    time_source: str
    vram_source: str
    phases: tuple[Phase, ...]
    tokens: int
    assumptions: tuple[str, ...]

    @property
    def vram_mb(self) -> int:
        """VRAM in MiB, rounded up: the seed's figure."""
        return -(-self.vram_bytes // MIB)

    @property
    def ram_mb(self) -> int:
        """RAM in MiB, rounded up."""
        return -(-self.ram_bytes // MIB)

    @property
    def disk_mb(self) -> int:
        """Disk in MiB, rounded up."""
        return -(-self.disk_bytes // MIB)

    @property
    def worst(self) -> Phase:
        """The phase that needs most of the device."""
        return max(self.phases, key=lambda phase: phase.total_bytes)


@dataclass(frozen=True, slots=True)
class Budget:
    """What a generation may take.

    Attributes:
        device: The label of the card, or ``cpu``.
        vram_bytes: Room on the card; ``None`` where the CPU does it all.
        ram_bytes: Room in the host's RAM; ``None`` unknown, which forbids nothing.
        disk_bytes: Free in the folder of the results; ``None`` unknown.
        time_s: The longest it may take; ``None`` for no limit.
    """

    device: str
    vram_bytes: int | None
    ram_bytes: int | None = None
    disk_bytes: int | None = None
    time_s: float | None = None

    def shortfalls(self, needs: ResourceRequirement) -> Mapping[str, float]:
        """What is missing, by resource: bytes, and seconds for ``time``; empty where it fits."""
        pairs: dict[str, tuple[float | None, float | None]] = {
            "vram": (needs.vram_bytes, self.vram_bytes),
            "ram": (needs.ram_bytes, self.ram_bytes),
            "disk": (needs.disk_bytes, self.disk_bytes),
            "time": (needs.estimated_time_seconds, self.time_s),
        }
        return {
            name: needed - there
            for name, (needed, there) in pairs.items()
            if needed is not None and there is not None and needed > there
        }


@dataclass(frozen=True, slots=True)
class OptimizationSuggestion:
    """One change that makes a generation fit.

    Attributes:
        parameter: Its key in the parameters.
        reason: Why it is needed, with numbers.
        effect: What it saves, in words.
        quality_impact: A word for the loss that a viewer sees.
        rank: The loss in points; 0 for none.
        saved: The same as ``effect``: bytes by resource, and seconds for ``time``; negative costs.
    """

    parameter: str
    current_value: object
    suggested_value: object
    reason: str
    effect: str
    quality_impact: str
    rank: int
    saved: Mapping[str, float] = field(default_factory=dict)

    @property
    def vram_saved_mb(self) -> float:
        """VRAM that the change saves, in MiB."""
        return self.saved.get("vram", 0.0) / MIB
