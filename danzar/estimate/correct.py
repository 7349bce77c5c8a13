"""What was measured after earlier loads corrects the next estimate. Pure.

The weights are known exactly; what remains of an estimate is its variable part, v (cache, compute
buffers), and what remains of a measurement is u.

    these settings were loaded before    u is the median of what was measured
    others were, of several sizes        u = a v + b: a is the median of the slopes between any two
                                         of them (Theil and Sen), b the median of what is left
    others were, all of one size         the larger of v + (u' - v') and v x u' / v': whether the
                                         difference is a fixed amount or a share can't be told yet

The median of three loads ignores one that was measured while something else happened. The result
stays between half and twice the estimate (or 256 MiB above it, because what a runtime takes beside
a small model may be many times its size), and never goes below the weights.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import median
from typing import Any

from danzar.core.variant import Setting, Variant
from danzar.units import MIB

_LEAST, _MOST = 0.5, 2.0
_ALLOWANCE_BYTES = 256 * MIB
# Two sizes that differ by less than this share are one.
_SAME = 0.01
# What changes the need for memory, by the backends' names.
_RELEVANT = frozenset(
    {
        "n_ctx", "n_batch", "type_k", "type_v", "flash_attn", "swa_full", "mmproj", "slots",
        "imgsz", "max_side", "max_batch", "half", "precision", "architecture",
        "offload", "vae_tiling", "max_pixels", "max_frames", "width", "height", "variant",
    }
)  # fmt: skip
_PARTIAL = "gpu_layers"


@dataclass(frozen=True, slots=True)
class Measurement:
    """One load of a file: what was estimated (without correction), and what was measured.

    Attributes:
        settings: Those that the load had, as ``settings_key`` writes them.
        at_s: Seconds since 1970.
    """

    settings: str
    estimated_bytes: int
    measured_bytes: int
    at_s: float


@dataclass(frozen=True, slots=True)
class Corrected:
    """Variants after the correction, and a person's words for what they rest on.

    Attributes:
        source: ``estimated``, ``measured 3 times`` or ``estimated, corrected by 3 loads``.
    """

    variants: tuple[Variant, ...]
    source: str


@dataclass(frozen=True, slots=True)
class _Size:
    """All loads with the same settings. Bytes beside the weights."""

    estimated_bytes: float
    measured_bytes: float
    count: int


def settings_key(
    settings: Mapping[str, Any],
    changes: Sequence[tuple[str, Setting]] = (),
    gpu_layers: int | None = None,
) -> str:
    """The settings that change the need for memory, as JSON that is the same for the same settings.

    Args:
        settings: The model's own.
        changes: What a variant changes in them.
        gpu_layers: Only where a part of the layers is on the card: how many.
    """
    merged = {**settings, **dict(changes)}
    kept = {name: value for name, value in merged.items() if name in _RELEVANT}
    if gpu_layers is not None:
        kept[_PARTIAL] = gpu_layers
    return json.dumps(kept, sort_keys=True, separators=(",", ":"), default=str)


def correct(
    variants: Sequence[Variant],
    past: Sequence[Measurement],
    *,
    settings: Mapping[str, Any],
    weights_bytes: int,
    on_cpu: bool,
) -> Corrected:
    """The variants with ``cuda_bytes`` (or ``host_bytes`` on the CPU) corrected by past loads.

    Args:
        variants: Best first.
        past: Of the same file on the same class of device; other settings help too.
        settings: The model's own settings, to which each variant's are added.
        weights_bytes: What is known exactly; no correction goes below it.
        on_cpu: Whether ``past`` was measured in host RAM.
    """
    sizes = _by_settings([each for each in past if not _is_partial(each)], weights_bytes)
    keys = [settings_key(settings, variant.settings) for variant in variants]
    found: list[Variant] = []
    least_bytes = 0
    for variant, key in zip(reversed(variants), reversed(keys), strict=True):
        bytes_ = _corrected_bytes(_bytes(variant, on_cpu), sizes, key, weights_bytes)
        # A higher rung never takes less than a lower one.
        least_bytes = max(bytes_, least_bytes + 1)
        found.append(_with_bytes(variant, least_bytes, on_cpu))
    return Corrected(tuple(reversed(found)), _source(sizes, keys[0] if keys else ""))


def _is_partial(each: Measurement) -> bool:
    return _PARTIAL in json.loads(each.settings)


def _by_settings(past: Sequence[Measurement], weights_bytes: int) -> dict[str, _Size]:
    loads: dict[str, list[Measurement]] = {}
    for each in past:
        loads.setdefault(each.settings, []).append(each)
    return {
        key: _Size(
            max(1.0, median(each.estimated_bytes for each in same) - weights_bytes),
            max(0.0, median(each.measured_bytes for each in same) - weights_bytes),
            len(same),
        )
        for key, same in loads.items()
    }


def _corrected_bytes(
    estimated_bytes: int, sizes: dict[str, _Size], key: str, weights_bytes: int
) -> int:
    if not sizes:
        return estimated_bytes
    variable_bytes = max(0, estimated_bytes - weights_bytes)
    known = sizes.get(key)
    beside = known.measured_bytes if known else _predicted(variable_bytes, list(sizes.values()))
    least_bytes = max(weights_bytes, estimated_bytes * _LEAST)
    most_bytes = max(estimated_bytes * _MOST, estimated_bytes + _ALLOWANCE_BYTES)
    return round(min(max(weights_bytes + beside, least_bytes), most_bytes))


def _predicted(variable_bytes: int, sizes: list[_Size]) -> float:
    slopes = [
        (one.measured_bytes - other.measured_bytes) / (one.estimated_bytes - other.estimated_bytes)
        for one, other in combinations(sizes, 2)
        if abs(one.estimated_bytes / other.estimated_bytes - 1) > _SAME
    ]
    if slopes:
        slope = min(max(median(slopes), _LEAST), _MOST)
        rest = median(each.measured_bytes - slope * each.estimated_bytes for each in sizes)
        return slope * variable_bytes + rest
    shift = median(each.measured_bytes - each.estimated_bytes for each in sizes)
    ratio = median(each.measured_bytes / each.estimated_bytes for each in sizes)
    return max(variable_bytes + shift, variable_bytes * ratio)


def _bytes(variant: Variant, on_cpu: bool) -> int:
    return variant.host_bytes if on_cpu else variant.cuda_bytes


def _with_bytes(variant: Variant, size_bytes: int, on_cpu: bool) -> Variant:
    if on_cpu:
        return replace(variant, host_bytes=size_bytes)
    layers = variant.layers
    if layers is not None:
        fixed_bytes = max(0, layers.fixed_bytes + size_bytes - variant.cuda_bytes)
        layers = replace(layers, fixed_bytes=fixed_bytes)
    return replace(variant, cuda_bytes=size_bytes, layers=layers)


def _source(sizes: dict[str, _Size], key: str) -> str:
    if key in sizes:
        return f"measured {_times(sizes[key].count)}"
    loads = sum(size.count for size in sizes.values())
    if not loads:
        return "estimated"
    return f"estimated, corrected by {loads} load{'s' if loads > 1 else ''}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
