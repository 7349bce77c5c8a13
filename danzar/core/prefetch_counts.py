"""What loading ahead has brought, and what it cost: the accounts, and the price of a mistake. Pure.

A load ahead is a hit when its model is asked for before it leaves, and wasted otherwise, also where
it was cancelled for something that was asked for. A requested load that nothing foresaw is a miss.

The price says how many loads' worth of waiting one load in vain weighs. It follows what happens:
each wasted load raises it, each hit lowers it, so that in the long run ``max_wasted`` of the loads
are in vain and the others are those that save the most.
"""

import math
from dataclasses import dataclass, field

from danzar.core.prediction import Prediction
from danzar.core.prediction_trust import Source

FIRST_PRICE = 1.6
_LEAST, _MOST = 0.1, 1000.0
_STEP = 0.5


@dataclass(slots=True)
class PrefetchCounts:
    """One model's account, or everyone's.

    Attributes:
        loads: Loads ahead that began.
        hits: Those whose model was asked for in time.
        wasted: Those whose model left unused; ``cancelled`` ones among them.
        kept: How often a model that would have left was kept because it was expected.
        kept_hits: How often it was then asked for.
        misses: Requested loads that nothing foresaw.
        saved_s: Seconds of loading that were over when somebody asked.
        wasted_bytes: What was loaded in vain; of cancelled loads, the part that had come.
    """

    loads: int = 0
    hits: int = 0
    wasted: int = 0
    cancelled: int = 0
    kept: int = 0
    kept_hits: int = 0
    misses: int = 0
    saved_s: float = 0.0
    wasted_bytes: int = 0

    @property
    def wasted_share(self) -> float | None:
        """Wasted ones among those whose fate is known, 0 to 1; ``None`` while there are none."""
        known = self.hits + self.wasted
        return self.wasted / known if known else None

    def add(self, other: "PrefetchCounts") -> None:
        """Take another account's sums into this one."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(frozen=True, slots=True)
class Prefetch:
    """A model that is loaded, or being loaded, ahead of its use. Over with its first request.

    Attributes:
        until_s: When it is given up if nobody asked by then.
        size_bytes: What it takes of its devices.
        load_s: How long its load was expected to take.
        kept: Nothing was loaded for it: it was there already, and would have left.
    """

    model: str
    source: Source
    probability: float
    begun_s: float
    until_s: float
    size_bytes: int
    load_s: float
    reason: str
    kept: bool = False


@dataclass(slots=True)
class PrefetchAccounts:
    """The accounts by model, and the price.

    Attributes:
        price: What one load in vain weighs, in usual loads' seconds of waiting.
    """

    by_model: dict[str, PrefetchCounts] = field(default_factory=dict)
    price: float = FIRST_PRICE

    def of(self, model: str) -> PrefetchCounts:
        """One model's account."""
        return self.by_model.setdefault(model, PrefetchCounts())

    def total(self) -> PrefetchCounts:
        """Everyone's."""
        total = PrefetchCounts()
        for counts in self.by_model.values():
            total.add(counts)
        return total

    def is_worth_it(
        self, probability: float, load_s: float, usual_s: float, max_wasted: float
    ) -> bool:
        """Whether the seconds that a load ahead is expected to save outweigh its risk.

        Args:
            probability: That somebody asks in time.
            load_s: What loading it takes.
            usual_s: What loading a model takes on average.
            max_wasted: The share of loads in vain that is tolerated.
        """
        risk = (1.0 - probability) - max_wasted
        return risk <= 0 or probability * load_s > risk * self.price * usual_s

    def begun(self, prefetch: Prefetch) -> None:
        """A load ahead begins, or a model is kept."""
        counts = self.of(prefetch.model)
        if prefetch.kept:
            counts.kept += 1
        else:
            counts.loads += 1

    def hit(self, prefetch: Prefetch, now_s: float, max_wasted: float) -> None:
        """Its model was asked for."""
        counts = self.of(prefetch.model)
        if prefetch.kept:
            counts.kept_hits += 1
            return
        counts.hits += 1
        counts.saved_s += min(prefetch.load_s, max(0.0, now_s - prefetch.begun_s))
        self._move_price(-max_wasted)

    def wasted(self, prefetch: Prefetch, loaded_bytes: int, max_wasted: float) -> None:
        """Its model left unused."""
        if prefetch.kept:
            return
        counts = self.of(prefetch.model)
        counts.wasted += 1
        counts.cancelled += loaded_bytes < prefetch.size_bytes
        counts.wasted_bytes += loaded_bytes
        self._move_price(1.0 - max_wasted)

    def _move_price(self, by: float) -> None:
        self.price = min(_MOST, max(_LEAST, self.price * math.exp(_STEP * by)))


@dataclass(slots=True)
class Outlook:
    """What was seen when the scheduler last looked ahead. Only ``look_ahead`` changes it.

    Attributes:
        predicted: By model, for those that are not loaded or not used yet.
        next_look_s: Not looked again before, unless something happened.
        paused_until_s: By model: not loaded ahead before.
        checked: What the last test of being in the way was made from.
    """

    predicted: dict[str, Prediction] = field(default_factory=dict)
    next_look_s: float = 0.0
    paused_until_s: dict[str, float] = field(default_factory=dict)
    checked: object = None
