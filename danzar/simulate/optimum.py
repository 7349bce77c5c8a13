"""The fewest load seconds that any planner could have spent on the same requests. Pure.

It knows the future: for the requests in the order in which they were served on GPUs, it searches
all contents of the cards, and lets models go only when room is needed (earlier never helps). What
it leaves out makes it a bound from below: loads and requests take no time, other programs hold the
least that they ever held, nothing is kept for a purpose, and idle models may stay.

Exact as long as the search stays small. Where it would not, the cards are taken as one with all
their memory, and the requests are cut into windows: in each of them the first load of every model
is free. A planner that knew the future would spend at least the sum over the windows.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

MOST_STATES = 20_000
_COMPARED = 8

Masks = tuple[int, ...]
"""For each card the models on it, one bit each."""


@dataclass(frozen=True, slots=True)
class Item:
    """A model as the cards see it."""

    size_bytes: int
    load_s: float


@dataclass(frozen=True, slots=True)
class Bound:
    """Seconds that had to be spent.

    Attributes:
        exact: The search covered these cards and requests; else it is a bound from below.
        windows: Into how many the requests were cut; 1 when they were not.
    """

    seconds: float
    exact: bool
    windows: int


def least_load_s(
    served: Sequence[str],
    items: Mapping[str, Item],
    capacities_bytes: Sequence[int],
    most_states: int = MOST_STATES,
) -> Bound:
    """The optimum for these requests, or a bound where it is too much to search.

    Args:
        served: Models in the order in which requests for them started.
        items: Each of those models; one larger than any card may be divided over all.
        capacities_bytes: What each card has for models.
        most_states: Contents of the cards that are looked at before it counts as too much.
    """
    largest = max(capacities_bytes, default=0)
    if all(items[name].size_bytes <= largest for name in set(served)):
        whole = _Search(items, capacities_bytes, most_states).run(served)
        if whole.windows == 1:
            return whole
    pooled = _Search(items, (sum(capacities_bytes),), most_states).run(served)
    return Bound(pooled.seconds, False, pooled.windows) if len(capacities_bytes) > 1 else pooled


class _Search:
    """Dynamic programming over the contents of the cards."""

    def __init__(
        self, items: Mapping[str, Item], capacities_bytes: Sequence[int], most_states: int
    ) -> None:
        self._names = sorted(items)
        self._bit = {name: i for i, name in enumerate(self._names)}
        self._items = [items[name] for name in self._names]
        self._capacities = tuple(capacities_bytes)
        self._most_states = most_states
        self._kept: dict[tuple[int, int, int], tuple[int, ...]] = {}
        self._load_s: dict[int, float] = {}

    def run(self, served: Sequence[str]) -> Bound:
        """Serve them all, window by window."""
        empty: Masks = (0,) * len(self._capacities)
        costs, past_s, windows = {empty: 0.0}, 0.0, 1
        free = 0
        before: str | None = None
        for name in served:
            if name == before:
                continue
            before = name
            bit = self._bit[name]
            load_s = 0.0 if free >> bit & 1 else self._items[bit].load_s
            free &= ~(1 << bit)
            costs = self._prune(self._serve(costs, bit, load_s))
            if len(costs) > self._most_states:
                past_s += min(costs.values())
                costs, windows, free = {empty: 0.0}, windows + 1, (1 << len(self._names)) - 1
        return Bound(past_s + min(costs.values()), windows == 1, windows)

    def _serve(self, costs: Mapping[Masks, float], bit: int, load_s: float) -> dict[Masks, float]:
        """The states in which the model is on a card, and what it cost to get there."""
        after: dict[Masks, float] = {}
        for masks, cost_s in costs.items():
            if any(mask >> bit & 1 for mask in masks):
                after[masks] = min(cost_s, after.get(masks, cost_s))
                continue
            for loaded in self._load(masks, bit):
                total_s = cost_s + load_s
                after[loaded] = min(total_s, after.get(loaded, total_s))
        return after

    def _load(self, masks: Masks, bit: int) -> Iterator[Masks]:
        for card, mask in enumerate(masks):
            for kept in self._may_stay(card, mask, bit):
                yield self._canonical((*masks[:card], kept | 1 << bit, *masks[card + 1 :]))

    def _may_stay(self, card: int, mask: int, bit: int) -> tuple[int, ...]:
        """The largest parts of ``mask`` that leave room for the model."""
        room = self._capacities[card] - self._items[bit].size_bytes
        key = (self._capacities[card], mask, bit)
        if key not in self._kept:
            self._kept[key] = () if room < 0 else tuple(self._largest_parts(mask, room))
        return self._kept[key]

    def _largest_parts(self, mask: int, room: int) -> list[int]:
        if self._size(mask) <= room:
            return [mask]
        parts = {
            part
            for i in range(len(self._items))
            if mask >> i & 1
            for part in self._largest_parts(mask & ~(1 << i), room)
        }
        return [p for p in parts if not any(p != q and p & q == p for q in parts)]

    def _prune(self, costs: dict[Masks, float]) -> dict[Masks, float]:
        """Without the states that another one could become for less than they cost more."""
        best = sorted(costs.items(), key=lambda x: (x[1], x[0]))[:_COMPARED]
        return {
            masks: cost_s
            for masks, cost_s in costs.items()
            if not any(
                (other_s, other) < (cost_s, masks) and self._beats(other, other_s, masks, cost_s)
                for other, other_s in best
            )
        }

    def _beats(self, other: Masks, other_s: float, masks: Masks, cost_s: float) -> bool:
        """Whether loading what the other state lacks makes it as good; moves count as loads."""
        missing_s = sum(self._loads_s(b & ~a) for a, b in zip(other, masks, strict=True))
        return other_s + missing_s <= cost_s

    def _loads_s(self, mask: int) -> float:
        if mask not in self._load_s:
            self._load_s[mask] = sum(x.load_s for i, x in enumerate(self._items) if mask >> i & 1)
        return self._load_s[mask]

    def _size(self, mask: int) -> int:
        return sum(x.size_bytes for i, x in enumerate(self._items) if mask >> i & 1)

    def _canonical(self, masks: Masks) -> Masks:
        """Cards of one size may be swapped."""
        if len(set(self._capacities)) == 1:
            return tuple(sorted(masks))
        return masks
