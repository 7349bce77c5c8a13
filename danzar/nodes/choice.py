"""Which node should take a model's jobs: pure values in, seconds of waiting out.

Each node decides for itself from what all of them say. The best one takes a job at once; the others
give it a head start, one more for each node that is better. So an idle queue goes to the best node,
a backlog is shared by all, and a node that says nothing more holds nobody back.
"""

import math
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

_EVICTION_STARTS = 5  # head starts more, before models leave for what another node has room for


class Fit(StrEnum):
    """What it takes to answer with a model on a node."""

    LOADED = "loaded"
    FREE = "free"
    EVICT = "evict"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Offer:
    """What one living node that takes jobs says about one model.

    Attributes:
        card_bytes: Capacity of the card it is on or would go to; 0 for host RAM.
        degraded: It would answer worse than configured.
    """

    node: str
    fit: Fit
    card_bytes: int = 0
    degraded: bool = False


# Best first. Whole on a card after an idle model left is better than at once in part or on the CPU.
_ORDER = (
    (Fit.LOADED, False),
    (Fit.FREE, False),
    (Fit.LOADED, True),
    (Fit.EVICT, False),
    (Fit.FREE, True),
    (Fit.EVICT, True),
)
Rank = tuple[int, int, int]


def rank(model: str, offer: Offer) -> Rank:
    """The smaller, the better: has it, has room for it (on the weakest card that does), makes room.

    Two that have it loaded are equally good. Of equal cards, a hash of names decides, so that all
    nodes agree, and models spread over machines that are alike.
    """
    if offer.fit is Fit.NEVER:
        return (len(_ORDER), 0, 0)
    step = _ORDER.index((offer.fit, offer.degraded))
    if offer.fit is Fit.LOADED:
        return (step, 0, 0)
    return (step, offer.card_bytes, zlib.crc32(f"{model} {offer.node}".encode()))


def ranked(model: str, offers: Iterable[Offer]) -> tuple[Offer, ...]:
    """All offers, best first."""
    return tuple(sorted(offers, key=lambda offer: (rank(model, offer), offer.node)))


def hold_back_s(
    model: str, mine: Offer, others: Iterable[Offer], *, head_start_s: float, patience_s: float
) -> float:
    """How long the model's oldest job must have waited before this node may take one.

    Args:
        model: Which model.
        mine: What this node has for it.
        others: What the other living nodes have that take jobs and know the model.
        head_start_s: For each node that is better.
        patience_s: Where no node can place it: how long to hope, before it is refused with numbers.

    Returns:
        0 for the best; infinity where this node can't place it and a living one can.
    """
    able = [offer for offer in others if offer.fit is not Fit.NEVER]
    if mine.fit is Fit.NEVER:
        return math.inf if able else patience_s
    own = rank(model, mine)
    better = sum(rank(model, offer) < own for offer in able)
    starts = better + (_EVICTION_STARTS if better and mine.fit is Fit.EVICT else 0)
    return starts * head_start_s
