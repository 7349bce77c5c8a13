"""``danzar estimate``: what a model will need, by parts, before it is loaded."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from danzar.broker.measured import MEASURED_FILE, Measurements
from danzar.commands.terminal import table
from danzar.config.places import data_folder
from danzar.config.settings import Config
from danzar.core.device import CPU_UUID
from danzar.core.footprint import Footprint
from danzar.core.variant import Variant
from danzar.errors import BadInput, ModelMissing
from danzar.estimate.correct import Corrected, Measurement, correct
from danzar.estimate.diffusion import open_diffusion
from danzar.estimate.fingerprint import fingerprint
from danzar.estimate.gguf import CUDA_CONTEXT_BYTES, SplitFootprint
from danzar.estimate.gguf_estimate import open_gguf
from danzar.estimate.torch_files import CUDA_CONTEXT_BYTES as TORCH_CONTEXT_BYTES
from danzar.estimate.torch_files import open_torch
from danzar.estimate.variants import MIN_CONTEXT
from danzar.models.files import entry_of, resolve
from danzar.pipeline_kinds import INDEX_FILE
from danzar.units import format_size
from danzar.workers.contract import ENGINES

_BACKENDS = {".pt": "yolo", ".safetensors": "clip"}
_CONTEXT_BYTES = {
    "llama": CUDA_CONTEXT_BYTES,
    "torch": TORCH_CONTEXT_BYTES,
    "diffusion": TORCH_CONTEXT_BYTES,
}
_QUANTISED = ("q8_0", "q4_0")


@dataclass(frozen=True, slots=True)
class Asked:
    """What the caller wants otherwise than the model's settings say; ``None`` leaves it.

    Attributes:
        context: Tokens of context.
        layers: Layers on the card, the output counted as one; 0 is the CPU.
        kv_type: Precision of the conversation's cache.
        batch: Tokens, or pictures, that are computed at once.
    """

    context: int | None = None
    layers: int | None = None
    kv_type: str | None = None
    batch: int | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """What is estimated. ``path`` is ``None`` where the backend carries its own weights."""

    name: str
    path: Path | None
    backend: str
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """An estimate by its parts.

    Attributes:
        layers: Layers on the card, and all there are; ``None`` where they can't be divided.
        parts: Of the device that hosts the model: the card, or host RAM with no layer there.
        overhead_bytes: CUDA context, and what earlier loads took beyond the estimate.
        beside_bytes: In host RAM while a card hosts it.
        source: What it rests on.
        variants: The ways to load it with less, best first.
    """

    target: Target
    on_card: bool
    layers: tuple[int, int] | None
    parts: Footprint
    overhead_bytes: int
    beside_bytes: int
    source: str
    variants: tuple[Variant, ...]

    @property
    def total_bytes(self) -> int:
        """What is booked on the device."""
        return self.parts.total_bytes + self.overhead_bytes


def estimate(config: Config, name: str, asked: Asked) -> Answer:
    """Read the file of a model, or a file, and compute what it needs.

    Raises:
        ModelMissing: There is neither a model nor a file of that name.
        danzar.errors.ModelRefused: The file is damaged, or no model.
        BadInput: What was asked does not go with this kind of model.
    """
    target = _with_asked(find_target(config, name), asked)
    on_card = asked.layers != 0
    layers, sides, variants = _read(target, asked.layers)
    corrected = Corrected(variants, "estimated")
    if layers is None or layers[0] in (0, layers[1]):
        past = asyncio.run(_past(config, target, on_card=on_card))
        parts = sides.card if on_card else sides.host
        corrected = correct(
            variants,
            past,
            settings=target.settings,
            weights_bytes=parts.weights_bytes,
            on_cpu=not on_card,
        )
    return _answer(target, layers, sides, variants, corrected)


def find_target(config: Config, name: str) -> Target:
    """A model of ``models.yaml``, or a file or folder.

    Raises:
        ModelMissing: It is neither, or its file is not there.
    """
    if name in config.models.models:
        entry = entry_of(config, name)
        return Target(name, resolve(name, config), entry.backend, entry.settings)
    path = Path(name)
    if not path.exists():
        known = ", ".join(sorted(config.models.models)) or "none"
        raise ModelMissing(f"there is no model and no file {name!r}; known models: {known}")
    in_folder = "diffusion" if (path / INDEX_FILE).is_file() else "clip"
    backend = in_folder if path.is_dir() else _BACKENDS.get(path.suffix.lower(), "llama")
    return Target(path.name, path, backend, {})


def answer_json(answer: Answer) -> dict[str, Any]:
    """The contract of ``danzar estimate --json``; see docs/json.md."""
    target, parts, layers = answer.target, answer.parts, answer.layers
    return {
        "name": target.name,
        "path": None if target.path is None else str(target.path),
        "backend": target.backend,
        "device": "cuda" if answer.on_card else CPU_UUID,
        "gpu_layers": None if layers is None else layers[0],
        "layers": None if layers is None else layers[1],
        "weights_bytes": parts.weights_bytes,
        "kv_cache_bytes": parts.kv_cache_bytes,
        "compute_bytes": parts.activations_bytes,
        "overhead_bytes": answer.overhead_bytes,
        "total_bytes": answer.total_bytes,
        "beside_bytes": answer.beside_bytes,
        "source": answer.source,
        "variants": [_variant_json(variant) for variant in answer.variants],
    }


def print_answer(answer: Answer, console: Console) -> None:
    """The parts in one table, and the ways to load it with less in another."""
    where = "on a card" if answer.on_card else "in host RAM"
    if answer.layers is not None and 0 < answer.layers[0] < answer.layers[1]:
        where = f"on a card, {answer.layers[0]} of {answer.layers[1]} layers"
    parts = table(f"{answer.target.name} {where}", "size")
    for label, size_bytes in (
        ("weights", answer.parts.weights_bytes),
        ("KV cache", answer.parts.kv_cache_bytes),
        ("compute", answer.parts.activations_bytes),
        ("overhead", answer.overhead_bytes),
        ("total", answer.total_bytes),
        ("besides, in host RAM", answer.beside_bytes),
    ):
        if size_bytes or label == "total":
            parts.add_row(label, format_size(size_bytes))
    console.print(parts)
    console.print(answer.source, style="dim")
    if len(answer.variants) > 1:
        _print_variants(answer.variants, console)


def _read(
    target: Target, layers: int | None
) -> tuple[tuple[int, int] | None, SplitFootprint, tuple[Variant, ...]]:
    """Layers on the card and in all, both sides' needs, and the variants."""
    if target.backend == "llama" and target.path is not None:
        gguf = open_gguf(target.path, target.settings)
        on_card = gguf.layer_count if layers is None else min(layers, gguf.layer_count)
        return (on_card, gguf.layer_count), gguf.split(on_card), gguf.variants(MIN_CONTEXT)
    if target.backend == "diffusion" and target.path is not None and not layers:
        pipeline = open_diffusion(target.path, target.settings)
        here = pipeline.footprint(on_card=layers is None)
        sides = (
            SplitFootprint(here, Footprint(0))
            if layers is None
            else SplitFootprint(Footprint(0), here)
        )
        return None, sides, pipeline.variants()
    if layers:
        raise BadInput(f"{target.name} can't be divided by layers; only GGUF models can")
    torch = open_torch(target.path, target.settings, target.backend)
    if layers == 0:
        return None, SplitFootprint(Footprint(0), torch.footprint(on_card=False)), torch.variants()
    return None, SplitFootprint(torch.footprint(on_card=True), Footprint(0)), torch.variants()


