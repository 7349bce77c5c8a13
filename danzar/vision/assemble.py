"""One observation out of what each model said about a scaled-down picture. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from danzar.config.profile import HudField, HudName
from danzar.vision.batcher import Answer
from danzar.vision.geometry import overlap, scale_box
from danzar.vision.hud import lies_in, read_hud
from danzar.vision.observations import Detection, Insight, IntBox, Observation, TextLine
from danzar.vision.stages import DETECT
from danzar.workers.contract import (
    Box,
    BoxLabel,
    DetectedObject,
    Picture,
    RankedConcept,
    ReadLine,
)

_SURE_ENOUGH_TEXT = 0.5
_SAME_PLACE = 0.6


@dataclass(frozen=True, slots=True)
class Scale:
    """A picture as the models get it, and the size of its original in pixels."""

    picture: Picture
    original_width: int
    original_height: int

    def to_original(self, box: Box) -> IntBox:
        """The box in whole pixels of the original."""
        width, height = self.original_width, self.original_height
        factors = width / self.picture.width, height / self.picture.height
        return scale_box(box, *factors, width, height)


@dataclass(frozen=True, slots=True)
class Readings:
    """What the models said; ``None`` in ``answers`` for a stage that did not run."""

    answers: Mapping[str, Answer[Any] | None]
    objects: tuple[DetectedObject, ...]
    concepts: tuple[RankedConcept, ...]
    lines: tuple[ReadLine, ...]


def assemble(
    scale: Scale, readings: Readings, hud: Mapping[HudName, HudField], notes: Sequence[str]
) -> Observation:
    """The observation, in pixels of the original picture."""
    width, height = scale.original_width, scale.original_height
    lines = to_lines(scale, readings.lines)
    on_display = [
        line
        for line in lines
        if any(lies_in(line.box, field.region, width, height) for field in hud.values())
    ]
    answered = {stage: answer for stage, answer in readings.answers.items() if answer is not None}
    return Observation(
        width=width,
        height=height,
        detections=tuple(
            Detection(found.label, found.confidence, scale.to_original(found.box))
            for found in readings.objects
        ),
        insights=tuple(Insight(fit.concept, fit.score) for fit in readings.concepts),
        text=without_repeats(lines, on_display),
        hud=read_hud(lines, hud, width, height),
        device=_device(answered),
        seconds={stage: answer.seconds for stage, answer in answered.items()},
        notes=(*notes, *_degradations(answered)),
    )


def to_lines(scale: Scale, lines: Sequence[ReadLine]) -> list[TextLine]:
    """What was read surely enough, in pixels of the original."""
    return [
        TextLine(line.text, line.confidence, scale.to_original(line.box))
        for line in lines
        if line.confidence >= _SURE_ENOUGH_TEXT
    ]


def without_repeats(
    lines: Sequence[TextLine], preferred: Sequence[TextLine]
) -> tuple[TextLine, ...]:
    """The lines top to bottom, one of those that lie on the same place.

    That is a preferred one (from the display's regions, which are read enlarged), else the surest.
    """
    kept: list[TextLine] = []
    for line in sorted(lines, key=lambda line: (line not in preferred, -line.confidence)):
        if all(overlap(line.box, other.box) < _SAME_PLACE for other in kept):
            kept.append(line)
    return tuple(sorted(kept, key=lambda line: (line.box[1], line.box[0])))


def boxes_to_draw(observation: Observation, picture: Picture) -> tuple[BoxLabel, ...]:
    """The detections' boxes in pixels of ``picture``, which may be scaled."""
    factor_x = picture.width / observation.width
    factor_y = picture.height / observation.height
    return tuple(
        BoxLabel(
            scale_box(found.box, factor_x, factor_y, picture.width, picture.height),
            f"{found.label} {found.confidence:.0%}",
            found.label,
        )
        for found in observation.detections
    )


def _device(answered: Mapping[str, Answer[Any]]) -> str:
    """Where the detector ran; without one, where the others did."""
    answer = answered.get(DETECT) or next(iter(answered.values()))
    return answer.placed.device_text


def _degradations(answered: Mapping[str, Answer[Any]]) -> list[str]:
    told = (answer.placed.degraded for answer in answered.values())
    return list(dict.fromkeys(reason for reason in told if reason))
