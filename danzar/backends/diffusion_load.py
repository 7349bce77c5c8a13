"""Opens a pipeline from a folder in diffusers' layout, or from one file; never from the network."""

import os
import warnings
from pathlib import Path
from typing import Any, Final

# Before diffusers is imported: nothing is fetched, nothing is reported.
os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DIFFUSERS_VERBOSITY": "error",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
}

import diffusers
import torch
import transformers

from danzar.backends.diffusion_settings import DiffusionSettings
from danzar.errors import ModelMissing, ModelRefused
from danzar.pipeline_kinds import INDEX_FILE, PipelineKind, read_json
from danzar.workers.contract import LoadSpec

diffusers.utils.logging.disable_progress_bar()
transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]

_UNREADABLE: Final = (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError)
_CHECKER: Final = "safety_checker"


def find_weights(spec: LoadSpec) -> Path:
    """The folder or file with the weights.

    Raises:
        ModelMissing: There is nothing at the path.
    """
    path = Path(spec.path or "")
    if spec.path is None or not path.exists():
        raise ModelMissing(f"{spec.name}: there is no {path}.")
    return path


def open_pipeline(spec: LoadSpec, settings: DiffusionSettings, kind: PipelineKind) -> Any:  # noqa: ANN401 - diffusers' classes
    """The pipeline in host RAM, ready to be moved.

    Raises:
        ModelMissing: There is nothing at the path.
        ModelRefused: It can't be read, or needs what only the network has.
    """
    path = find_weights(spec)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # diffusers' hints to those who publish models
            pipeline = _open(spec, path, settings, kind)
    except _UNREADABLE as exc:
        if isinstance(exc, torch.OutOfMemoryError):
            raise
        raise ModelRefused(f"{spec.name}: diffusers can't load {path}: {exc}") from exc
    pipeline.set_progress_bar_config(disable=True)
    _choose_scheduler(spec.name, pipeline, settings.scheduler)
    return pipeline


def dtypes(
    settings: DiffusionSettings, kind: PipelineKind, device: torch.device, *, wide_vae: bool
) -> tuple[torch.dtype, torch.dtype]:
    """The precision of the networks, and of the autoencoder."""
    named = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
    on_card = device.type != "cpu"
    wanted = named.get(settings.precision, named[kind.half] if on_card else torch.float32)
    # The CPU has no fast half precision but bfloat16, and not that for every operation.
    at_work = torch.float32 if not on_card and wanted is torch.float16 else wanted
    return at_work, torch.float32 if wide_vae else at_work


def is_vae_wide(path: Path, kind: PipelineKind) -> bool:
    """Whether the autoencoder must compute in float32, as its own settings say."""
    said = read_json(path / "vae" / "config.json").get("force_upcast") if path.is_dir() else None
    return kind.wide_vae if said is None or kind.makes == "video" else bool(said)


def _open(spec: LoadSpec, path: Path, settings: DiffusionSettings, kind: PipelineKind) -> Any:  # noqa: ANN401
    device = torch.device(spec.torch_device)
    wide_vae = is_vae_wide(path, kind)
    at_work, in_vae = dtypes(settings, kind, device, wide_vae=wide_vae)
    made_by = getattr(diffusers, kind.class_name)
    more: dict[str, Any] = {}
    if kind.name == "sd":
        more = _without_checker(path, settings)
    if path.is_dir():
        pipeline = made_by.from_pretrained(
            str(path),
            dtype={"default": at_work, "vae": in_vae},
            local_files_only=True,
            use_safetensors=None if settings.unverified else True,
            variant=settings.variant,
            **more,
        )
    else:
        pipeline = made_by.from_single_file(
            str(path),
            config=_config_of(spec, settings),
            torch_dtype=at_work,
            local_files_only=True,
            **more,
        )
        pipeline.vae.to(in_vae)
    return pipeline


def _without_checker(path: Path, settings: DiffusionSettings) -> dict[str, Any]:
    """What leaves the safety checker out, where it is not wanted or not there."""
    has_one = (read_json(path / INDEX_FILE).get(_CHECKER) or [None])[0] is not None
    wanted = has_one if settings.safety_checker is None else settings.safety_checker
    if wanted and not has_one:
        raise ValueError("it has no safety checker; take safety_checker out of its settings")
    return {} if wanted else {_CHECKER: None, "requires_safety_checker": False}


def _config_of(spec: LoadSpec, settings: DiffusionSettings) -> str:
    """The folder that says what a single file is made of: the file holds the weights alone."""
    if settings.config is None or not (Path(settings.config) / INDEX_FILE).is_file():
        raise ModelRefused(
            f"{spec.name}: {spec.path} holds weights alone. Set settings.config to a folder in "
            f"diffusers' layout ({INDEX_FILE}, the config.json of each network, the tokenizers); "
            "it needs no weights. Nothing is fetched while a model loads"
        )
    return settings.config


def _choose_scheduler(model: str, pipeline: Any, wanted: str | None) -> None:  # noqa: ANN401
    if wanted is None:
        return
    known = {each.__name__: each for each in pipeline.scheduler.compatibles}
    if wanted not in known:
        raise ModelRefused(
            f"{model}: settings.scheduler is {wanted!r}; this pipeline takes "
            f"{', '.join(sorted(known))}"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline.scheduler = known[wanted].from_config(pipeline.scheduler.config)


def prepare(kind: PipelineKind) -> None:
    """Import what a load of this kind needs."""
    getattr(diffusers, kind.class_name)
