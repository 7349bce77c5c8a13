"""Who grew on a device: a short history of what each process and model holds there. Pure.

Danzar's own memory is told by model, because several models may share a process; all other
programs are told by process. What a driver does not say (Windows WDDM, MIG) stays unknown.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from danzar.core.book import LeaseState
from danzar.core.device_memory import DeviceMemory
from danzar.core.device_text import process_title
from danzar.units import format_gib

STEP_S = 5.0
KEEP_S = 900.0
_MOST_HOLDERS = 256
# Less is the flutter of any running program.
_LEAST_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Holder:
    """A process or a model that holds memory."""

    name: str
    is_ours: bool = False


@dataclass(frozen=True, slots=True)
class Growth:
    """The one that grew most, and by how much.

    Attributes:
        holder: ``None`` where no one is known to have grown.
        grown_bytes: Since its lowest point; ``None``: it appeared, the driver says no more.
        held_bytes: Now.
        over_s: Since that lowest point.
        others_bytes: What all other programs together grew by; ``None`` unknown.
    """

    holder: Holder | None
    grown_bytes: int | None
    held_bytes: int | None
    over_s: float
    others_bytes: int | None


_Held = dict[Holder, int | None]


@dataclass(frozen=True, slots=True)
class _Sample:
    at_s: float
    held: _Held
    foreign_bytes: int | None


class GrowthLog:
    """What a device's holders held lately: one sample each ``STEP_S``, the last ``KEEP_S``."""

    def __init__(self) -> None:
        """Know nothing."""
        self._samples: deque[_Sample] = deque(maxlen=round(KEEP_S / STEP_S) + 1)

    def note(self, device: DeviceMemory, now_s: float) -> None:
        """Keep the device as it stands, if the last sample is old enough."""
        if not self._samples or now_s - self._samples[-1].at_s >= STEP_S:
            self._samples.append(_sample(device, now_s))

    def growth(self, device: DeviceMemory, now_s: float, since_s: float) -> Growth | None:
        """Who grew most from ``since_s`` until now; ``None`` where nothing is known of before."""
        earlier = [s for s in self._samples if s.at_s >= since_s and s.at_s < now_s]
        if not earlier:
            return None
        now = _sample(device, now_s)
        others_bytes = _others(earlier, now)
        grown = [g for holder in now.held if (g := _grown(holder, earlier, now, others_bytes))]
        best = max(grown, key=lambda g: g.grown_bytes or 0, default=None)
        if best is not None:
            return best
        appeared = next(_appeared(earlier, now), None)
        over_s = now_s - earlier[0].at_s
        if appeared is None and (others_bytes or 0) < _LEAST_BYTES:
            return None
        return Growth(appeared, None, None, over_s, others_bytes)


def describe_growth(growth: Growth, *, simulated: bool = False) -> str:
    """One sentence; names in it are harmless in a message."""
    card = " (simulated card)" if simulated else ""
    over = f"in {_span(growth.over_s)}"
    if growth.holder is None:
        size = format_gib(growth.others_bytes or 0)
        return f"Other programs grew by {size} {over}; the driver does not say which{card}"
    if growth.grown_bytes is None:
        whole = growth.others_bytes
        size = "" if whole is None else f"; other programs together grew by {format_gib(whole)}"
        return f"{growth.holder.name} began; the driver does not say what it holds{size}{card}"
    held = f", to {format_gib(growth.held_bytes)}" if growth.held_bytes is not None else ""
    return f"{growth.holder.name} grew by {format_gib(growth.grown_bytes)} {over}{held}{card}"


def _sample(device: DeviceMemory, now_s: float) -> _Sample:
    held: _Held = {}
    for process in device.foreign[:_MOST_HOLDERS]:
        held[Holder(process_title(process))] = process.used_bytes
    for lease in device.leases:
        if lease.state is not LeaseState.CLAIMED:
            ours = Holder(f"Danzar's {lease.model}", is_ours=True)
            held[ours] = (held.get(ours) or 0) + lease.size_bytes
    return _Sample(now_s, held, device.foreign_bytes)


def _grown(
    holder: Holder, earlier: list[_Sample], now: _Sample, others_bytes: int | None
) -> Growth | None:
    """What a holder grew by since it held least; ``None``: little, or nobody knows."""
    held_bytes = now.held[holder]
    if held_bytes is None:
        return None
    past = [(s.at_s, s.held.get(holder, 0)) for s in earlier]
    known = [(size, at_s) for at_s, size in past if size is not None]
    if not known:
        return None
    # Of equal lows the last: that is where it began to grow.
    least_bytes, at_s = min(known, key=lambda low: (low[0], -low[1]))
    grown_bytes = held_bytes - least_bytes
    if grown_bytes < _LEAST_BYTES:
        return None
    return Growth(holder, grown_bytes, held_bytes, now.at_s - at_s, others_bytes)


def _others(earlier: list[_Sample], now: _Sample) -> int | None:
    known = [s.foreign_bytes for s in earlier if s.foreign_bytes is not None]
    if not known or now.foreign_bytes is None:
        return None
    return max(0, now.foreign_bytes - min(known))


def _appeared(earlier: list[_Sample], now: _Sample) -> Iterator[Holder]:
    """Programs of unknown size that were not there at first."""
    first = earlier[0].held
    return (h for h, size in now.held.items() if size is None and h not in first)


def _span(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole} s" if whole < 100 else f"{whole // 60} min"  # noqa: PLR2004
