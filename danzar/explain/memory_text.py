"""The cards' state as lines for the log. Pure."""

from collections.abc import Callable, Sequence

from danzar.core.device import DeviceSnapshot
from danzar.core.device_memory import DeviceMemory
from danzar.core.device_text import device_title
from danzar.units import format_gib

_MINUTE_S = 60.0


def format_known(size_bytes: int | None) -> str:
    """``4.9GB``, or ``unknown``."""
    return "unknown" if size_bytes is None else format_gib(size_bytes)


def format_pct(pct: float | None) -> str:
    """``59.2%``, or ``unknown``."""
    return "unknown" if pct is None else f"{pct:.1f}%"


def format_duration(duration_s: float) -> str:
    """``45 s``, ``4 min 30 s`` or ``2 h 5 min``."""
    seconds = round(duration_s)
    minutes, hours = seconds // 60, seconds // 3600
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"


def format_stale(age_s: float) -> str:
    """One sentence about figures that are too old."""
    if age_s == float("inf"):
        return "No figures have come from the driver yet"
    return f"The driver is silent: these figures are {format_duration(age_s)} old"


def log_lines(
    devices: Sequence[DeviceMemory],
    history: Callable[[str], Sequence[DeviceSnapshot]],
    stale_age_s: float | None,
) -> list[str]:
    """One line per device, with its peak, and one more if the figures are stale."""
    lines = [] if stale_age_s is None else [f"gpu memory: {format_stale(stale_age_s)}"]
    return lines + [_log_line(d, history(d.snapshot.uuid)) for d in devices]


def _log_line(device: DeviceMemory, past: Sequence[DeviceSnapshot]) -> str:
    leases = ", ".join(f"{x.title} {format_gib(x.size_bytes)} {x.state}" for x in device.leases)
    return (
        f"gpu memory: {device_title(device.snapshot)} "
        f"allocated={format_known(device.allocated_bytes)} "
        f"reserved={format_known(device.reserved_bytes)} "
        f"free={format_known(device.free_bytes)} total={format_gib(device.total_bytes)} "
        f"utilization={format_pct(device.reserved_pct)} "
        f"others={format_known(device.foreign_bytes)} leases=[{leases}]{_peak_text(past)}"
    )


def _peak_text(past: Sequence[DeviceSnapshot]) -> str:
    used = [s.total_bytes - s.free_bytes for s in past if s.free_bytes is not None]
    if len(used) < 2:  # noqa: PLR2004 - one figure has no past
        return ""
    minutes = (past[-1].sampled_at_s - past[0].sampled_at_s) / _MINUTE_S
    return f" peak={format_gib(max(used))} in {minutes:.0f} min"
