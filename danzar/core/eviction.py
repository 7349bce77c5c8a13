"""Which idle models go first when room is needed. Pure."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Resident:
    """One loaded model, as eviction sees it.

    Attributes:
        in_flight: Requests running on it now; a model with any is never chosen.
        waiting: Requests queued for it; a model with any is chosen only after those without.
        last_used_s: Monotonic seconds at which its last request ended.
    """

    model: str
    lease_id: int
    device_uuid: str
    size_bytes: int
    priority: int
    pinned: bool
    in_flight: int
    waiting: int
    last_used_s: float


EvictionPolicy = Callable[[Resident], tuple[float, ...]]
"""The sort key of a policy: the smallest goes first."""


def lru(resident: Resident) -> tuple[float, ...]:
    """Least recently used first."""
    return (resident.last_used_s,)


def largest_first(resident: Resident) -> tuple[float, ...]:
    """Largest first; the least recently used of equals."""
    return (-resident.size_bytes, resident.last_used_s)


def by_priority(resident: Resident) -> tuple[float, ...]:
    """Lowest priority first; the least recently used of equals."""
    return (resident.priority, resident.last_used_s)


POLICIES: dict[str, EvictionPolicy] = {
    "lru": lru,
    "largest": largest_first,
    "priority": by_priority,
}


def is_evictable(resident: Resident) -> bool:
    """Idle and not pinned."""
    return not resident.pinned and resident.in_flight == 0


def choose_victims(
    residents: Iterable[Resident], missing_bytes: int, policy: EvictionPolicy
) -> tuple[Resident, ...]:
    """Enough victims for ``missing_bytes``, none of them superfluous; empty if not enough.

    Ties are broken by name, so that the same residents always give the same victims.
    """
    if missing_bytes <= 0:
        return ()
    chosen: list[Resident] = []
    order = sorted(
        filter(is_evictable, residents), key=lambda r: (r.waiting > 0, *policy(r), r.model)
    )
    for resident in order:
        chosen.append(resident)
        if sum(r.size_bytes for r in chosen) >= missing_bytes:
            return _without_superfluous(chosen, missing_bytes)
    return ()


def _without_superfluous(chosen: list[Resident], missing_bytes: int) -> tuple[Resident, ...]:
    """Drop, last-chosen first, each victim whose bytes the others make up for."""
    kept = list(chosen)
    for resident in reversed(chosen):
        rest = sum(r.size_bytes for r in kept) - resident.size_bytes
        if rest >= missing_bytes:
            kept.remove(resident)
    return tuple(kept)
