"""How long to wait before a failed model is tried again. Pure."""

FIRST_S = 2.0
CEILING_S = 120.0


def backoff_s(failures: int) -> float:
    """Seconds to wait after ``failures`` in a row: 0, 2, 4, 8 … up to ``CEILING_S``."""
    if failures <= 0:
        return 0.0
    return float(min(CEILING_S, FIRST_S * 2 ** min(failures - 1, 10)))
