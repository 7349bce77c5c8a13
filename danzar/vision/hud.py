"""Numbers on a game's display, out of the lines that OCR read. Pure."""

import re
from collections.abc import Mapping, Sequence

from danzar.config.profile import HudField, HudName
from danzar.vision.geometry import area, shared_area
from danzar.vision.observations import Hud, TextLine
from danzar.workers.contract import Box

# Letters that OCR reads for digits.
_LOOK_ALIKES = str.maketrans("OoQDlIi|!ZzSsBg", "000011111225589")
_MOST = 0.8
_SAFE_ALONE = frozenset("OolI|")
_WORD = re.compile(r"[^\s%/:,.;]+")


def read_hud(
    lines: Sequence[TextLine], fields: Mapping[HudName, HudField], width: int, height: int
) -> Hud:
    """Each field's number, from the lines that lie in its region.

    The surest line wins. A number outside ``minimum`` to ``maximum`` counts as not seen.
    """
    found = {
        name: _read_field(
            [line for line in lines if lies_in(line.box, field.region, width, height)], field
        )
        for name, field in fields.items()
    }
    return Hud(**found)


def lies_in(box: Box, region: Box, width: int, height: int) -> bool:
    """Whether most of the box lies in the region (fractions of the picture).

    Its centre alone would not do: where OCR reads two neighbouring numbers as one line, ammo 50 and
    health 67% become ``5067%`` with its centre on the health.
    """
    left, top, right, bottom = region
    part = (round(left * width), round(top * height), round(right * width), round(bottom * height))
    return area(box) > 0 and shared_area(box, part) >= _MOST * area(box)


def normalise_digits(text: str) -> str:
    """The text with letters that stand for digits written as digits: ``1O0%`` is ``100%``.

    A word changes if it holds a digit already, or is the line's only word and made of the commonest
    look-alikes (``lO%``): words such as ``Solo`` never become numbers.
    """
    alone = len(_WORD.findall(text)) == 1
    return _WORD.sub(lambda match: _fix_word(match[0], alone), text)


def _fix_word(word: str, alone: bool) -> str:
    fixed = word.translate(_LOOK_ALIKES)
    if not fixed.isdecimal() or not fixed.isascii():
        return word
    has_digit = any(char.isdecimal() for char in word)
    return fixed if has_digit or (alone and set(word) <= _SAFE_ALONE) else word


def _read_field(lines: Sequence[TextLine], field: HudField) -> int | None:
    by_confidence = sorted(lines, key=lambda line: line.confidence, reverse=True)
    numbers = (_number(line.text, field) for line in by_confidence)
    return next((number for number in numbers if number is not None), None)


def _number(text: str, field: HudField) -> int | None:
    match = re.search(field.pattern, normalise_digits(text))
    if match is None:
        return None
    try:
        number = int(match[1])
    except (TypeError, ValueError):  # the group took no part, or is no number
        return None
    return number if field.minimum <= number <= field.maximum else None
