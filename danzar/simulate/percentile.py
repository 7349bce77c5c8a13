"""One way to say "99 of 100". Pure."""

import math
from collections.abc import Sequence


def percentile(sorted_values: Sequence[float], pct: float) -> float:
    """The value that ``pct`` percent of the values do not exceed (nearest rank)."""
    rank = max(1, math.ceil(pct / 100 * len(sorted_values)))
    return sorted_values[rank - 1]
