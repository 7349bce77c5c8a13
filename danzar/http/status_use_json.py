"""The body of ``GET /v1/use``: the cards' past, thinned to what a chart can show. Pure."""

from collections.abc import Iterable, Sequence

from danzar.core.device import DeviceKind
from danzar.core.device_memory import DeviceMemory
from danzar.graph import DAY_S, Leases, Point, UseHistory
from danzar.http.model_json import Json
from danzar.http.status_json import VERSION

MOST_POINTS = 450


def use_json(history: UseHistory, devices: Iterable[DeviceMemory], span_s: float) -> Json:
    """Every GPU's past of ``span_s``, as columns, oldest first; a day of it in coarser steps."""
    now_s = history.clock_s()
    past = history.points if span_s <= history.keep_s else history.day
    since_s = now_s - min(span_s, max(history.keep_s, DAY_S))
    cards = [d for d in devices if d.snapshot.kind is DeviceKind.CUDA]
    return {
        "version": VERSION,
        "at_s": round(now_s, 3),
        "span_s": span_s,
        "keep_s": history.keep_s,
        "devices": [
            _device(device, thinned(past(device.snapshot.uuid, since_s), since_s, now_s))
            for device in cards
        ],
    }


def thinned(points: Sequence[Point], since_s: float, until_s: float) -> list[Point]:
    """At most ``MOST_POINTS``: of those that fall together, the fullest; no peak is lost."""
    step_s = max(1e-9, (until_s - since_s) / MOST_POINTS)
    kept: dict[int, Point] = {}
    for point in points:
        step = min(MOST_POINTS - 1, int((point.at_s - since_s) / step_s))
        before = kept.get(step)
        if before is None or (point.used_bytes or 0) > (before.used_bytes or 0):
            kept[step] = point
    return [kept[step] for step in sorted(kept)]


def _device(device: DeviceMemory, points: Sequence[Point]) -> Json:
    sets: dict[Leases, int] = {}
    numbers = [sets.setdefault(p.leases, len(sets)) for p in points]
    return {
        "uuid": device.snapshot.uuid,
        "at_s": [round(p.at_s, 1) for p in points],
        "used_bytes": [p.used_bytes for p in points],
        "own_bytes": [p.own_bytes for p in points],
        "utilisation_pct": [p.utilisation_pct for p in points],
        "leases": numbers,
        "lease_sets": [
            [{"model": model, "bytes": size} for model, size in leases] for leases in sets
        ],
    }
