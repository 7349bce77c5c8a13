"""Signs that somebody is about to ask: typing, an upload, a watch command, a voice channel. Pure.

How much a sign is worth is learned for each kind and model: of those given, how many were followed
by a use while they lasted.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class HintKind(StrEnum):
    """What was seen."""

    TYPING = "typing"
    UPLOAD = "upload"
    WATCH = "watch"
    VOICE = "voice"


LASTS_S: dict[HintKind, float] = {
    HintKind.TYPING: 90.0,
    HintKind.UPLOAD: 120.0,
    HintKind.WATCH: 60.0,
    HintKind.VOICE: 900.0,
}
# What a sign is believed to be worth before any was seen, as a probability: enough to try it.
_BELIEVED: dict[HintKind, float] = {
    HintKind.TYPING: 0.9,
    HintKind.UPLOAD: 0.9,
    HintKind.WATCH: 0.95,
    HintKind.VOICE: 0.4,
}
# The belief counts as so many signs that were seen.
_PRIOR = 3.0
_FADE = 0.98


@dataclass(slots=True)
class HintRecord:
    """Signs of one kind for one model.

    Attributes:
        given: How many came to an end, faded.
        followed: How many of them were followed by a use, faded.
        until_s: When the one that lasts now ends; ``None`` while there is none.
    """

    given: float = 0.0
    followed: float = 0.0
    until_s: float | None = None

    def probability(self, kind: HintKind) -> float:
        """What such a sign is worth."""
        return (self.followed + _PRIOR * _BELIEVED[kind]) / (self.given + _PRIOR)

    def end(self, *, followed: bool) -> None:
        """The sign came to its end."""
        self.given = self.given * _FADE + 1.0
        self.followed = self.followed * _FADE + followed
        self.until_s = None


@dataclass(slots=True)
class Hints:
    """All signs, by model and kind."""

    records: dict[tuple[str, HintKind], HintRecord] = field(default_factory=dict)

    def note(self, model: str, kind: HintKind, now_s: float) -> None:
        """A sign was seen; one that lasts already lasts longer."""
        record = self.records.setdefault((model, kind), HintRecord())
        if record.until_s is not None and now_s > record.until_s:
            record.end(followed=False)
        record.until_s = now_s + LASTS_S[kind]

    def note_use(self, model: str, now_s: float) -> None:
        """A model was used: signs that last were right."""
        for (name, _), record in self.records.items():
            if name == model and record.until_s is not None:
                record.end(followed=now_s <= record.until_s)

    def best(self, model: str, now_s: float) -> tuple[HintKind, float, float] | None:
        """The strongest sign that lasts: ``(kind, probability, until when)``."""
        found = []
        for (name, kind), record in self.records.items():
            if name != model or record.until_s is None:
                continue
            if now_s > record.until_s:
                record.end(followed=False)
            else:
                found.append((kind, record.probability(kind), record.until_s))
        return max(found, key=lambda row: row[1], default=None)
