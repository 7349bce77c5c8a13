"""Settings of a pipeline that makes pictures or videos."""

from typing import Annotated, Literal

import msgspec

Precision = Literal["auto", "fp16", "bf16", "fp32", "fp8"]
Offload = Literal["none", "model", "layers"]
Positive = Annotated[int, msgspec.Meta(ge=1)]


class DiffusionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a pipeline is loaded and used.

    Attributes:
        pipeline: ``sd``, ``sdxl``, ``sdxl-turbo`` or ``wan``; ``None``: as the folder says.
        config: For a single file: a folder in diffusers' layout that needs no weights.
        variant: Which weights of a folder that has several, for example ``fp16``.
        steps: Where nothing is asked; ``None``, as of the others: the pipeline's own.
        guidance: The same.
        width: Of a picture where nothing is asked, pixels.
        height: The same.
        scheduler: diffusers' class name; ``None``: the folder's own.
        precision: On a card; ``fp8`` keeps the denoiser's weights in 8 bits and computes in half.
            The CPU computes in fp32 unless bf16 is set.
        offload: What waits in host RAM: ``none``, each network (``model``) or block (``layers``).
        vae_tiling: Decode in tiles: less memory, a little slower.
        vae_slicing: Decode the pictures of a batch one after another.
        attention_slicing: Attention in parts; saves nothing where it is fused, as torch has it.
        max_pixels: Of one picture or frame: room for as many is booked.
        max_frames: Of one video.
        max_steps: In one request, at most.
        max_count: Pictures in one request, at most.
        safety_checker: Blacken what the folder's checker objects to; ``None``: where it has one.
        profile: Name under ``models`` of the resource profiles, for the preflight.
        warm_up: Compute one step at the largest size while loading on a card, so that what the
            model takes is measured before anybody asks.
        unverified: Pickles may be loaded.
        threads: CPU threads of the process; ``None`` leaves torch's default.
    """

    pipeline: Literal["sd", "sdxl", "sdxl-turbo", "wan"] | None = None
    config: str | None = None
    variant: str | None = None
    steps: Positive | None = None
    guidance: Annotated[float, msgspec.Meta(ge=0)] | None = None
    width: Positive | None = None
    height: Positive | None = None
    scheduler: str | None = None
    precision: Precision = "auto"
    offload: Offload = "none"
    vae_tiling: bool = False
    vae_slicing: bool = False
    attention_slicing: bool = False
    max_pixels: Positive | None = None
    max_frames: Positive | None = None
    max_steps: Positive = 150
    max_count: Positive = 8
    safety_checker: bool | None = None
    profile: str | None = None
    warm_up: bool = True
    unverified: bool = False
    threads: Positive | None = None
