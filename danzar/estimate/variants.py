"""The ways in which a model's file can be loaded, best first, with what each one takes.

Nothing is loaded: the sizes come from the file's header. See ``danzar.core.variant``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from danzar.core.footprint import Footprint
from danzar.core.variant import Variant
from danzar.estimate.diffusion import open_diffusion
from danzar.estimate.gguf_estimate import open_gguf
from danzar.estimate.torch_files import open_torch

MIN_CONTEXT = 2048


@dataclass(frozen=True, slots=True)
class FileEstimate:
    """All that a file says about its need.

    Attributes:
        variants: The ways to load it, best first.
        card: As configured, whole on a card, by parts and without the CUDA context.
        host: As configured, in host RAM.
    """

    variants: tuple[Variant, ...]
    card: Footprint
    host: Footprint


def estimate_file(
    path: str | Path | None,
    settings: Mapping[str, Any],
    backend: str,
    *,
    min_context: int = MIN_CONTEXT,
) -> FileEstimate:
    """Parts and variants at once, with one look at the file; see the functions below."""
    if backend == "llama" and path is not None:
        gguf = open_gguf(path, settings)
        variants = gguf.variants(min_context)
        return FileEstimate(variants, gguf.footprint(on_card=True), gguf.footprint(on_card=False))
    if backend == "diffusion" and path is not None:
        pipeline = open_diffusion(path, settings)
        card, host = pipeline.footprint(on_card=True), pipeline.footprint(on_card=False)
        return FileEstimate(pipeline.variants(), card, host)
    torch = open_torch(path, settings, backend)
    return FileEstimate(
        torch.variants(), torch.footprint(on_card=True), torch.footprint(on_card=False)
    )


def gguf_variants(
    path: str | Path, settings: Mapping[str, Any], *, min_context: int = MIN_CONTEXT
) -> tuple[Variant, ...]:
    """How a GGUF model can be loaded: as configured, then one rung lower at a time.

    FULL, then BATCH, SLOTS, KV and CONTEXT (slots and contexts several times, each half of the one
    before). Each includes the reductions of those before it; one that would save less than 1 % is
    left out. Blocks for tens of milliseconds.

    Args:
        path: The file, or the first of several parts.
        settings: The model's own, as ``models.yaml`` has them; of those, only what changes the
            need for memory is read.
        min_context: The smallest context that is offered, tokens.

    Raises:
        danzar.errors.ModelMissing: The file, a part of it or its projector is not there.
        danzar.errors.ModelRefused: It is no GGUF, is cut or damaged, or holds no model.
    """
    return open_gguf(path, settings).variants(min_context)


def torch_variants(
    path: str | Path | None, settings: Mapping[str, Any], backend: str
) -> tuple[Variant, ...]:
    """How a torch model can be loaded: as configured, then with smaller batches (8, 4, 2, 1).

    Args:
        path: The weights file, or a folder of which all weights files count; ``None`` where the
            backend carries its own weights, which then count as nothing.
        settings: The model's own, as ``models.yaml`` has them.
        backend: ``yolo``, ``clip`` or ``ocr``.

    Raises:
        danzar.errors.ModelMissing: No weights are there.
    """
    return open_torch(path, settings, backend).variants()
