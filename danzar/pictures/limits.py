"""What may be asked for: the owner's limits, checked before anything is done. Pure."""

import re
import unicodedata

from danzar.config.imagine import ImagineSettings
from danzar.errors import BadInput
from danzar.pictures.sizes import Size, check_size
from danzar.workers.contract import GenerateImages, GenerateVideo

MAX_SEED = 2**32 - 1
PictureRequest = GenerateImages | GenerateVideo


def check_request(request: PictureRequest, limits: ImagineSettings) -> None:
    """Refuse what is asked beyond the limits.

    Raises:
        BadInput: The first thing that is wrong, with its value and what is allowed.
    """
    _check_prompt(request, limits)
    check_size(Size(request.width, request.height), limits.max_side)
    if request.steps is not None and not 1 <= request.steps <= limits.max_steps:
        raise BadInput(f"{request.steps} steps can't be made; allowed are 1 to {limits.max_steps}")
    if request.seed is not None and not 0 <= request.seed <= MAX_SEED:
        raise BadInput(f"{request.seed} is no seed; allowed is 0 to {MAX_SEED}")
    if isinstance(request, GenerateImages):
        if not 1 <= request.count <= limits.max_count:
            raise BadInput(
                f"{request.count} pictures can't be made; allowed are 1 to {limits.max_count}"
            )
    elif not 0 < request.frames <= limits.max_seconds * request.fps + 1:
        seconds = request.frames / request.fps
        raise BadInput(f"{seconds:g} s can't be made; at most {limits.max_seconds:g} s are")


def blocked_word(text: str, words: tuple[str, ...]) -> str | None:
    """The first blocked word in a text, whole and in any case; ``None``: there is none."""
    plain = _plain(text)
    for word in words:
        folded = _plain(word).strip()
        if folded and re.search(rf"(?<!\w){re.escape(folded)}(?!\w)", plain):
            return word
    return None


def _check_prompt(request: PictureRequest, limits: ImagineSettings) -> None:
    if not request.prompt.strip():
        raise BadInput("There is nothing to make a picture of. Describe it: a castle at night")
    for name, text in (("prompt", request.prompt), ("--no", request.negative_prompt)):
        if len(text) > limits.max_prompt:
            raise BadInput(
                f"The {name} has {len(text):,} characters; at most {limits.max_prompt:,} are read"
            )
    word = blocked_word(request.prompt, limits.blocked_words)
    if word is not None:
        raise BadInput(f"The word “{word}” is blocked here. Describe it without")


def _plain(text: str) -> str:
    """Text without differences that only look different: width, accents of encoding, case."""
    return unicodedata.normalize("NFKC", text).casefold()
