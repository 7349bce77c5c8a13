"""Pictures and videos from words, by diffusers: Stable Diffusion, SDXL, SDXL-Turbo and Wan."""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import msgspec
import torch

from danzar.backends import diffusion_load, torch_device
from danzar.backends.diffusion_decode import decode_picture, decode_video
from danzar.backends.diffusion_files import mp4, png
from danzar.backends.diffusion_memory import networks, place
from danzar.backends.diffusion_preview import Previews
from danzar.backends.diffusion_settings import DiffusionSettings
from danzar.backends.diffusion_steps import Emit, Stopped, StopPoint, stream
from danzar.backends.settings import read_settings
from danzar.errors import BadInput
from danzar.pipeline_kinds import Limits, check_size, find_kind, is_guided, limits_of
from danzar.workers.contract import (
    Backend,
    GeneratedImages,
    GeneratedVideo,
    GenerateImages,
    GenerateVideo,
    LoadReport,
    LoadSpec,
    Part,
    Picture,
    Request,
    Result,
    StepDone,
)

_SEEDS: Final = 2**32
_MOST_SEED: Final = 2**63 - 1
_WARM_UP_PROMPT: Final = "a house by a lake"

Asked = GenerateImages | GenerateVideo
IsCancelled = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class _Run:
    """One request with everything filled in.

    Attributes:
        before: Pictures that were made before this one, of ``count``.
    """

    request: Asked
    steps: int
    guidance: float
    seed: int
    count: int = 1
    before: int = 0
    preview_every: int = 0


class DiffusionBackend:
    """One loaded pipeline."""

    def __init__(
        self,
        name: str,
        pipeline: Any,  # noqa: ANN401 - diffusers' classes
        limits: Limits,
        settings: DiffusionSettings,
        device: torch.device,
    ) -> None:
        """Put the pipeline on the device and answer with it."""
        self._name = name
        self._pipeline = pipeline
        self._limits = limits
        self._settings = settings
        self._device = device
        self._shelf = place(pipeline, settings, limits.kind, device)
        self._stop = StopPoint()
        self._stop.watch(pipeline)
        self._previews = Previews(pipeline.vae, device, partial(self._bring, "vae"))

    def run(self, request: Request, is_cancelled: IsCancelled) -> Iterator[Part | Result]:
        """See ``Backend.run``."""
        makes = self._limits.kind.makes
        work: Callable[[Emit], Result]
        if isinstance(request, GenerateImages) and makes == "picture":
            check_size(self._limits, request.width, request.height)
            run = self._filled(request, request.count, request.preview_every)
            work = partial(self._images, run)
        elif isinstance(request, GenerateVideo) and makes == "video":
            check_size(self._limits, request.width, request.height, request.frames)
            work = partial(self._video, self._filled(request, 1, 0), request)
        else:
            asked = type(request).__name__
            raise BadInput(f"{self._name} makes a {makes} and can't answer {asked}.")
        with torch_device.memory_errors(self._name):
            yield from stream(partial(self._at_work, work), is_cancelled)

    def close(self) -> None:
        """See ``Backend.close``."""
        self._pipeline = self._shelf = self._previews = None  # type: ignore[assignment]
        torch_device.give_back()

    def warm_up(self) -> None:
        """One step at the largest size, so that what this takes is measured as it is loaded."""
        kind, width, height = self._limits.kind, self._limits.width, self._limits.height
        if width * height < self._limits.max_pixels:
            width = height = int(self._limits.max_pixels**0.5) // kind.grid_px * kind.grid_px
        request: Asked = GenerateImages(_WARM_UP_PROMPT, width=width, height=height, steps=1)
        if kind.makes == "video":
            request = GenerateVideo(
                _WARM_UP_PROMPT, width=width, height=height, frames=self._limits.max_frames, steps=1
            )
        for _ in self.run(request, bool):
            pass

    # --- one request -------------------------------------------------------------------------

    def _filled(self, request: Asked, count: int, preview_every: int) -> _Run:
        """The request with the model's own figures where it asks for nothing.

        Raises:
            BadInput: A figure is out of range.
        """
        limits, most = self._limits, self._settings
        steps = limits.steps if request.steps is None else request.steps
        guidance = limits.guidance if request.guidance is None else request.guidance
        seed = secrets.randbelow(_SEEDS) if request.seed is None else request.seed
        _check_range("steps", steps, 1, most.max_steps)
        _check_range("count", count, 1, most.max_count)
        _check_range("seed", seed, 0, _MOST_SEED - count)
        if is_guided(guidance) and not limits.guided:
            raise BadInput(
                f"guidance is {guidance:g}; {self._name} works without: leave it out, or ask for 0"
            )
        return _Run(request, steps, guidance, seed, count, preview_every=preview_every)

    def _at_work(
        self, work: Callable[[Emit], Result], emit: Emit, is_cancelled: IsCancelled
    ) -> Result:
        try:
            with self._stop.of(is_cancelled):
                return work(emit)
        finally:
            if self._shelf is not None:
                self._shelf.clear()

    def _images(self, run: _Run, emit: Emit) -> GeneratedImages:
        made: list[Picture] = []
        try:
            for number in range(run.count):
                one = replace(run, seed=run.seed + number, before=number)
                latents = self._denoise(one, emit)
                self._bring("vae")
                made.append(png(decode_picture(self._pipeline, latents)))
        except Stopped:
            return GeneratedImages(tuple(made), run.seed, "cancelled")
        return GeneratedImages(tuple(made), run.seed)

    def _video(self, run: _Run, asked: GenerateVideo, emit: Emit) -> GeneratedVideo:
        try:
            latents = self._denoise(run, emit, num_frames=asked.frames)
            self._bring("vae")
            frames = decode_video(self._pipeline, latents)
        except Stopped:
            return GeneratedVideo(
                b"", asked.width, asked.height, 0, asked.fps, run.seed, "cancelled"
            )
        data = mp4(frames, asked.width, asked.height, asked.fps)
        return GeneratedVideo(data, asked.width, asked.height, len(frames), asked.fps, run.seed)

    def _denoise(self, run: _Run, emit: Emit, **more: int) -> torch.Tensor:
        """The latents of one picture or video."""
        self._stop.check()
        found: tuple[torch.Tensor, ...] = self._pipeline(
            prompt=run.request.prompt,
            negative_prompt=run.request.negative_prompt,
            width=run.request.width,
            height=run.request.height,
            num_inference_steps=run.steps,
            guidance_scale=run.guidance,
            # On the CPU, so that a seed gives the same picture on every device.
            generator=torch.Generator().manual_seed(run.seed),
            output_type="latent",
            callback_on_step_end=partial(self._step_done, run, emit),
            return_dict=False,
            **more,
        )
        return found[0]

    def _step_done(
        self,
        run: _Run,
        emit: Emit,
        pipeline: Any,  # noqa: ANN401 - diffusers' signature
        number: int,
        _: object,
        tensors: dict[str, Any],
    ) -> dict[str, Any]:
        """Diffusers calls this after each step; some schedulers take one more than asked."""
        self._stop.check()
        each = int(pipeline.num_timesteps)
        due = run.preview_every and (number + 1) % run.preview_every == 0
        preview = self._previews.picture(tensors["latents"]) if due else None
        emit(StepDone(run.before * each + number + 1, run.count * each, preview))
        return tensors

    def _bring(self, network: str) -> None:
        if self._shelf is not None:
            self._shelf.bring(network)


