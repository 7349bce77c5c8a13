"""Requirements and suggestions as text for a channel. Pure."""

from danzar.core.device_text import short_name
from danzar.resources.preflight import Preflight
from danzar.resources.requirement import OptimizationSuggestion, ResourceRequirement
from danzar.resources.words import time_text, value_text
from danzar.units import format_size


def change_text(suggestion: OptimizationSuggestion) -> str:
    """``resolution 1920x1072 -> 1280x720``."""
    before, after = (
        value_text(suggestion.current_value),
        value_text(suggestion.suggested_value),
    )
    return f"{suggestion.parameter} {before} -> {after}"


def requirement_line(needs: ResourceRequirement) -> str:
    """One line: what, and what it needs."""
    frames = f", {needs.frames} frames" if needs.frames > 1 else ""
    return (
        f"{needs.model_type} {needs.size}{frames}, {needs.steps} steps: "
        f"{format_size(needs.vram_bytes)} of VRAM, {format_size(needs.ram_bytes)} of RAM, "
        f"{time_text(needs.estimated_time_seconds)} ({needs.time_source})"
    )


def preflight_lines(found: Preflight, device_name: str = "") -> list[str]:
    """For a channel: what it needs, whether it fits, and what was changed."""
    name = f" on {short_name(device_name)}" if device_name else ""
    lines = [requirement_line(found.requirement) + name, found.text]
    lines += [
        f"- {change_text(s)} (loss: {s.quality_impact}): {s.effect}" for s in found.suggestions
    ]
    return lines
