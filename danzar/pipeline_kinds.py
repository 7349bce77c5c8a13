"""The pipelines that make pictures and videos, as estimate and backend both know them. Pure.

A folder in diffusers' layout says in ``model_index.json`` which pipeline it is; its scheduler says
whether it is a turbo model, which takes few steps and no guidance.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from danzar.errors import BadInput, ModelRefused

INDEX_FILE: Final = "model_index.json"
# Side of the square that the autoencoder decodes at once where it decodes in tiles.
TILE_PX: Final = {"picture": 512, "video": 256}
# An autoencoder keeps the first frame by itself, and then so many as one.
FRAME_STEP: Final = 4
_TURBO_SPACING: Final = "trailing"
# At 1 and below, diffusers computes the prompt alone.
_NO_GUIDANCE: Final = 1.0

Makes = Literal["picture", "video"]


@dataclass(frozen=True, slots=True)
class PipelineKind:
    """One kind of pipeline, and how it is used where nothing else is set.

    Attributes:
        name: ``sd``, ``sdxl``, ``sdxl-turbo`` or ``wan``.
        class_name: diffusers' name for it.
        text_encoders: Folders of the networks that read the prompt.
        denoisers: Folders of those that work at every step; one works at a time.
        grid_px: Width and height are multiples of it.
        max_pixels: Of one picture or frame, at most: activations for as many are booked.
        max_frames: The same for frames; 1 for pictures.
        half: Precision on a card.
        wide_vae: The autoencoder computes in float32 even there.
        profile: Name under ``models`` of the resource profiles.
    """

    name: str
    class_name: str
    makes: Makes
    text_encoders: tuple[str, ...]
    denoisers: tuple[str, ...]
    grid_px: int
    width: int
    height: int
    max_pixels: int
    max_frames: int
    steps: int
    guidance: float
    half: Literal["fp16", "bf16"]
    wide_vae: bool
    profile: str


SD: Final = PipelineKind(
    name="sd",
    class_name="StableDiffusionPipeline",
    makes="picture",
    text_encoders=("text_encoder",),
    denoisers=("unet",),
    grid_px=8,
    width=512,
    height=512,
    max_pixels=768 * 512,
    max_frames=1,
    steps=25,
    guidance=7.5,
    half="fp16",
    wide_vae=False,
    profile="sd-1.5",
)
SDXL: Final = PipelineKind(
    name="sdxl",
    class_name="StableDiffusionXLPipeline",
    makes="picture",
    text_encoders=("text_encoder", "text_encoder_2"),
    denoisers=("unet",),
    grid_px=8,
    width=1024,
    height=1024,
    max_pixels=1024 * 1024,
    max_frames=1,
    steps=30,
    guidance=5.0,
    half="fp16",
    wide_vae=True,
    profile="sdxl",
)
SDXL_TURBO: Final = replace(
    SDXL,
    name="sdxl-turbo",
    width=512,
    height=512,
    max_pixels=768 * 512,
    steps=4,
    guidance=0.0,
    profile="sdxl-turbo",
)
WAN: Final = PipelineKind(
    name="wan",
    class_name="WanPipeline",
    makes="video",
    text_encoders=("text_encoder",),
    denoisers=("transformer", "transformer_2"),
    grid_px=16,
    width=832,
    height=480,
    max_pixels=832 * 480,
    max_frames=81,
    steps=30,
    guidance=5.0,
    half="bf16",
    wide_vae=True,
    profile="t2v-1.3B",
)
KINDS: Final = {kind.name: kind for kind in (SD, SDXL, SDXL_TURBO, WAN)}


@dataclass(frozen=True, slots=True)
class Limits:
    """What one loaded pipeline has room for, and how it is used where nothing is asked.

    Attributes:
        guided: Room for the prompt and its negative at once is booked.
    """

    kind: PipelineKind
    width: int
    height: int
    steps: int
    guidance: float
    max_pixels: int
    max_frames: int

    @property
    def guided(self) -> bool:
        """Whether the prompt and its negative are computed, as configured."""
        return is_guided(self.guidance)


def is_guided(guidance: float) -> bool:
    """Whether this much guidance takes a second pass for the negative prompt."""
    return guidance > _NO_GUIDANCE


def limits_of(kind: PipelineKind, settings: Mapping[str, Any]) -> Limits:
    """The kind's own figures with the model's settings over them."""

    def taken(key: str, default: Any) -> Any:  # noqa: ANN401 - each as its default is
        value = settings.get(key)
        return default if value is None else value

    width, height = int(taken("width", kind.width)), int(taken("height", kind.height))
    pixels = kind.max_pixels if (width, height) == (kind.width, kind.height) else width * height
    return Limits(
        kind=kind,
        width=width,
        height=height,
        steps=int(taken("steps", kind.steps)),
        guidance=float(taken("guidance", kind.guidance)),
        max_pixels=int(taken("max_pixels", pixels)),
        max_frames=int(taken("max_frames", kind.max_frames)),
    )


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object in a file; empty where there is no such file.

    Raises:
        ModelRefused: It is damaged.
    """
    try:
        found = json.loads(file.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as exc:
        raise ModelRefused(f"{file} is damaged ({exc}); fetch it again") from exc
    return found if isinstance(found, dict) else {}


def find_kind(path: Path, settings: Mapping[str, Any]) -> PipelineKind:
    """Which pipeline a folder or file is: as ``settings.pipeline`` says, else as the folder does.

    Raises:
        ModelRefused: Nothing says it, or it is none that Danzar runs.
    """
    named = settings.get("pipeline")
    if named is not None:
        if named in KINDS:
            return KINDS[named]
        raise ModelRefused(f"settings.pipeline is {named!r}; known: {', '.join(KINDS)}")
    if not path.is_dir():
        raise ModelRefused(
            f"{path.name} does not say which pipeline it is; set settings.pipeline to one of "
            f"{', '.join(KINDS)}"
        )
    class_name = read_json(path / INDEX_FILE).get("_class_name")
    found = [kind for kind in KINDS.values() if kind.class_name == class_name]
    if not found:
        known = ", ".join(sorted({kind.class_name for kind in KINDS.values()}))
        raise ModelRefused(
            f"{path} holds a {class_name or 'folder without ' + INDEX_FILE}; Danzar runs {known}"
        )
    scheduler = read_json(path / "scheduler" / "scheduler_config.json")
    is_turbo = scheduler.get("timestep_spacing") == _TURBO_SPACING
    return SDXL_TURBO if found[0] is SDXL and is_turbo else found[0]


def check_size(limits: Limits, width: int, height: int, frames: int = 1) -> None:
    """Refuse a size that the pipeline can't make, or for which nothing is booked.

    Raises:
        BadInput: With the nearest size that it can make.
    """
    check_grid(limits.kind, width, height)
    if width * height > limits.max_pixels:
        near_width, near_height = fit_size(limits, width, height)
        raise BadInput(
            f"{width} x {height} are {width * height} pixels; this model has room for "
            f"{limits.max_pixels}, for example {near_width} x {near_height}"
        )
    check_frames(frames)
    if not 1 <= frames <= limits.max_frames:
        raise BadInput(f"frames is {frames}; this model has room for 1 to {limits.max_frames}")


def check_grid(kind: PipelineKind, width: int, height: int) -> None:
    """Refuse a size that the pipeline can't make, however much room there is.

    Raises:
        BadInput: With the nearest size that it can make.
    """
    grid = kind.grid_px
    for name, side in (("width", width), ("height", height)):
        if side < grid or side % grid:
            near = max(grid, round(side / grid) * grid)
            raise BadInput(f"{name} is {side}; it must be a multiple of {grid}, for example {near}")


def check_frames(frames: int) -> None:
    """Refuse a number of frames that no video autoencoder here can make.

    Raises:
        BadInput: With the nearest number that it can.
    """
    if frames < 1 or (frames - 1) % FRAME_STEP:
        near = max(0, round((frames - 1) / FRAME_STEP)) * FRAME_STEP + 1
        raise BadInput(
            f"frames is {frames}; it must be one more than a multiple of {FRAME_STEP}, for example "
            f"{near}"
        )


def fit_size(limits: Limits, width: int, height: int) -> tuple[int, int]:
    """The largest size of about the same shape that there is room for; as asked where it fits."""
    return shrink(width, height, limits.max_pixels, limits.kind.grid_px)


def shrink(width: int, height: int, max_pixels: int, grid: int) -> tuple[int, int]:
    """The largest size of about the same shape with so many pixels; as given where it fits."""
    if width * height <= max_pixels:
        return width, height
    share = (max_pixels / (width * height)) ** 0.5
    return (
        max(grid, int(width * share) // grid * grid),
        max(grid, int(height * share) // grid * grid),
    )