def load(spec: LoadSpec) -> tuple[Backend, LoadReport]:
    """See ``LoadBackend``."""
    settings = read_settings(spec, DiffusionSettings)
    device = torch_device.prepare(spec, settings.threads, None)
    given = msgspec.to_builtins(settings)
    kind = find_kind(diffusion_load.find_weights(spec), given)
    limits = limits_of(kind, given)
    with torch_device.memory_errors(spec.name):
        pipeline = diffusion_load.open_pipeline(spec, settings, kind)
        backend = DiffusionBackend(spec.name, pipeline, limits, settings, device)
        if device.type != "cpu" and settings.warm_up:
            backend.warm_up()
    parts = networks(pipeline).values()
    details = {
        "pipeline": kind.name,
        "parameters": f"{sum(_numbers(part) for part in parts) / 1e6:.1f} million",
        "precision": str(next(iter(parts)).dtype).removeprefix("torch."),
        "offload": settings.offload,
    }
    return backend, LoadReport(_held_bytes(pipeline, backend), details)


def prepare() -> None:
    """Importing this module has imported all that most loads need."""
    torch_device.begin_computing()


def _held_bytes(pipeline: Any, backend: DiffusionBackend) -> int:  # noqa: ANN401
    """Weights that stay on the device between two requests."""
    if backend._shelf is not None:
        return 0
    return sum(torch_device.weights_bytes(part) for part in networks(pipeline).values())


def _numbers(network: torch.nn.Module) -> int:
    return sum(each.numel() for each in network.parameters())


def _check_range(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise BadInput(f"{name} is {value}; allowed: {least} to {most}")
