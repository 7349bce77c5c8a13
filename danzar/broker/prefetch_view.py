"""What loading ahead has brought, as people see it: a frozen copy of the accounts. Pure."""

from dataclasses import dataclass, replace

from danzar.core.prefetch import usual_load_s
from danzar.core.prefetch_counts import PrefetchCounts
from danzar.core.state import State


@dataclass(frozen=True, slots=True)
class AheadView:
    """A model that is loaded ahead now.

    Attributes:
        kept: It was there already, and stays because it is expected.
        left_s: Until it is given up, unless it is still expected then.
    """

    model: str
    reason: str
    probability: float
    kept: bool
    left_s: float


@dataclass(frozen=True, slots=True)
class ExpectedView:
    """A model that is not loaded and may be asked for.

    Attributes:
        probability: Of a use within ``window_s``.
        soon: Of a use within the lookahead.
    """

    model: str
    source: str
    reason: str
    probability: float
    soon: float
    window_s: float


@dataclass(frozen=True, slots=True)
class PrefetchView:
    """Everything about loading ahead at one instant.

    Attributes:
        by_model: For each model that ever was loaded ahead, or missed.
        price_s: How many seconds of waiting one load in vain weighs.
        max_wasted: The share of loads in vain that is aimed at.
    """

    enabled: bool
    total: PrefetchCounts
    by_model: tuple[tuple[str, PrefetchCounts], ...]
    ahead: tuple[AheadView, ...]
    expected: tuple[ExpectedView, ...]
    price_s: float
    max_wasted: float


def prefetch_view(state: State, now_s: float) -> PrefetchView:
    """The accounts as they are now; the likeliest models first."""
    accounts, rules = state.prefetches, state.rules.prediction
    ahead = [i.prefetch for i in state.instances.values() if i.prefetch is not None]
    there = {prefetch.model for prefetch in ahead}
    expected = [p for p in state.outlook.predicted.values() if p.model not in there]
    return PrefetchView(
        enabled=rules.enabled,
        total=accounts.total(),
        by_model=tuple((name, replace(c)) for name, c in sorted(accounts.by_model.items())),
        ahead=tuple(
            AheadView(p.model, p.reason, p.probability, p.kept, max(0.0, p.until_s - now_s))
            for p in ahead
        ),
        expected=tuple(
            ExpectedView(p.model, p.source, p.reason, p.probability, p.soon, p.window_s)
            for p in sorted(expected, key=lambda p: (-p.probability, p.model))
        ),
        price_s=accounts.price * usual_load_s(state),
        max_wasted=rules.max_wasted,
    )
