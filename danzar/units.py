"""Bytes inside, GiB at the edge: the only place that converts between them."""

import re

KIB = 1024
MIB = 1024**2
GIB = 1024**3

_FACTORS = {"": 1, "B": 1, "KIB": KIB, "MIB": MIB, "GIB": GIB}
_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([KMG]iB|B)?\s*$", re.IGNORECASE)


def gib_to_bytes(gib: float) -> int:
    """Whole bytes in ``gib`` gibibytes (the seed's ``*_gb`` keys mean GiB)."""
    return round(gib * GIB)


def bytes_to_gib(size_bytes: int) -> float:
    """Gibibytes as a float, for display only."""
    return size_bytes / GIB


def format_gib(size_bytes: int) -> str:
    """The size as the seed writes it: ``6.2GB``."""
    return f"{bytes_to_gib(size_bytes):.1f}GB"


def format_size(size_bytes: int) -> str:
    """The size in the unit that reads best: ``512 B``, ``98.0 MiB``, ``7.5 GiB``."""
    for factor, unit in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if abs(size_bytes) >= factor:
            return f"{size_bytes / factor:.1f} {unit}"
    return f"{size_bytes} B"


def parse_size(text: str | int) -> int:
    """Bytes in a size such as ``8 GiB``, ``512MiB`` or ``1024``.

    Raises:
        ValueError: ``text`` is no size.
    """
    if isinstance(text, int):
        return text
    match = _SIZE.match(text)
    if match is None:
        raise ValueError(f"{text!r} is no size; write it as 8 GiB, 512 MiB or a number of bytes")
    return round(float(match[1]) * _FACTORS[(match[2] or "").upper()])
