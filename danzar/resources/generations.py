"""One question before a picture or a video is made: may it, and if not as asked, how?

Two things decide. What the model is configured for (its largest size is what is booked for it), and
what the machine has room for once idle models have left (``ResourceManager.preflight``). What is
changed in the request is told as suggestions; what the planner changes by itself when it loads the
model (tiles, networks that wait in host RAM) is not the caller's business, and comes as the
placement's own sentence.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Generic, Literal, TypeVar

import msgspec

from danzar.config.settings import Config
from danzar.errors import BadInput, ModelMissing
from danzar.inference import MakeRequest, Outcome, Placed
from danzar.models.files import entry_of, locate
from danzar.pipeline_kinds import (
    FRAME_STEP,
    SD,
    WAN,
    Limits,
    check_frames,
    check_grid,
    find_kind,
    fit_size,
    limits_of,
    shrink,
)
from danzar.resources.manager import ResourceManager
from danzar.resources.preflight import Preflight
from danzar.resources.requirement import OptimizationSuggestion
from danzar.workers.contract import GenerateImages, GenerateVideo

Verdict = Literal["ready", "changed", "impossible", "unknown"]
Generation = TypeVar("Generation", GenerateImages, GenerateVideo)

_BACKEND: Final = "diffusion"
_PIXELS, _FRAMES = "max_pixels", "max_frames"
# What the planner finds by itself when it loads the model; asked for here so that a generation that
# fits only with them is not turned down.
_BY_PLANNER: Final = {"offload", "vae_tiling", "attention", "text_encoder_device"}
# What no request and no planner changes: a generation that needs it does not fit.
_BY_OWNER: Final = {"precision", "lora"}


@dataclass(frozen=True, slots=True)
class GenerationPlan(Generic[Generation]):
    """What a generation may do.

    Attributes:
        verdict: ``ready`` as asked, ``changed`` to fit, ``impossible``, or ``unknown``: nothing is
            known of such a model's need, so the planner decides when it is loaded.
        request: To be made; as asked unless it was changed.
        suggestions: What was changed in it, least loss of quality first.
        expected_s: How long it takes; ``None`` unknown.
        text: All of it in a sentence or two.
        params: What ``record_generation`` learns by; ``None`` where nothing can be learned.
    """

    model: str
    verdict: Verdict
    request: Generation
    suggestions: tuple[OptimizationSuggestion, ...]
    text: str
    expected_s: float | None = None
    params: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def may_run(self) -> bool:
        """Whether it is worth asking the model."""
        return self.verdict != "impossible"


def generation_limits(config: Config, model: str) -> Limits:
    """What a model makes where nothing is asked, and at most. Blocks for a look at its folder.

    Raises:
        ModelMissing: No model has that name, or it makes no pictures.
        danzar.errors.ModelRefused: Its folder holds no pipeline that Danzar runs.
    """
    entry = entry_of(config, model)
    if entry.backend != _BACKEND:
        raise ModelMissing(f"{model} makes no pictures: its backend is {entry.backend}")
    path = locate(model, config) or Path()
    return limits_of(find_kind(path, entry.settings), entry.settings)


async def preflight_images(
    resources: ResourceManager,
    config: Config,
    model: str,
    request: GenerateImages,
    *,
    time_limit_s: float | None = None,
) -> GenerationPlan[GenerateImages]:
    """Whether pictures can be made as asked, and how if not.

    Raises:
        BadInput: The size is none that the model can make; the nearest one is named.
        danzar.errors.ModelError: There is no such model.
    """
    limits = await asyncio.to_thread(generation_limits, config, model)
    check_grid(limits.kind, request.width, request.height)
    params = _params(config, model, limits) | {
        "width": request.width,
        "height": request.height,
        "steps": request.steps or limits.steps,
        "guidance_scale": limits.guidance if request.guidance is None else request.guidance,
    }
    return await _plan(resources, limits, _Asked(model, request, params), time_limit_s)


async def preflight_video(
    resources: ResourceManager,
    config: Config,
    model: str,
    request: GenerateVideo,
    *,
    time_limit_s: float | None = None,
) -> GenerationPlan[GenerateVideo]:
    """The same for a video; raises as ``preflight_images``."""
    limits = await asyncio.to_thread(generation_limits, config, model)
    check_grid(limits.kind, request.width, request.height)
    check_frames(request.frames)
    params = _params(config, model, limits) | {
        "width": request.width,
        "height": request.height,
        "steps": request.steps or limits.steps,
        "guidance_scale": limits.guidance if request.guidance is None else request.guidance,
        "fps": request.fps,
        "duration": request.frames / request.fps,
    }
    return await _plan(resources, limits, _Asked(model, request, params), time_limit_s)


async def record_generation(
    resources: ResourceManager,
    plan: GenerationPlan[Any],
    outcome: Outcome,
    device_name: str,
) -> None:
    """Learn how long a generation took, for the next estimate.

    Args:
        resources: Who learns.
        plan: Of the generation.
        outcome: What came of it.
        device_name: The card's name, or ``cpu``; nothing is learned of a simulated card.

    Raises:
        danzar.errors.StoreFailed: It can't be kept.
    """
    if plan.params is None or outcome.placed.simulated:
        return
    await resources.record_run(plan.params, device_name=device_name, took_s=outcome.seconds)


def fitted(request: GenerateImages | GenerateVideo) -> MakeRequest:
    """The request as a function of the placement: no larger than what that has booked.

    ``Placed.degraded`` has the sentence for the person, where the model was loaded for less.
    """

    def make(placed: Placed) -> GenerateImages | GenerateVideo:
        booked = dict(placed.settings)
        changes: dict[str, int] = {}
        if _PIXELS in booked:
            grid = (SD if _frames_of(request) is None else WAN).grid_px
            most = int(booked[_PIXELS])
            width, height = shrink(request.width, request.height, most, grid)
            changes |= {"width": width, "height": height}
        frames = _frames_of(request)
        if _FRAMES in booked and frames is not None:
            changes["frames"] = min(frames, int(booked[_FRAMES]))
        return msgspec.structs.replace(request, **changes)

    return make


# --- inside ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Asked(Generic[Generation]):
    model: str
    request: Generation
    params: Mapping[str, Any]


async def _plan(
    resources: ResourceManager,
    limits: Limits,
    asked: _Asked[Generation],
    time_limit_s: float | None,
) -> GenerationPlan[Generation]:
    within, told = _within_limits(asked, limits)
    params = {**asked.params, **_size_params(within)}
    if not _is_known(resources, str(params["model_type"])):
        text = f"Nothing is known of what {asked.model} needs; it is tried when it is loaded"
        verdict: Verdict = "changed" if told else "unknown"
        return GenerationPlan(asked.model, verdict, within, told, text)
    try:
        found = await resources.preflight(params, time_limit_s=time_limit_s)
    except BadInput as exc:
        return GenerationPlan(asked.model, "unknown", within, told, str(exc))
    return _answered(asked, within, told, found)


def _answered(
    asked: _Asked[Generation],
    within: Generation,
    told: tuple[OptimizationSuggestion, ...],
    found: Preflight,
) -> GenerationPlan[Generation]:
    refusal = _refusal(asked.model, found)
    if refusal is not None:
        return GenerationPlan(asked.model, "impossible", asked.request, (), refusal)
    suggestions = (*told, *_of_request(found))
    return GenerationPlan(
        model=asked.model,
        verdict="changed" if suggestions else "ready",
        request=_changed(within, found.params),
        suggestions=suggestions,
        text=found.text,
        expected_s=found.requirement.estimated_time_seconds,
        params={**found.params},
    )


def _refusal(model: str, found: Preflight) -> str | None:
    """Why it can't be made; ``None`` where it can."""
    if not found.may_run:
        return found.text
    needed = next((s for s in found.suggestions if s.parameter in _BY_OWNER), None)
    if needed is None:
        return None
    return (
        f"{model} does not fit as it is configured; it would with settings.{needed.parameter}: "
        f"{needed.suggested_value} in models.yaml ({needed.reason})"
    )


