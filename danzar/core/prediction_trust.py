"""How far each source of predictions is to be believed, learned from what came true. Pure.

Every prediction above ``LEAST`` for a model that is not loaded is remembered, whether or not
something was loaded for it: it came true if the model was used in time. The share that came true,
beside the share that was promised, corrects the source's next promises.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class Source(StrEnum):
    """Where a prediction comes from."""

    HOUR = "hour"
    """At this time of day it is used."""
    RHYTHM = "rhythm"
    """Its own gaps and its rate of the past hour."""
    AFTER = "after"
    """Another model that is followed by it is in use."""
    HINT = "hint"
    """Somebody types, uploads, watches or joins a voice channel."""


LEAST = 0.2
_FADE = 0.97
# So many predictions that kept their promise are imagined before the first real one.
_PRIOR = 4.0
_MOST = 1.25


@dataclass(slots=True)
class Record:
    """What a source promised, and what came true; both faded."""

    promised: float = 0.0
    kept: float = 0.0

    @property
    def trust(self) -> float:
        """What its promises are to be multiplied by."""
        return min(_MOST, (self.kept + _PRIOR) / (self.promised + _PRIOR))


@dataclass(slots=True)
class Forecasts:
    """All sources' records, and the predictions whose time has not come yet.

    Attributes:
        open: By model and source: ``(probability, until when)``.
    """

    records: dict[Source, Record] = field(default_factory=dict)
    open: dict[tuple[str, Source], tuple[float, float]] = field(default_factory=dict)

    def trust(self, source: Source) -> float:
        """What a source's promises are to be multiplied by."""
        record = self.records.get(source)
        return 1.0 if record is None else record.trust

    def note(self, model: str, source: Source, probability: float, until_s: float) -> None:
        """A model is predicted; a prediction that is open already stands."""
        if probability >= LEAST:
            self.open.setdefault((model, source), (probability, until_s))

    def note_use(self, model: str, now_s: float) -> None:
        """A model was used: what predicted it was right."""
        for source in Source:
            found = self.open.pop((model, source), None)
            if found is not None:
                self._resolve(source, found[0], kept=now_s <= found[1])

    def expire(self, now_s: float) -> None:
        """Predictions whose time has passed were wrong."""
        late = [key for key, (_, until_s) in self.open.items() if now_s > until_s]
        for model, source in late:
            probability, _ = self.open.pop((model, source))
            self._resolve(source, probability, kept=False)

    def _resolve(self, source: Source, probability: float, *, kept: bool) -> None:
        record = self.records.setdefault(source, Record())
        record.promised = record.promised * _FADE + probability
        record.kept = record.kept * _FADE + kept
