"""Which loaded models go when room is needed. Pure.

``cost`` finds the cheapest set that is enough: the sum of reload seconds x probability that the
model is wanted again soon. It is exact for the few candidates that a device usually has; past
``_MAX_NODES`` steps of the search the best set found so far is taken. The other policies take
models in their order until there is enough, and then spare those that turned out superfluous.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_MAX_NODES = 400
# Checking all devices takes about as long as this many steps of the search.
_CHECK_NODES = 20


@dataclass(frozen=True, slots=True)
class Resident:
    """One loaded model, as eviction sees it.

    Attributes:
        shares: ``(device UUID, lease id, bytes)`` for each device that it is on.
        protected: It goes only for another protected model, or where nothing else helps.
        in_flight: Requests running on it now; it is only ever drained, never killed.
        waiting: Requests queued for it.
        last_used_s: Monotonic seconds at which its last request ended.
        loaded_s: Monotonic seconds at which it was loaded.
        reload_s: Seconds that loading it again would take, as measured or guessed.
        use_probability: How likely it is wanted again soon, 0 to 1.
        prefetched: It was loaded ahead and nobody has asked for it: it goes first, at no cost.
    """

    model: str
    shares: tuple[tuple[str, int, int], ...]
    priority: int = 0
    pinned: bool = False
    protected: bool = False
    in_flight: int = 0
    waiting: int = 0
    last_used_s: float = 0.0
    loaded_s: float = 0.0
    reload_s: float = 1.0
    use_probability: float = 1.0
    prefetched: bool = False

    @property
    def lease_ids(self) -> tuple[int, ...]:
        """All its leases."""
        return tuple(lease_id for _, lease_id, _ in self.shares)

    @property
    def cost_s(self) -> float:
        """Expected seconds lost by evicting it."""
        if self.prefetched:
            return 0.0
        return self.reload_s * (1.0 if self.waiting else self.use_probability)

    def bytes_on(self, device_uuid: str) -> int:
        """What it holds of one device."""
        return sum(size for uuid, _, size in self.shares if uuid == device_uuid)


@dataclass(frozen=True, slots=True)
class Victims:
    """A set that makes enough room.

    Attributes:
        rank: What the policy compares sets on several devices by; the lowest one goes.
    """

    residents: tuple[Resident, ...]
    rank: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Need:
    """Room that is missing on one device.

    Attributes:
        missing_bytes: The least that must come back.
        is_enough: Whether there is room once these are gone. Never true for too few bytes, and
            possibly false for enough of them: reservations and other devices count as well.
    """

    device_uuid: str
    missing_bytes: int
    is_enough: Callable[[Sequence[Resident]], bool]


_ORDERS: dict[str, Callable[[Resident, str], tuple[float, ...]]] = {
    "lru": lambda r, _: (r.last_used_s,),
    "largest": lambda r, uuid: (-r.bytes_on(uuid), r.last_used_s),
    "priority": lambda r, _: (r.priority, r.last_used_s),
}
POLICIES = ("cost", *_ORDERS)


def choose_victims(
    candidates: Sequence[Resident],
    need: Need,
    policy: str,
    below: tuple[float, ...] | None = None,
) -> Victims | None:
    """Enough of ``candidates`` for what is needed; ``None`` if there is not.

    Ties are broken by name, so that the same residents always give the same victims. Where no set
    has a lower rank than ``below``, ``None`` may be returned as well.
    """
    if need.missing_bytes <= 0:
        return None
    if policy == "cost":
        return _cheapest(candidates, need, math.inf if below is None else below[0])
    return _first_to_go(candidates, need, policy, below)


def _cheapest(candidates: Sequence[Resident], need: Need, below_s: float) -> Victims | None:
    """The set of the lowest cost, if it is below the limit; begins with those cheap for size."""
    rows = [(r.cost_s, r.bytes_on(need.device_uuid), r) for r in candidates]
    rows.sort(key=lambda row: (row[0] / max(1, row[1]), row[2].model))
    least_s = need.missing_bytes * rows[0][0] / max(1, rows[0][1]) if rows else 0.0
    if least_s >= below_s or not need.is_enough(candidates):
        return None
    first = _first_enough([r for _, _, r in rows], need)
    return _Search(rows, need, below_s, first).best


def _first_to_go(
    candidates: Sequence[Resident], need: Need, policy: str, below: tuple[float, ...] | None
) -> Victims | None:
    """Those that the policy's order puts first; ranked by the one among them that is last."""
    order, uuid = _ORDERS[policy], need.device_uuid
    rows = [((_standing(r), *order(r, uuid)), r) for r in candidates]
    if below is not None:
        rows = [row for row in rows if row[0] < below]
    going = sorted(rows, key=lambda row: (row[0], row[1].model))
    ordered = [r for _, r in going]
    freed_bytes = sum(r.bytes_on(uuid) for r in ordered)
    if freed_bytes < need.missing_bytes or not need.is_enough(ordered):
        return None
    chosen = _first_enough(ordered, need)
    return Victims(tuple(chosen), max(key for key, r in rows if r in chosen))


