"""Which loaded models go when room is needed. Pure.

``cost`` finds the cheapest set that is enough: the sum of reload seconds x probability that the
model is wanted again soon. It is exact for the few candidates that a device usually has; past
``_MAX_NODES`` steps of the search the best set found so far is taken. The other policies take
models in their order until there is enough, and then spare those that turned out superfluous.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

_MAX_NODES = 400


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

    @property
    def lease_ids(self) -> tuple[int, ...]:
        """All its leases."""
        return tuple(lease_id for _, lease_id, _ in self.shares)

    @property
    def cost_s(self) -> float:
        """Expected seconds lost by evicting it."""
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


IsEnough = Callable[[Sequence[Resident]], bool]
"""Whether the device has enough room once these are gone."""

_ORDERS: dict[str, Callable[[Resident, str], tuple[float, ...]]] = {
    "lru": lambda r, _: (r.last_used_s,),
    "largest": lambda r, uuid: (-r.bytes_on(uuid), r.last_used_s),
    "priority": lambda r, _: (r.priority, r.last_used_s),
}
POLICIES = ("cost", *_ORDERS)


def choose_victims(
    candidates: Sequence[Resident],
    device_uuid: str,
    missing_bytes: int,
    is_enough: IsEnough,
    policy: str,
) -> Victims | None:
    """Enough of ``candidates`` for ``missing_bytes`` on the device; ``None`` if there is not.

    Ties are broken by name, so that the same residents always give the same victims.
    """
    if missing_bytes <= 0 or sum(r.bytes_on(device_uuid) for r in candidates) < missing_bytes:
        return None
    first = _greedy(candidates, device_uuid, is_enough, policy)
    if first is None or policy != "cost":
        return first
    return _Search(candidates, device_uuid, missing_bytes, is_enough, first).best


def _greedy(
    candidates: Sequence[Resident], device_uuid: str, is_enough: IsEnough, policy: str
) -> Victims | None:
    chosen: list[Resident] = []
    for resident in sorted(candidates, key=_order_of(policy, device_uuid)):
        chosen.append(resident)
        if is_enough(chosen):
            return _ranked(_without_superfluous(chosen, is_enough), device_uuid, policy)
    return None


def _order_of(policy: str, device_uuid: str) -> Callable[[Resident], tuple[float | str, ...]]:
    if policy == "cost":
        return lambda r: (r.cost_s / max(1, r.bytes_on(device_uuid)), r.model)
    order = _ORDERS[policy]
    return lambda r: (float(r.waiting > 0), *order(r, device_uuid), r.model)


def _without_superfluous(chosen: list[Resident], is_enough: IsEnough) -> list[Resident]:
    """Drop each victim that the others make up for, the one that should go last first."""
    kept = list(chosen)
    for resident in reversed(chosen):
        rest = [r for r in kept if r is not resident]
        if rest and is_enough(rest):
            kept = rest
    return kept


def _ranked(residents: Sequence[Resident], device_uuid: str, policy: str) -> Victims:
    """By the sum of costs; under the other policies, by the victim that should go last."""
    chosen = tuple(residents)
    if policy == "cost":
        return Victims(chosen, (sum(r.cost_s for r in chosen),))
    order = _ORDERS[policy]
    return Victims(chosen, max((float(r.waiting > 0), *order(r, device_uuid)) for r in chosen))


class _Search:
    """Branch and bound over the candidates, the largest first."""

    def __init__(
        self,
        candidates: Sequence[Resident],
        device_uuid: str,
        missing_bytes: int,
        is_enough: IsEnough,
        first: Victims,
    ) -> None:
        self.best = first
        self._order = sorted(candidates, key=lambda r: (-r.bytes_on(device_uuid), r.model))
        self._sizes = [r.bytes_on(device_uuid) for r in self._order]
        self._after = [0] * (len(self._sizes) + 1)
        for i in reversed(range(len(self._sizes))):
            self._after[i] = self._after[i + 1] + self._sizes[i]
        self._is_enough = is_enough
        self._nodes = 0
        self._visit(0, missing_bytes, 0.0, [])

    def _visit(self, i: int, missing_bytes: int, cost_s: float, chosen: list[Resident]) -> None:
        self._nodes += 1
        if self._nodes > _MAX_NODES or cost_s >= self.best.rank[0]:
            return
        if missing_bytes <= 0 and self._is_enough(chosen):
            chosen.sort(key=lambda r: (r.cost_s, r.model))
            kept = _without_superfluous(chosen, self._is_enough)
            self.best = Victims(tuple(kept), (sum(r.cost_s for r in kept),))
            return
        if i == len(self._order) or self._after[i] < missing_bytes:
            return
        resident = self._order[i]
        taken_s = cost_s + resident.cost_s
        self._visit(i + 1, missing_bytes - self._sizes[i], taken_s, [*chosen, resident])
        self._visit(i + 1, missing_bytes, cost_s, chosen)
