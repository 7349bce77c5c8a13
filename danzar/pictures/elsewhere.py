"""Which model of which machine makes pictures where this one can't. Pure."""

from collections.abc import Iterable
from typing import Protocol

_FITS = ("loaded", "free", "evict")


class KnownModel(Protocol):
    """The part of ``danzar.nodes.state.NodeModel`` that decides."""

    @property
    def name(self) -> str:
        """As in ``models.yaml``."""
        ...

    @property
    def role(self) -> str:
        """What it is for."""
        ...

    @property
    def fit(self) -> str:
        """What it takes to answer with it there: loaded, free, evict, never."""
        ...

    @property
    def degraded(self) -> bool:
        """It would answer worse than configured."""
        ...

    @property
    def card_bytes(self) -> int:
        """Capacity of the card it is on or would go to; 0 for host RAM."""
        ...


def model_elsewhere(role: str, others: Iterable[Iterable[KnownModel]]) -> str | None:
    """The model of this role that other machines serve best; ``None``: none of them can."""
    found = [m for models in others for m in models if m.role == role and m.fit in _FITS]
    if not found:
        return None
    return min(found, key=_rank).name


def _rank(model: KnownModel) -> tuple[bool, int, int, str]:
    return (model.degraded, _FITS.index(model.fit), -model.card_bytes, model.name)
