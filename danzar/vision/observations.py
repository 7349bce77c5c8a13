"""What the vision models saw, as typed facts. Boxes are pixels of the original picture."""

from dataclasses import dataclass, field

IntBox = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Detection:
    """One object: label, confidence 0 to 1, and ``(x1, y1, x2, y2)``."""

    label: str
    confidence: float
    box: IntBox


@dataclass(frozen=True, slots=True)
class Insight:
    """How well a concept describes the whole picture, 0 to 1."""

    concept: str
    score: float


@dataclass(frozen=True, slots=True)
class TextLine:
    """One line that OCR read."""

    text: str
    confidence: float
    box: IntBox


@dataclass(frozen=True, slots=True)
class Hud:
    """Numbers read off the game's display; ``None`` means not seen, which is not zero."""

    health: int | None = None
    armor: int | None = None
    ammo: int | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything seen in one picture.

    Attributes:
        width: Of the original picture, pixels.
        height: Of the original picture, pixels.
        device: Where the detector ran, as people are told it.
        seconds: Per stage (``decode``, ``detect``, ``rank``, ``read``), for the person and the log.
        notes: Degradations, one sentence each (``CLIP is off: ...``).
    """

    width: int
    height: int
    detections: tuple[Detection, ...]
    insights: tuple[Insight, ...]
    text: tuple[TextLine, ...]
    hud: Hud
    device: str
    seconds: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