def _of_request(found: Preflight) -> tuple[OptimizationSuggestion, ...]:
    """Changes in what was asked; the others are the planner's."""
    return tuple(s for s in found.suggestions if s.parameter not in _BY_PLANNER)


def _within_limits(
    asked: _Asked[Generation], limits: Limits
) -> tuple[Generation, tuple[OptimizationSuggestion, ...]]:
    """No larger than the model is configured for."""
    request = asked.request
    told: list[OptimizationSuggestion] = []
    changes: dict[str, Any] = {}
    width, height = fit_size(limits, request.width, request.height)
    if (width, height) != (request.width, request.height):
        changes |= {"width": width, "height": height}
        before, after = f"{request.width}x{request.height}", f"{width}x{height}"
        why = f"{asked.model} has room for {limits.max_pixels} pixels (settings.max_pixels)"
        told.append(_suggestion("resolution", before, after, why))
    frames = _frames_of(request)
    if frames is not None and frames > limits.max_frames:
        changes["frames"] = limits.max_frames
        why = f"{asked.model} has room for {limits.max_frames} frames (settings.max_frames)"
        told.append(_suggestion("frames", frames, limits.max_frames, why))
    return msgspec.structs.replace(request, **changes), tuple(told)


def _suggestion(parameter: str, before: object, after: object, why: str) -> OptimizationSuggestion:
    return OptimizationSuggestion(
        parameter=parameter,
        current_value=before,
        suggested_value=after,
        reason=why,
        effect="it fits into what is booked for the model",
        quality_impact="visible",
        rank=5,
    )


