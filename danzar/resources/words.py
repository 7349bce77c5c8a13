"""Amounts and values as people read them. Pure."""

from collections.abc import Mapping

from danzar.units import format_size

KINDS = {"vram": "VRAM", "ram": "RAM", "disk": "disk space", "time": "time"}
_MINUTE_S = 60
_HOUR_S = 3600


def time_text(seconds: float | None) -> str:
    """``47 s``, ``45 min``, ``2.3 h``; ``unknown``."""
    if seconds is None:
        return "unknown"
    if seconds < 2 * _MINUTE_S:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004
    if seconds < 2 * _HOUR_S:
        return f"{seconds / _MINUTE_S:.0f} min"
    return f"{seconds / _HOUR_S:.1f} h"


def value_text(value: object) -> str:
    """A parameter's value as a person writes it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)


def shortfall_text(shortfalls: Mapping[str, float]) -> str:
    """``3.2 GiB of VRAM and 12.0 GiB of RAM``."""
    return " and ".join(
        f"{amount(kind, missing)} of {KINDS[kind]}" for kind, missing in shortfalls.items()
    )


def amount(kind: str, value: float) -> str:
    """Bytes or seconds as a person reads them."""
    return time_text(value) if kind == "time" else format_size(round(value))