def _standing(resident: Resident) -> float:
    """Those loaded ahead go first, those that somebody waits for last."""
    return -1.0 if resident.prefetched else float(resident.waiting > 0)


def _first_enough(ordered: Sequence[Resident], need: Need) -> list[Resident]:
    """As many as are enough, in order, without those that are superfluous then."""
    chosen: list[Resident] = []
    freed_bytes = 0
    for resident in ordered:
        chosen.append(resident)
        freed_bytes += resident.bytes_on(need.device_uuid)
        if freed_bytes >= need.missing_bytes and need.is_enough(chosen):
            break
    return _without_superfluous(chosen, need)


def _without_superfluous(chosen: list[Resident], need: Need) -> list[Resident]:
    """Drop each victim that the others make up for, the one that should go last first."""
    kept = list(chosen)
    freed_bytes = sum(r.bytes_on(need.device_uuid) for r in kept)
    for resident in reversed(chosen):
        left_bytes = freed_bytes - resident.bytes_on(need.device_uuid)
        if left_bytes < need.missing_bytes:
            continue
        rest = [r for r in kept if r is not resident]
        if rest and need.is_enough(rest):
            kept, freed_bytes = rest, left_bytes
    return kept


class _Search:
    """Branch and bound over rows of (cost, bytes, resident), those cheap for their size first.

    A set that still misses bytes costs at least what they cost at the next row's rate: sets that
    can't become cheaper than the best one are left out.
    """

    def __init__(
        self,
        rows: Sequence[tuple[float, int, Resident]],
        need: Need,
        below_s: float,
        first: list[Resident],
    ) -> None:
        self.best: Victims | None = None
        self._need = need
        self._rows = rows
        self._limit_s = below_s
        self._take(first)
        self._after = [0] * (len(rows) + 1)
        for i in reversed(range(len(rows))):
            self._after[i] = self._after[i + 1] + rows[i][1]
        self._nodes = 0
        self._visit(0, need.missing_bytes, 0.0, [])

    def _visit(self, i: int, missing_bytes: int, cost_s: float, chosen: list[Resident]) -> None:
        self._nodes += 1
        if self._nodes > _MAX_NODES or self._least_s(i, missing_bytes, cost_s) >= self._limit_s:
            return
        if missing_bytes <= 0:
            self._nodes += _CHECK_NODES
            if self._need.is_enough(chosen):
                ordered = sorted(chosen, key=lambda r: (r.cost_s, r.model))
                self._take(_without_superfluous(ordered, self._need))
                return
        if i == len(self._rows) or self._after[i] < missing_bytes:
            return
        row_cost_s, size_bytes, resident = self._rows[i]
        left_bytes = missing_bytes - size_bytes
        self._visit(i + 1, left_bytes, cost_s + row_cost_s, [*chosen, resident])
        self._visit(i + 1, missing_bytes, cost_s, chosen)

    def _least_s(self, i: int, missing_bytes: int, cost_s: float) -> float:
        if missing_bytes <= 0 or i == len(self._rows):
            return cost_s
        row_cost_s, size_bytes, _ = self._rows[i]
        return cost_s + missing_bytes * row_cost_s / max(1, size_bytes)

    def _take(self, residents: list[Resident]) -> None:
        cost_s = sum(r.cost_s for r in residents)
        if cost_s < self._limit_s:
            self.best = Victims(tuple(residents), (cost_s,))
            self._limit_s = cost_s
