"""From ``models.yaml`` to what the planner needs to know of each model."""

import asyncio
import logging
from pathlib import Path

from danzar.broker.rules import purpose_of, with_rules
from danzar.broker.warm_rules import warm_bytes
from danzar.config.models import ModelEntry
from danzar.config.settings import Config
from danzar.core.model import ModelFacts
from danzar.core.variant import Rung, Variant
from danzar.errors import ModelError
from danzar.estimate.diffusion import PROCESS_BYTES as DIFFUSION_PROCESS_BYTES
from danzar.estimate.diffusion import open_diffusion
from danzar.estimate.gguf import CUDA_CONTEXT_BYTES
from danzar.estimate.torch_files import CUDA_CONTEXT_BYTES as TORCH_CONTEXT_BYTES
from danzar.estimate.torch_files import batch_of
from danzar.estimate.variants import MIN_CONTEXT, gguf_variants, torch_variants
from danzar.models.manifest import resolve, slots_of
from danzar.units import MIB
from danzar.workers.contract import ENGINES

log = logging.getLogger(__name__)

# A Python process with its libraries, in host RAM, by engine; resident sizes seen on Linux.
_PROCESS_BYTES = {
    "llama": 150 * MIB,
    "torch": 600 * MIB,
    "onnx": 250 * MIB,
    "media": 200 * MIB,
    "diffusion": DIFFUSION_PROCESS_BYTES,
}
_CONTEXT_BYTES = {
    "llama": CUDA_CONTEXT_BYTES,
    "torch": TORCH_CONTEXT_BYTES,
    "diffusion": TORCH_CONTEXT_BYTES,
}
_UNKNOWN_BYTES = 512 * MIB
# A crash in llama.cpp ends the process: each of its models has its own, so that it falls alone.
_ALONE = frozenset({"llama"})


async def model_facts(config: Config) -> tuple[ModelFacts, ...]:
    """The facts of every model in ``models.yaml``; a missing file counts with its listed size."""
    return tuple(
        [
            await asyncio.to_thread(_facts, config, name, entry)
            for name, entry in config.models.models.items()
        ]
    )


def worker_of(name: str, backend: str) -> str:
    """The name of the process that hosts a model: its engine's, or its own."""
    engine = ENGINES[backend]
    return f"{engine}:{name}" if engine in _ALONE else engine


def _facts(config: Config, name: str, entry: ModelEntry) -> ModelFacts:
    engine = ENGINES[entry.backend]
    needed = ModelFacts(
        name=name,
        worker=worker_of(name, entry.backend),
        purpose=purpose_of(entry),
        variants=_variants(config, name, entry),
        context_bytes=0 if entry.memory is not None else _CONTEXT_BYTES.get(engine, 0),
        process_bytes=_PROCESS_BYTES.get(engine, _UNKNOWN_BYTES),
        slots=slots_of(config, entry),
        batch=batch_of(entry.backend, entry.settings),
        warm_bytes=warm_bytes(config, name, entry),
    )
    return with_rules(needed, config)


def _variants(config: Config, name: str, entry: ModelEntry) -> tuple[Variant, ...]:
    """How the model can be loaded, best first."""
    if entry.memory is not None:
        return (_fixed(entry.memory),)
    try:
        return _from_file(resolve(name, config), entry)
    except ModelError as exc:
        log.debug("%s; its size is taken from models.yaml", exc)
        return (_fixed(entry.size or _UNKNOWN_BYTES),)


def _fixed(size_bytes: int) -> Variant:
    return Variant(Rung.FULL, size_bytes, size_bytes)


def _from_file(path: Path | None, entry: ModelEntry) -> tuple[Variant, ...]:
    if path is not None and entry.backend == "llama":
        least = entry.min_context or MIN_CONTEXT
        return gguf_variants(path, entry.settings, min_context=least)
    if path is not None and entry.backend == "diffusion":
        return open_diffusion(path, entry.settings).variants()
    if entry.backend in ("yolo", "clip"):
        return torch_variants(path, entry.settings, entry.backend)
    return (_fixed(0),)
