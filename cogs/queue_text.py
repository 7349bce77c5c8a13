"""Where a request stands, as one line for whoever asked. Pure."""

from danzar.inference import QueuePlace

_IN_MINUTES_S = 120


def waiting_line(place: QueuePlace) -> str:
    """What it waits for: its model alone, or others who are before it."""
    if place.loading:
        return f"⏳ Loading the model{_expected(place)}."
    return f"⏳ Position {place.position} in the queue{_expected(place)}."


def duration(seconds: float) -> str:
    """Seconds, or minutes where there are many of them."""
    whole = max(1, round(seconds))
    return f"{whole} s" if whole < _IN_MINUTES_S else f"{round(whole / 60)} min"


def _expected(place: QueuePlace) -> str:
    expected_s, bound_s = place.expected_s, place.bound_s
    if expected_s is None:
        return ""
    late = bound_s is not None and expected_s > bound_s
    more = f": longer than the {duration(bound_s or 0)} that it should be" if late else ""
    return f", about {duration(expected_s)}{more}"
