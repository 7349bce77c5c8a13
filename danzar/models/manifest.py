"""From a model's name to what a worker needs to load it."""

from collections.abc import Mapping
from typing import Any

from danzar.config.models import ModelEntry
from danzar.config.settings import Config
from danzar.core.candidates import LAYERS_SETTING, SPLIT_SETTING
from danzar.core.device import CPU_UUID, DeviceKind, DeviceSnapshot
from danzar.core.variant import Setting
from danzar.models.files import entry_of, inside, resolve
from danzar.models.verify import Verified, verify
from danzar.workers.contract import LoadSpec

__all__ = ["entry_of", "load_spec", "resolve", "slots_of", "spec_on"]

# Besides one capture per watch, the media worker decodes and draws this many pictures at once.
_MEDIA_SLOTS = 4
# What each backend calls its number of threads.
_THREADS = {
    "llama": "n_threads",
    "yolo": "threads",
    "clip": "threads",
    "ocr": "threads",
    "diffusion": "threads",
}
# Settings of a placement that say where layers go: fields of ``LoadSpec``, not of a backend.
_WHERE = (LAYERS_SETTING, SPLIT_SETTING)
# How many conversations a llama model has at once: ``LoadSpec.slots``, not a backend's setting.
_SLOTS = "slots"
_ALL_LAYERS = -1


def spec_on(
    config: Config, name: str, device: DeviceSnapshot, placed: tuple[tuple[str, Setting], ...]
) -> LoadSpec:
    """What a worker needs to load the model as it was placed; blocks and raises as ``load_spec``.

    A worker sees its own cards only, the first as ``cuda:0``; a simulated card computes on the CPU.

    Args:
        config: All settings.
        name: The model's name in ``models.yaml``.
        device: Which hosts it, or most of it.
        placed: The placement's settings; they override the model's own.
    """
    settings = dict(placed)
    own = {key: value for key, value in settings.items() if key not in _WHERE}
    if device.kind is DeviceKind.CPU or device.simulated:
        return load_spec(config, name, CPU_UUID, settings=own)
    parts = str(settings.get(SPLIT_SETTING, ""))
    return load_spec(
        config,
        name,
        "cuda:0",
        int(settings.get(LAYERS_SETTING, _ALL_LAYERS)),
        layer_split=tuple(int(part) for part in parts.split(":") if part),
        settings=own,
    )


def load_spec(
    config: Config,
    name: str,
    torch_device: str,
    gpu_layers: int = 0,
    *,
    layer_split: tuple[int, ...] = (),
    settings: Mapping[str, Setting] | None = None,
) -> LoadSpec:
    """What a worker needs to load the model, whose file is verified before it is handed over.

    Blocks: call it from a thread. Quick when the file was verified before and did not change.

    Args:
        config: All settings.
        name: The model's name in ``models.yaml``.
        torch_device: ``cuda:0`` or ``cpu`` as the worker sees devices.
        gpu_layers: Layers of a GGUF model on the card; -1 is all of them.
        layer_split: How many of them go to each of the worker's cards; empty is one card.
        settings: Override the model's own.

    Raises:
        ModelMissing: It is not listed, or its file is not there.
        ModelRefused: The file is damaged, another one, or not allowed.
    """
    entry = entry_of(config, name)
    verified = verify(name, config)
    merged = _settings(config, entry, verified, torch_device) | dict(settings or {})
    if entry.backend == "diffusion":
        merged |= _of_pipeline(config, name, merged)
    slots = merged.pop(_SLOTS, None) if entry.backend == "llama" else None
    return LoadSpec(
        name=name,
        backend=entry.backend,
        path=None if verified.path is None else str(verified.path),
        torch_device=torch_device,
        gpu_layers=gpu_layers,
        layer_split=layer_split,
        slots=slots_of(config, entry) if slots is None else int(slots),
        settings=merged,
        checksum=verified.sha256 or "",
    )


def slots_of(config: Config, entry: ModelEntry) -> int:
    """How many requests a model serves at once: several only where the backend allows it."""
    if entry.backend == "media":
        return config.bot.watch.max_watches + _MEDIA_SLOTS
    return int(entry.settings.get(_SLOTS, 1)) if entry.backend == "llama" else 1


def _of_pipeline(config: Config, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Where a single file's description lies, and whether pickles may be opened.

    Raises:
        ModelRefused: The path leads out of the project's folder.
    """
    found: dict[str, Any] = {"unverified": name in config.models.allow_unverified}
    if settings.get("config") is not None:
        found["config"] = str(inside(config.root, name, str(settings["config"])))
    return found


def _settings(
    config: Config, entry: ModelEntry, verified: Verified, torch_device: str
) -> dict[str, Any]:
    """The entry's own settings, and what the other files say, where the entry does not."""
    settings: dict[str, Any] = {}
    threads = config.vram.workers.threads
    if threads and entry.backend in _THREADS:
        settings[_THREADS[entry.backend]] = threads
    if entry.backend in ("yolo", "clip") and torch_device != CPU_UUID:
        settings["gpu_memory_fraction"] = config.vision.performance.gpu_memory_fraction
    if entry.backend == "yolo" and verified.sha256 is not None:
        settings["sha256"] = verified.sha256
    return settings | entry.settings
