"""What a person asks for, read from the parameters of a generation. Pure."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from danzar.config.problems import nearest
from danzar.config.secrets import show
from danzar.errors import BadInput
from danzar.resources.schema import ModelProfile

W = TypeVar("W", bound=StrEnum)

_SIZE = re.compile(r"^\s*(\d{1,5})\s*[xX*\u00d7]\s*(\d{1,5})\s*$")
_NAMED = re.compile(r"^\s*(\d{3,4})\s*p?\s*$", re.IGNORECASE)
_WIDE = {480: 832, 540: 960, 720: 1280, 1080: 1920, 1440: 2560, 2160: 3840}
# 704 rows are 720p to the models that need a multiple of 32.
_CLOSE = 0.05
_MOST_STEPS = 1000
_MOST_SECONDS = 600.0
_MOST_SIDE_PX = 16384
_MOST_BATCH = 64
_MOST_LORAS = 32
_MOST_RANK = 1024


class Precision(StrEnum):
    """How the denoiser's weights are kept; ``half`` is bfloat16, or float16 on older cards."""

    FP32 = "fp32"
    HALF = "half"
    FP8 = "fp8"


class Offload(StrEnum):
    """What stays on the card: everything, the part at work, or the layers at work."""

    NONE = "none"
    MODEL = "model"
    LAYERS = "layers"


class Attention(StrEnum):
    """Fused kernels hold no square of the tokens; plain attention does."""

    FUSED = "fused"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Request:
    """One generation.

    Attributes:
        duration_s: ``None`` for pictures.
        batch: Pictures or videos that are made at once.
        loras: Adapters that are loaded beside the model, each of ``lora_rank``.
        guided: Whether a negative prompt is computed as well.
        text_on_cpu: The text encoder stays in RAM and runs there.
    """

    width: int
    height: int
    steps: int
    duration_s: float | None = None
    fps: int = 1
    batch: int = 1
    loras: int = 0
    lora_rank: int = 32
    guided: bool = True
    precision: Precision = Precision.HALF
    offload: Offload = Offload.NONE
    attention: Attention = Attention.FUSED
    vae_tiling: bool = False
    text_on_cpu: bool = False

    @property
    def size(self) -> str:
        """``1280x720``."""
        return f"{self.width}x{self.height}"


_PRECISIONS = {"bf16": Precision.HALF, "fp16": Precision.HALF, "bfloat16": Precision.HALF}
_PRECISIONS |= {"float16": Precision.HALF, "float32": Precision.FP32, "float8": Precision.FP8}
_OFFLOADS = {"model_cpu_offload": Offload.MODEL, "sequential": Offload.LAYERS}
_ATTENTIONS = {"sdpa": Attention.FUSED, "xformers": Attention.FUSED, "sliced": Attention.FUSED}
KNOWN_KEYS = (
    "model_type",
    "resolution",
    "width",
    "height",
    "steps",
    "duration",
    "fps",
    "batch",
    "lora",
    "lora_rank",
    "guidance_scale",
    "precision",
    "offload",
    "attention",
    "vae_tiling",
    "text_encoder_device",
)
# These change nothing in memory or time; they go through as they are.
OTHER_KEYS = ("prompt", "negative_prompt", "seed", "image", "output", "lora_path", "lora_strength")


def check_keys(params: Mapping[str, Any]) -> None:
    """Refuse a misspelt parameter, which would else be left out of the reckoning.

    Raises:
        BadInput: A key is unknown; the nearest one is named.
    """
    known = [*KNOWN_KEYS, *OTHER_KEYS]
    for key in params:
        if key not in known:
            close = nearest(str(key), known)
            hint = f"; did you mean {close}?" if close else f"; known: {', '.join(KNOWN_KEYS)}"
            raise BadInput(f"unknown parameter {show(str(key), str(key))}{hint}")


def read_request(params: Mapping[str, Any], profile: ModelProfile) -> Request:
    """The request in the parameters; what they leave out is the model's own default.

    Raises:
        BadInput: A key is unknown, or a value is not one that the model can take.
    """
    check_keys(params)
    width, height = _size_of(params, profile)
    default_guidance = profile.guidance != "none"
    guidance = params.get("guidance_scale")
    return Request(
        width=width,
        height=height,
        steps=_whole(params, "steps", profile.steps.value, 1, _MOST_STEPS),
        duration_s=_duration(params, profile),
        fps=_whole(params, "fps", profile.frames.fps.value if profile.frames else 1, 1, 240),
        batch=_whole(params, "batch", 1, 1, _MOST_BATCH),
        loras=_loras(params.get("lora")),
        lora_rank=_whole(params, "lora_rank", 32, 1, _MOST_RANK),
        guided=default_guidance if guidance is None else _number("guidance_scale", guidance) > 1,
        precision=_word(params, "precision", Precision.HALF, _PRECISIONS),
        offload=_word(params, "offload", Offload.NONE, _OFFLOADS),
        attention=_word(params, "attention", Attention.FUSED, _ATTENTIONS),
        vae_tiling=_flag(params, "vae_tiling"),
        text_on_cpu=_text_on_cpu(params),
    )