def _frames_of(request: GenerateImages | GenerateVideo) -> int | None:
    """Of a video; ``None`` for pictures."""
    return request.frames if isinstance(request, GenerateVideo) else None


def _size_params(request: GenerateImages | GenerateVideo) -> dict[str, Any]:
    found: dict[str, Any] = {"width": request.width, "height": request.height}
    if isinstance(request, GenerateVideo):
        found["duration"] = request.frames / request.fps
    return found


def _changed(request: Generation, params: Mapping[str, Any]) -> Generation:
    """The request with what the preflight changed in its size, length and steps."""
    return msgspec.structs.replace(request, **_changes(request, params))


def _changes(
    request: GenerateImages | GenerateVideo, params: Mapping[str, Any]
) -> Mapping[str, int]:
    found = {"width": int(params["width"]), "height": int(params["height"])}
    if request.steps is not None and params["steps"] < request.steps:
        found["steps"] = int(params["steps"])
    frames = _frames_of(request)
    if frames is not None:
        wanted = max(1, round(params["duration"] * params["fps"]))
        # The next that can be made, as the preflight reckoned.
        found["frames"] = min(frames, -(-(wanted - 1) // FRAME_STEP) * FRAME_STEP + 1)
    return found


def _params(config: Config, model: str, limits: Limits) -> dict[str, Any]:
    """What the resource manager calls the model and how it is configured."""
    settings = entry_of(config, model).settings
    precision = settings.get("precision")
    return {
        "model_type": settings.get("profile") or limits.kind.profile,
        "precision": precision if precision in ("fp32", "fp8") else "half",
        "vae_tiling": bool(settings.get("vae_tiling", False)),
        "offload": settings.get("offload", "none"),
    }


def _is_known(resources: ResourceManager, model_type: str) -> bool:
    return any(
        model_type.lower() in (name.lower(), *map(str.lower, profile.aliases))
        for name, profile in resources.profiles.models.items()
    )
