"""A model with what its estimates are made from. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from danzar.resources.schema import Common, ModelProfile, Profiles, source_names
from danzar.units import format_size


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast a device is.

    Attributes:
        tflops: What a generation reaches on it, not its peak; ``None`` unknown.
        source: In words.
    """

    tflops: float | None
    source: str


@dataclass(frozen=True, slots=True)
class Learned:
    """What earlier generations of this model took, over what was estimated.

    Attributes:
        runs: How many; 0 for none.
        vram_factor: The largest of the last ones.
        time_factor: Their median.
    """

    runs: int = 0
    vram_factor: float = 1.0
    time_factor: float = 1.0


NOTHING_LEARNED = Learned()
UNKNOWN_SPEED = Speed(None, "unknown: no speed of this device is known")


@dataclass(frozen=True, slots=True)
class Subject:
    """A model with what its estimates are made from.

    Attributes:
        on_card: Whether a card does it; else the CPU.
        cpu_threads: Of the host.
    """

    name: str
    profile: ModelProfile
    common: Common
    assumptions: tuple[str, ...]
    on_card: bool = True
    speed: Speed = UNKNOWN_SPEED
    learned: Learned = NOTHING_LEARNED
    cpu_threads: int = 1


def subject_of(profiles: Profiles, name: str) -> Subject:
    """The model of that name, with the assumptions that its figures rest on."""
    profile = profiles.models[name]
    return Subject(name, profile, profiles.common, _assumptions(profiles, profile))


_TOLD: dict[str, Callable[[Common, ModelProfile], str]] = {
    "cuda_context": lambda c, _: f"{format_size(c.cuda_context.value)} for the CUDA context",
    "allocator": lambda c, _: f"{c.allocator.value:.0%} of the activations for the allocator",
    "process_ram": lambda c, _: f"{format_size(c.process_ram.value)} of RAM for the process",
    "load_ram": lambda c, _: f"at most {format_size(c.load_ram.value)} of RAM while loading",
    "bus_bytes_per_s": lambda c, _: f"{c.bus_bytes_per_s.value / 1e9:.0f} GB/s from RAM to a card",
    "video_bits_per_pixel": lambda c, _: f"{c.video_bits_per_pixel.value} bits per pixel of video",
    "disk_reserve": lambda c, _: f"{format_size(c.disk_reserve.value)} left free on the disk",
    "efficiency": lambda _, p: f"{p.efficiency.value:.0%} of the card's peak speed",
    "least_steps": lambda _, p: f"no fewer than {p.least_steps.value} steps",
    "tile_px": lambda _, p: f"tiles of {p.vae.tile_px.value} pixels",
}


def _assumptions(profiles: Profiles, profile: ModelProfile) -> tuple[str, ...]:
    """What of the figures is assumed, in words, each once."""
    named = [*source_names(profiles.common), *source_names(profile)]
    told = []
    for path, source in named:
        key = path[-2] if len(path) > 1 else path[-1]
        if profiles.sources[source].kind == "assumption" and key in _TOLD:
            told.append(_TOLD[key](profiles.common, profile))
    return tuple(dict.fromkeys(told))
