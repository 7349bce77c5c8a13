"""What was made, and the words that go into its files. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from danzar.inference import Placed
from danzar.pictures.limits import PictureRequest
from danzar.pictures.png import with_words
from danzar.workers.contract import GeneratedImages, GeneratedVideo, GenerateImages

SOFTWARE = "Danzar"


@dataclass(frozen=True, slots=True)
class File:
    """A picture (PNG) or a video (MP4).

    Attributes:
        seed: The same one gives the same file again.
    """

    name: str
    data: bytes
    seed: int


@dataclass(frozen=True, slots=True)
class Made:
    """How a request ended.

    Attributes:
        request: As it was carried out.
        width: Pixels of the files, like ``height``.
        steps: Of each picture; ``None`` unknown.
        files: Without those that a cancellation left undone.
        placed: Where; ``placed.degraded`` is the sentence with the number that forced it.
        seconds: Of computing.
        waited_s: Before that.
        notes: What was changed so that it fits, one sentence each.
    """

    request: PictureRequest
    width: int
    height: int
    steps: int | None
    files: tuple[File, ...]
    placed: Placed
    seconds: float
    waited_s: float
    notes: tuple[str, ...] = ()


def files_of(
    result: GeneratedImages | GeneratedVideo, words: Mapping[str, str] | None, seed: int
) -> tuple[File, ...]:
    """The files of a result; ``words`` go into each PNG, with its own seed."""
    if isinstance(result, GeneratedVideo):
        return (File(f"danzar-{result.seed}.mp4", result.data, seed),) if result.data else ()
    found = []
    for number, picture in enumerate(result.pictures):
        own = seed + number
        text = {key: value.format(seed=own) for key, value in (words or {}).items()}
        data = with_words(picture.data, text) if text else picture.data
        found.append(File(f"danzar-{own}-{number + 1}.png", data, own))
    return tuple(found)


def file_words(request: PictureRequest, model: str, steps: int | None) -> dict[str, str]:
    """What a PNG says about itself, in the form that other tools read; ``{seed}`` stays open."""
    lines = [_open(request.prompt)]
    if request.negative_prompt:
        lines.append(f"Negative prompt: {_open(request.negative_prompt)}")
    facts = [] if steps is None else [f"Steps: {steps}"]
    if request.guidance is not None:
        facts.append(f"CFG scale: {request.guidance:g}")
    facts += ["Seed: {seed}", f"Size: {request.width}x{request.height}", f"Model: {_open(model)}"]
    return {"parameters": "\n".join([*lines, ", ".join(facts)]), "Software": SOFTWARE}


def steps_of_each(request: PictureRequest, all_steps: int | None) -> int | None:
    """Steps of one picture, from those of all together."""
    if all_steps is None:
        return request.steps
    count = request.count if isinstance(request, GenerateImages) else 1
    return max(1, all_steps // count)


def _open(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")