def _answer(
    target: Target,
    layers: tuple[int, int] | None,
    sides: SplitFootprint,
    variants: tuple[Variant, ...],
    corrected: Corrected,
) -> Answer:
    on_card = sides.card.total_bytes > 0
    before, after = variants[0], corrected.variants[0]
    learned = (
        after.cuda_bytes - before.cuda_bytes if on_card else after.host_bytes - before.host_bytes
    )
    context_bytes = _CONTEXT_BYTES.get(ENGINES[target.backend], 0) if on_card else 0
    return Answer(
        target=target,
        on_card=on_card,
        layers=layers,
        parts=sides.card if on_card else sides.host,
        overhead_bytes=context_bytes + learned,
        beside_bytes=sides.host.total_bytes if on_card else 0,
        source=corrected.source,
        variants=corrected.variants,
    )


def _with_asked(target: Target, asked: Asked) -> Target:
    """The target with what was asked in its settings."""
    batch_name = "n_batch" if target.backend == "llama" else "max_batch"
    given = {
        "n_ctx": asked.context,
        "type_k": asked.kv_type,
        "type_v": asked.kv_type,
        batch_name: asked.batch,
    }
    changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    if target.backend != "llama" and {"n_ctx", "type_k"} & changes.keys():
        raise BadInput(f"{target.name} is no language model: it has no context and no KV cache")
    if asked.kv_type in _QUANTISED:
        changes["flash_attn"] = True
    return Target(target.name, target.path, target.backend, {**target.settings, **changes})


async def _past(config: Config, target: Target, *, on_card: bool) -> tuple[Measurement, ...]:
    """What earlier loads of this file took: on the card that was used last, or on the CPU."""
    file = data_folder(config) / MEASURED_FILE
    if target.path is None or not file.exists():
        return ()
    engine, file_hash = ENGINES[target.backend], fingerprint(target.path)
    async with Measurements.open(file) as measurements:
        classes = await measurements.device_classes(engine, file_hash)
        wanted = next((name for name in classes if (name != CPU_UUID) == on_card), None)
        return await measurements.for_file(engine, file_hash, wanted) if wanted else ()


def _variant_json(variant: Variant) -> dict[str, Any]:
    shape = variant.layers
    return {
        "rung": variant.rung.value,
        "settings": dict(variant.settings),
        "cuda_bytes": variant.cuda_bytes,
        "host_bytes": variant.host_bytes,
        "beside_bytes": variant.beside_bytes,
        "layer_bytes": None if shape is None else shape.layer_bytes,
        "fixed_bytes": None if shape is None else shape.fixed_bytes,
        "loss": variant.loss,
    }


def _print_variants(variants: tuple[Variant, ...], console: Console) -> None:
    rows = table("rung", "on a card", "on the CPU", "what is lost")
    for variant in variants:
        rows.add_row(
            variant.rung.value,
            format_size(variant.cuda_bytes),
            format_size(variant.host_bytes),
            variant.loss or "nothing",
        )
    console.print()
    console.print(rows)
    console.print("On a card a process takes its CUDA context besides.", style="dim")
