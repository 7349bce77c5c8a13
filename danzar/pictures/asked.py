"""What a person asks for in words: ``a castle --size 768x512 --seed 7 --no people``. Pure."""

import re
from dataclasses import dataclass

import msgspec

from danzar.errors import BadInput
from danzar.pictures.sizes import Size, parse_size
from danzar.workers.contract import GenerateImages, GenerateVideo

# Phones make a dash of two hyphens.
_OPTION = re.compile(r"(?:(?<=\s)|^)(?:--|\u2014|\u2013)([a-z]+)(?:\s*=\s*|\s+|$)", re.IGNORECASE)
_LONGEST_SHOWN = 40
NUMBERS = ("seed", "steps", "count")
OPTIONS = ("size", *NUMBERS, "seconds", "no")


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked, before it is held against any limit; ``None`` is left to the model.

    Attributes:
        size: As it was written.
        seconds: Of a video.
    """

    prompt: str
    negative: str = ""
    size: str | None = None
    seed: int | None = None
    steps: int | None = None
    count: int | None = None
    seconds: float | None = None


def read_asked(text: str, given: Asked) -> Asked:
    """The words after a command; what is neither an option nor its value is the prompt.

    Args:
        text: As it was typed.
        given: Options of a slash command; those in the words count more.

    Raises:
        BadInput: An option is unknown, has no value, or is no number.
    """
    words, options = _split(text)
    values: dict[str, str] = {}
    for name, value in options:
        if name not in OPTIONS:
            known = ", ".join(f"--{option}" for option in OPTIONS)
            raise BadInput(f"--{name} is unknown; there are {known}")
        taken, rest = _value(name, value)
        values[name] = taken
        words.append(rest)
    return Asked(
        prompt=" ".join(" ".join(words).split()),
        negative=values.get("no", given.negative).strip(),
        size=values.get("size", given.size),
        seed=_whole("seed", values, given.seed),
        steps=_whole("steps", values, given.steps),
        count=_whole("count", values, given.count),
        seconds=_seconds(values, given.seconds),
    )


def images(asked: Asked, base: Size) -> GenerateImages:
    """The request for pictures; ``base`` is what the model makes where no size is said.

    Raises:
        BadInput: The size is none, or seconds were asked for.
    """
    if asked.seconds is not None:
        raise BadInput("A picture has no length; `animate` makes videos")
    size = base if asked.size is None else parse_size(asked.size, base)
    return GenerateImages(
        asked.prompt,
        asked.negative,
        *size,
        steps=asked.steps,
        seed=asked.seed,
        count=1 if asked.count is None else asked.count,
    )


def video(asked: Asked, base: Size, most_frames: int | None = None) -> GenerateVideo:
    """The request for a video.

    Where no length is said it has the usual one, or ``most_frames`` (the most that the model is
    configured for) where that is less.

    Raises:
        BadInput: The size is none, or several were asked for.
    """
    if asked.count not in (None, 1):
        raise BadInput("One video at a time is made")
    size = base if asked.size is None else parse_size(asked.size, base)
    request = GenerateVideo(asked.prompt, asked.negative, *size, steps=asked.steps, seed=asked.seed)
    # Video models count frames in fours after the first one.
    if asked.seconds is not None:
        frames = 4 * round(asked.seconds * request.fps / 4) + 1
    elif most_frames is not None:
        frames = min(request.frames, 4 * max(0, (most_frames - 1) // 4) + 1)
    else:
        frames = request.frames
    return msgspec.structs.replace(request, frames=frames)


def _split(text: str) -> tuple[list[str], list[tuple[str, str]]]:
    """The words before the first option, and each option with all that follows it."""
    first, *rest = _OPTION.split(text)
    return [first], list(zip((x.lower() for x in rest[::2]), rest[1::2], strict=True))


def _value(name: str, text: str) -> tuple[str, str]:
    """An option's value, and the words after it, which belong to the prompt."""
    if name == "no":
        return text, ""
    value, _, rest = text.strip().partition(" ")
    if not value:
        raise BadInput(f"--{name} has no value")
    return value, rest


def _whole(name: str, values: dict[str, str], given: int | None) -> int | None:
    text = values.get(name)
    if text is None:
        return given
    if not re.fullmatch(r"[+-]?[0-9]{1,20}", text):
        raise BadInput(f"--{name}: “{text[:_LONGEST_SHOWN]}” is no whole number")
    return int(text)


def _seconds(values: dict[str, str], given: float | None) -> float | None:
    text = values.get("seconds")
    if text is None:
        return given
    match = re.fullmatch(r"([0-9]{1,4}(?:\.[0-9]{1,3})?)s?", text, re.IGNORECASE)
    if match is None:
        raise BadInput(f"--seconds: “{text[:_LONGEST_SHOWN]}” is no number of seconds")
    return float(match[1])
