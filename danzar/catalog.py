"""From ``models.yaml`` to what the planner needs to know of each model."""

import asyncio
import logging
from pathlib import Path

from danzar.config.models import ModelEntry
from danzar.config.settings import Config
from danzar.core.footprint import Footprint
from danzar.core.model import ModelFacts
from danzar.errors import ModelError
from danzar.estimate.gguf import estimate_gguf
from danzar.estimate.torch_files import PictureLoad, estimate_torch
from danzar.models.manifest import resolve, slots_of
from danzar.units import MIB, gib_to_bytes
from danzar.workers.contract import ENGINES

log = logging.getLogger(__name__)

# A Python process with its libraries, in host RAM, by engine; resident sizes seen on Linux.
_PROCESS_BYTES = {"llama": 150 * MIB, "torch": 600 * MIB, "onnx": 250 * MIB, "media": 200 * MIB}
_UNKNOWN_BYTES = 512 * MIB
_CPU_BACKENDS = frozenset({"ocr", "media"})
_VISION_BATCH = 8


async def model_facts(config: Config) -> tuple[ModelFacts, ...]:
    """The facts of every model in ``models.yaml``; a missing file counts with its listed size."""
    return tuple(
        [await asyncio.to_thread(_facts, config, name, entry) for name, entry in _models(config)]
    )


def _models(config: Config) -> list[tuple[str, ModelEntry]]:
    return list(config.models.models.items())


def _facts(config: Config, name: str, entry: ModelEntry) -> ModelFacts:
    memory = config.vision.gpu_memory
    is_chat = entry.role == "chat"
    on_card, on_host = _footprints(config, name, entry)
    engine = ENGINES[entry.backend]
    home = memory.main_llm_device if is_chat else memory.vision_device
    return ModelFacts(
        name=name,
        engine=engine,
        purpose="chat" if is_chat else "vision",
        cuda_bytes=on_card.total_bytes - on_card.cuda_context_bytes,
        context_bytes=on_card.cuda_context_bytes,
        host_bytes=on_host.total_bytes + _PROCESS_BYTES.get(engine, _UNKNOWN_BYTES),
        preferred=_preferred(entry.device or home, memory.main_llm_device),
        min_free_bytes=0 if is_chat else gib_to_bytes(memory.cpu_fallback_threshold_gb),
        allow_cpu=memory.fallback_to_cpu,
        wants_cpu=entry.backend in _CPU_BACKENDS or "cpu" in (entry.device, home),
        slots=slots_of(config, entry),
    )


def _preferred(home: str, llm_device: str) -> tuple[str, ...]:
    """The seed's order: the model's own device, then the chat model's, then any other."""
    return tuple(dict.fromkeys((home, llm_device)))


def _footprints(config: Config, name: str, entry: ModelEntry) -> tuple[Footprint, Footprint]:
    """What the model takes on a card and in host RAM."""
    if entry.memory is not None:
        return Footprint(entry.memory), Footprint(entry.memory)
    try:
        path = resolve(name, config)
        return _from_file(path, entry, on_card=True), _from_file(path, entry, on_card=False)
    except ModelError as exc:
        log.debug("%s; its size is taken from models.yaml", exc)
        listed = Footprint(entry.size or _UNKNOWN_BYTES)
        return listed, listed


def _from_file(path: Path | None, entry: ModelEntry, *, on_card: bool) -> Footprint:
    if path is None:
        return Footprint(0)
    if entry.backend == "llama":
        context, batch = entry.settings.get("n_ctx", 2048), entry.settings.get("n_batch", 512)
        return estimate_gguf(path, int(context), int(batch), gpu_layers=-1 if on_card else 0)
    side_px = int(entry.settings.get("imgsz", 640))
    load = PictureLoad(batch=_VISION_BATCH, side_px=side_px)
    return estimate_torch(path, load, on_card=on_card)
