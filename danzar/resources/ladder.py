"""What may be changed in a request, and how much a viewer loses by it. Pure.

Each parameter has its ways, from what was asked to what needs least. A way has two costs:

    loss   points of quality: 0 none, 1 hardly visible, up to 4 slight, up to 9 visible, then strong
    order  among ways of the same loss: what costs least time comes first

Steps are no rung for memory: they change the time alone, and are offered where time is limited.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from danzar.resources.geometry import frames_of
from danzar.resources.request import Attention, Offload, Precision, Request, split_size
from danzar.resources.schema import ModelProfile

LORA_LOSS = 50
_DURATIONS = 12
_LEAST_SECONDS = 1.0
_SAME_SHAPE = 0.2
# What each ten percent of a clip, or each halving of the pixels, costs in points.
_LOSS_PER_LENGTH = 10
_LOSS_PER_HALVING = 6
_LOSS_PER_STEPS = 8
_STEP_SHARES = (0.8, 0.6, 0.5, 0.4, 0.3, 0.2)


@dataclass(frozen=True, slots=True)
class Way:
    """One value of one parameter.

    Attributes:
        parameter: Its key in the parameters.
        before: What was asked.
        after: What it becomes.
        changes: The fields of the request.
        why: What it does, in words.
    """

    parameter: str
    before: object
    after: object
    changes: Mapping[str, Any]
    loss: int
    order: int
    why: str

    def applied(self, request: Request) -> Request:
        """The request with this way taken."""
        return replace(request, **self.changes)


def ways(
    request: Request, profile: ModelProfile, *, on_card: bool, timed: bool
) -> tuple[tuple[Way, ...], ...]:
    """For each parameter that can be changed, its ways; leaving it as asked is not among them.

    Args:
        request: As asked.
        profile: Of the model.
        on_card: Whether a card does it: on the CPU nothing can be kept off it.
        timed: Whether time is limited, so that fewer steps help.
    """
    found: list[Iterable[Way]] = [_attention(request), _tiling(request, profile), _batch(request)]
    if on_card:
        found += [_text_encoder(request), _offload(request)]
    found += [_precision(request), _duration(request, profile), _sizes(request, profile)]
    found.append(_loras(request))
    if timed:
        found.append(_steps(request, profile))
    return tuple(some for axis in found if (some := tuple(axis)))


def impact(loss: int) -> str:
    """The loss as a word."""
    for most, word in ((0, "none"), (1, "hardly visible"), (4, "slight"), (9, "visible")):
        if loss <= most:
            return word
    return "strong"


def _attention(request: Request) -> Iterable[Way]:
    if request.attention is Attention.PLAIN:
        why = "fused attention holds no square of the tokens, and gives the same picture sooner"
        changes = {"attention": Attention.FUSED}
        yield Way("attention", "plain", "fused", changes, 0, 1, why)


def _tiling(request: Request, profile: ModelProfile) -> Iterable[Way]:
    if not request.vae_tiling and request.width * request.height > profile.vae.tile_px.value**2:
        why = f"frames are decoded in overlapping tiles of {profile.vae.tile_px.value} pixels"
        yield Way("vae_tiling", False, True, {"vae_tiling": True}, 0, 2, why)


def _batch(request: Request) -> Iterable[Way]:
    batch = request.batch
    order = 3
    while batch > 1:
        batch //= 2
        why = "the others are made after it, not beside it"
        yield Way("batch", request.batch, batch, {"batch": batch}, 0, order, why)
        order += 1


def _text_encoder(request: Request) -> Iterable[Way]:
    if not request.text_on_cpu:
        why = "the text encoder works once, and on the CPU takes seconds"
        changes = {"text_on_cpu": True}
        yield Way("text_encoder_device", "gpu", "cpu", changes, 0, 10, why)


def _offload(request: Request) -> Iterable[Way]:
    before = request.offload
    if before is Offload.NONE:
        why = "only the network at work is on the card, the others wait in RAM"
        yield Way("offload", before.value, "model", {"offload": Offload.MODEL}, 0, 12, why)
    if before is not Offload.LAYERS:
        why = "only the layers at work are on the card; the next ones come while they work"
        yield Way("offload", before.value, "layers", {"offload": Offload.LAYERS}, 0, 30, why)


def _precision(request: Request) -> Iterable[Way]:
    before = request.precision
    if before is Precision.FP32:
        why = "the weights in 16 bits, as they were published"
        yield Way("precision", before.value, "half", {"precision": Precision.HALF}, 0, 1, why)
    if before is not Precision.FP8:
        why = "the weights of the denoiser in 8 bits, computed in 16"
        yield Way("precision", before.value, "fp8", {"precision": Precision.FP8}, 1, 1, why)


def _duration(request: Request, profile: ModelProfile) -> Iterable[Way]:
    asked_s = request.duration_s
    if asked_s is None or profile.frames is None:
        return
    trained_s = profile.frames.trained.value / profile.frames.fps.value
    frames = {frames_of(request, profile)}
    for order, seconds in enumerate(_shorter(asked_s, trained_s), 1):
        shorter = replace(request, duration_s=seconds)
        if (made := frames_of(shorter, profile)) in frames:
            continue
        frames.add(made)
        lost = max(0.0, 1 - seconds / min(asked_s, trained_s))
        loss = 2 + math.ceil(_LOSS_PER_LENGTH * lost)
        why = f"{made} frames instead of {frames_of(request, profile)}"
        if seconds >= trained_s:
            why += f"; the model was trained on {trained_s:.1f} s"
        changes = {"duration_s": seconds}
        yield Way("duration", _plain(asked_s), _plain(seconds), changes, loss, order, why)


def _shorter(asked_s: float, trained_s: float) -> list[float]:
    """What the model was trained on, and twelfths of what was asked, longest first; at most 12."""
    steps = [round(n * asked_s / _DURATIONS, 1) for n in range(1, _DURATIONS)]
    return sorted({s for s in (*steps, trained_s) if _LEAST_SECONDS <= s < asked_s}, reverse=True)


def _sizes(request: Request, profile: ModelProfile) -> Iterable[Way]:
    pixels = request.width * request.height
    known = [split_size(size) for size in profile.sizes]
    largest = max(w * h for w, h in known)
    order = 0
    for width, height in sorted(known, key=lambda s: (-s[0] * s[1], s)):
        if width * height >= pixels or not _same_shape(request, width, height):
            continue
        order += 1
        halvings = max(0.0, math.log2(min(pixels, largest) / (width * height)))
        loss = 2 + math.ceil(_LOSS_PER_HALVING * halvings)
        why = f"{pixels / (width * height):.1f} times fewer pixels"
        if pixels > largest:
            why += "; the model was not trained for more"
        changes = {"width": width, "height": height}
        yield Way("resolution", request.size, f"{width}x{height}", changes, loss, order, why)


def _same_shape(request: Request, width: int, height: int) -> bool:
    asked, offered = request.width / request.height, width / height
    return abs(math.log(asked / offered)) <= _SAME_SHAPE


def _loras(request: Request) -> Iterable[Way]:
    if request.loras:
        why = "the adapters stay out: the picture loses what they bring"
        yield Way("lora", request.loras, 0, {"loras": 0}, LORA_LOSS, 1, why)


def _steps(request: Request, profile: ModelProfile) -> Iterable[Way]:
    seen = {request.steps}
    for order, share in enumerate(_STEP_SHARES, 1):
        steps = max(profile.least_steps.value, round(share * request.steps))
        if steps in seen or steps > request.steps:
            continue
        seen.add(steps)
        loss = 1 + math.ceil(_LOSS_PER_STEPS * (1 - steps / request.steps))
        why = "fewer steps take less time and no less memory"
        yield Way("steps", request.steps, steps, {"steps": steps}, loss, order, why)


def _plain(seconds: float) -> float | int:
    return int(seconds) if seconds == int(seconds) else round(seconds, 4)