def parse_size(text: str | int, profile: ModelProfile) -> tuple[int, int]:
    """Width and height in ``1280x720``, ``720p`` or, for pictures, the side of a square.

    ``720p`` is the model's own size of that name where it has one: 1280x704 for TI2V-5B.

    Raises:
        BadInput: It is no size.
    """
    words = str(text)
    if match := _SIZE.match(words):
        return int(match[1]), int(match[2])
    match = _NAMED.match(words)
    if match is None:
        raise BadInput(
            f"{show(words, 'resolution')} is no resolution; write 720p, 1280x720, "
            f"or one that the model was trained for: {', '.join(profile.sizes)}"
        )
    rows = int(match[1])
    if profile.frames is None and not words.strip().lower().endswith("p"):
        return rows, rows
    return _named_size(rows, profile)


def grid_px(profile: ModelProfile) -> int:
    """What width and height must be a multiple of."""
    return math.lcm(*(profile.vae.compression[i] * profile.denoiser.patch[i] for i in (1, 2)))


def _named_size(rows: int, profile: ModelProfile) -> tuple[int, int]:
    for size in profile.sizes:
        width, height = split_size(size)
        if width > height and abs(height - rows) <= _CLOSE * rows:
            return width, height
    wide = _WIDE.get(rows, round(rows * 16 / 9))
    grid = grid_px(profile)
    return wide // grid * grid, rows // grid * grid


def split_size(text: str) -> tuple[int, int]:
    """Width and height of ``1280x720``."""
    width, _, height = text.partition("x")
    return int(width), int(height)


def _size_of(params: Mapping[str, Any], profile: ModelProfile) -> tuple[int, int]:
    resolution = params.get("resolution")
    if resolution is not None and ("width" in params or "height" in params):
        raise BadInput("give resolution, or width and height, not both")
    width, height = split_size(profile.sizes[0])
    if resolution is not None:
        if isinstance(resolution, bool) or not isinstance(resolution, str | int):
            raise BadInput(f"resolution must be text such as 1280x720, not {resolution!r}")
        width, height = parse_size(resolution, profile)
    width = _whole(params, "width", width, 1, _MOST_SIDE_PX)
    height = _whole(params, "height", height, 1, _MOST_SIDE_PX)
    _check_grid(width, height, profile)
    return width, height


def _check_grid(width: int, height: int, profile: ModelProfile) -> None:
    grid = grid_px(profile)
    for name, side in (("width", width), ("height", height)):
        if not grid <= side <= _MOST_SIDE_PX:
            raise BadInput(f"{name} is {side}; allowed: {grid} to {_MOST_SIDE_PX} pixels")
        if side % grid:
            near = max(grid, round(side / grid) * grid)
            raise BadInput(
                f"{name} is {side}; {profile.title} needs a multiple of {grid}, for example {near}"
            )


def _duration(params: Mapping[str, Any], profile: ModelProfile) -> float | None:
    given = params.get("duration")
    if profile.frames is None:
        if given not in (None, 0):
            raise BadInput(f"{profile.title} makes pictures: it takes no duration")
        return None
    if given is None:
        return profile.frames.trained.value / profile.frames.fps.value
    seconds = _number("duration", given)
    if not 0 < seconds <= _MOST_SECONDS:
        raise BadInput(f"duration is {seconds:g}; allowed: above 0, at most {_MOST_SECONDS:g} s")
    return seconds


def _loras(value: object) -> int:
    if value is None or isinstance(value, bool):
        return int(bool(value))
    if isinstance(value, str):
        return 1 if value else 0
    if isinstance(value, list | tuple):
        value = len(value)
    if not isinstance(value, int) or not 0 <= value <= _MOST_LORAS:
        raise BadInput(f"lora must be true, false or how many adapters, not {value!r}")
    return value


def _whole(params: Mapping[str, Any], key: str, default: int, least: int, most: int) -> int:
    value = params.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise BadInput(f"{key} must be a whole number, not {value!r}")
    if not least <= value <= most:
        raise BadInput(f"{key} is {value:g}; allowed: {least} to {most}")
    return int(value)


def _number(key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadInput(f"{key} must be a number, not {value!r}")
    return float(value)


def _flag(params: Mapping[str, Any], key: str) -> bool:
    value = params.get(key, False)
    if not isinstance(value, bool):
        raise BadInput(f"{key} must be true or false, not {value!r}")
    return value


def _word(params: Mapping[str, Any], key: str, default: W, others: Mapping[str, W]) -> W:
    value = params.get(key, default)
    known: dict[str, W] = {word.value: word for word in type(default)} | dict(others)
    found = known.get(str(value).lower())
    if found is None:
        words = ", ".join(word.value for word in type(default))
        raise BadInput(f"{key} is {show(str(value), key)}; allowed: {words}")
    return found


def _text_on_cpu(params: Mapping[str, Any]) -> bool:
    value = params.get("text_encoder_device", "gpu")
    if value not in ("gpu", "cpu"):
        raise BadInput(f"text_encoder_device is {value!r}; allowed: gpu, cpu")
    return bool(value == "cpu")
