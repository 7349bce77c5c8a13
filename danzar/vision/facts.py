"""What was seen, in words: for the chat model, and for the person. Pure.

Numbers that were measured are in the text made here, so that the answer has them however small the
chat model is: it only phrases.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from danzar.config.profile import HudField, HudName
from danzar.vision.content_words import content_words
from danzar.vision.observations import Detection, Hud, IntBox, Observation
from danzar.vision.stages import DETECT

_NEAR = 0.45
_FAR = 0.15
_ON_DISPLAY = frozenset({"health_bar", "minimap"})
_THIRDS = ((1 / 3, "left"), (2 / 3, "middle"), (1.0, "right"))
_LONGEST_TEXT = 200
_MOST_OF_A_KIND = 4
_ABOUT_TEXT = frozenset({"text", "read", "written", "say", "word", "sign", "write"})


def facts(
    observation: Observation,
    fields: Mapping[HudName, HudField],
    limits: Mapping[str, int],
    question: str = "",
) -> tuple[str, ...]:
    """Short sentences for the chat model: what was asked for first, then the measured numbers.

    Args:
        observation: What people are told of.
        fields: The profile's display numbers.
        limits: Under which each number counts as low.
        question: A number that could not be read, and the text in the picture, are told only where
            it asks for them: small models are led astray by what does not matter.
    """
    told = (
        *_hud_facts(observation.hud, fields, limits, question),
        *_detection_facts(observation),
        *(f"The scene is {i.concept}, {i.score:.0%} sure." for i in observation.insights[:3]),
        *(_text_facts(observation) if content_words(question) & _ABOUT_TEXT else ()),
    )
    asked = content_words(question)
    return tuple(sorted(told, key=lambda sentence: not asked & content_words(sentence)))


def measured_answer(sentences: Sequence[str], question: str) -> str | None:
    """The sentences that share a word with the question, or ``None``.

    Shown before the chat model's own words, so that what was asked is answered by what was
    measured even where a small model phrases it wrongly.
    """
    asked = content_words(question)
    matching = [sentence for sentence in sentences if asked & content_words(sentence)]
    return " ".join(matching[:_MOST_OF_A_KIND]) or None


def hud_line(
    observation: Observation, fields: Mapping[HudName, HudField], limits: Mapping[str, int]
) -> str | None:
    """``Health 34 (low: below 40) · Ammo 12 · Armor not read``; ``None`` without such a display."""
    parts = [_hud_part(name, _number(observation.hud, name), limits) for name in fields]
    return " · ".join(parts) or None


def seen_line(observation: Observation) -> str:
    """``enemy 93% (left, near), boss 71% (right)``."""
    found = [f"{_plain(d.label)} {d.confidence:.0%}{_where(d, observation)}"
             for d in observation.detections]  # fmt: skip
    if DETECT not in observation.seconds:
        return "objects were not looked for"
    return ", ".join(found) or "nothing that I know"


def scene_line(observation: Observation) -> str | None:
    """``a boss fight 81%, a corridor 12%``; ``None`` where no concept fits well enough."""
    return ", ".join(f"{i.concept} {i.score:.0%}" for i in observation.insights) or None


def text_line(observation: Observation) -> str | None:
    """All text that was read, cut at 200 characters; ``None`` where there is none."""
    text = " | ".join(line.text for line in observation.text)
    if not text:
        return None
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"


def place_of(box: IntBox, width: int, height: int) -> str:
    """Where a box's centre lies: ``left``, ``top right``, ``bottom middle``, ``middle``."""
    across = _third((box[0] + box[2]) / 2 / width)
    middle = (box[1] + box[3]) / 2 / height
    if middle < 1 / 3:
        return f"top {across}"
    return f"bottom {across}" if middle > 2 / 3 else across


def distance_of(box: IntBox, height: int) -> str | None:
    """``near`` or ``far`` by the box's share of the picture's height; ``None`` in between."""
    share = (box[3] - box[1]) / height
    if share >= _NEAR:
        return "near"
    return "far" if share <= _FAR else None


def _hud_facts(
    hud: Hud, fields: Mapping[HudName, HudField], limits: Mapping[str, int], question: str
) -> Iterator[str]:
    for name in fields:
        number = _number(hud, name)
        if number is not None or name in content_words(question):
            yield _hud_fact(name, number, limits)


def _hud_fact(name: str, number: int | None, limits: Mapping[str, int]) -> str:
    if number is None:
        return f"{name.capitalize()} could not be read."
    limit = limits.get(name)
    if limit is None:
        return f"{name.capitalize()} is {number}."
    state = "low" if number < limit else "not low"
    return f"{name.capitalize()} is {number}, which is {state}."


def _hud_part(name: str, number: int | None, limits: Mapping[str, int]) -> str:
    if number is None:
        return f"{name.capitalize()} not read"
    limit = limits.get(name)
    low = f" (low: below {limit})" if limit is not None and number < limit else ""
    return f"{name.capitalize()} {number}{low}"


def _number(hud: Hud, name: str) -> int | None:
    number: int | None = getattr(hud, name)
    return number


def _detection_facts(observation: Observation) -> Iterator[str]:
    if not observation.detections and DETECT in observation.seconds:
        yield "No known object is in the picture."
    by_label = sorted(observation.detections, key=lambda d: (d.label, -d.confidence))
    for label, group in groupby(by_label, key=lambda d: d.label):
        found = list(group)
        places = "; ".join(_placecontent_words(d, observation) for d in found[:_MOST_OF_A_KIND])
        yield f"{_how_many(_plain(label), len(found))} {places}."


def _how_many(name: str, count: int) -> str:
    if count == 1:
        return f"{'An' if name[0] in 'aeiou' else 'A'} {name} is seen"
    return f"{count} {_plural(name)} are seen:"


def _plural(name: str) -> str:
    if name.endswith("y"):
        return f"{name[:-1]}ies"
    return f"{name}es" if name.endswith("s") else f"{name}s"


def _text_facts(observation: Observation) -> Iterator[str]:
    text = text_line(observation)
    if text is not None:
        yield f"Text in the picture: {text}"


def _placecontent_words(found: Detection, observation: Observation) -> str:
    words: Sequence[str | None] = (
        f"on the {place_of(found.box, observation.width, observation.height)}",
        _distance(found, observation),
        f"{found.confidence:.0%} sure",
    )
    return ", ".join(word for word in words if word)


def _where(found: Detection, observation: Observation) -> str:
    place = place_of(found.box, observation.width, observation.height)
    distance = _distance(found, observation)
    return f" ({place}, {distance})" if distance else f" ({place})"


def _distance(found: Detection, observation: Observation) -> str | None:
    if found.label in _ON_DISPLAY:
        return None
    return distance_of(found.box, observation.height)


def _third(fraction: float) -> str:
    return next((name for end, name in _THIRDS if fraction <= end), "right")


def _plain(label: str) -> str:
    return label.replace("_", " ")
