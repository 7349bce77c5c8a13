"""A GGUF model's need by its parts, and as the variants in which it can be loaded."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from danzar.core.footprint import Footprint
from danzar.core.variant import LayerShape, Rung, Setting, Variant
from danzar.estimate.gguf import (
    BATCHES_IN_FLIGHT,
    SplitFootprint,
    cache_bytes,
    compute_of,
    split_footprint,
)
from danzar.estimate.gguf_ladder import reductions
from danzar.estimate.gguf_model import GgufModel, read_model
from danzar.estimate.gguf_settings import GgufSettings, from_backend
from danzar.estimate.projector import Projector, read_projector
from danzar.units import parse_size

Changes = Mapping[str, Setting] | None
"""What a rung changes in the model's own settings."""

# A rung that saves less than this share of the memory is not worth what it costs.
LEAST_SAVING = 0.01


@dataclass(frozen=True, slots=True)
class GgufEstimate:
    """A model with its settings, ready to be asked.

    Attributes:
        projector: What turns pictures into words for it; ``None`` where it sees none.
    """

    model: GgufModel
    settings: Mapping[str, Any]
    projector: Projector | None = None

    def waiting_bytes(self, changes: Changes = None) -> int:
        """Host RAM for conversations that wait, and one that is changing places with them."""
        kept_bytes = parse_size(self.settings.get("prompt_cache", 0))
        one = replace(self._settings(changes, -1), sequences=1)
        return kept_bytes + (cache_bytes(self.model, self.model.layers, one) if kept_bytes else 0)

    @property
    def layer_count(self) -> int:
        """How many can be placed, the output counted as one."""
        return len(self.model.layers) + 1

    def split(self, gpu_layers: int, changes: Changes = None) -> SplitFootprint:
        """What the card and host RAM take with so many layers on the card (-1: all).

        Without a CUDA context. Pictures are turned into words where the model is.
        """
        sides = split_footprint(self.model, self._settings(changes, gpu_layers))
        card = replace(sides.card, cuda_context_bytes=0)
        if gpu_layers == 0:
            return SplitFootprint(card, self._with_projector(sides.host))
        return SplitFootprint(self._with_projector(card), sides.host)

    def footprint(self, *, on_card: bool) -> Footprint:
        """What the device takes that has the whole model, by parts; without a CUDA context."""
        return self.split(-1).card if on_card else self.split(0).host

    def variants(self, min_context: int) -> tuple[Variant, ...]:
        """As configured, then one rung lower at a time."""
        found = [self._variant(Rung.FULL, {}, "")]
        changes: dict[str, Setting] = {}
        losses: dict[Rung, str] = {}
        for step in reductions(self.model, self._settings(None, -1), min_context):
            tried = changes | dict(step.changes)
            told = losses | {step.rung: step.loss}
            variant = self._variant(step.rung, tried, ", ".join(told.values()))
            if variant.cuda_bytes <= found[-1].cuda_bytes * (1 - LEAST_SAVING):
                changes, losses = tried, told
                found.append(variant)
        return tuple(found)

    def shape(self, changes: Changes = None) -> LayerShape:
        """How it divides over devices."""
        model, settings = self.model, self._settings(changes, -1)
        layer_bytes = max(
            layer.weights_bytes + cache_bytes(model, (layer,), settings) for layer in model.layers
        )
        sizes = compute_of(model, model.layers, settings, has_output=True)
        # The output counts as a layer, but a large vocabulary makes it larger than one.
        fixed_bytes = sizes.buffer_bytes + max(0, model.output_bytes - layer_bytes)
        fixed_bytes += (BATCHES_IN_FLIGHT - 1) * sizes.inputs_bytes
        if self.projector is not None:
            fixed_bytes += self.projector.total_bytes
        return LayerShape(self.layer_count, layer_bytes, fixed_bytes)

    def _settings(self, changes: Changes, gpu_layers: int) -> GgufSettings:
        merged = {**self.settings, **(changes or {})}
        return from_backend(merged, self.model.trained_context, gpu_layers)

    def _variant(self, rung: Rung, changes: dict[str, Setting], loss: str) -> Variant:
        on_card, kept_bytes = self.split(-1, changes), self.waiting_bytes(changes)
        return Variant(
            rung=rung,
            cuda_bytes=on_card.card.total_bytes,
            host_bytes=self.split(0, changes).host.total_bytes + kept_bytes,
            settings=tuple(changes.items()),
            beside_bytes=on_card.host.total_bytes + kept_bytes,
            layers=self.shape(changes),
            loss=loss,
        )

    def _with_projector(self, parts: Footprint) -> Footprint:
        if self.projector is None:
            return parts
        return replace(
            parts,
            weights_bytes=parts.weights_bytes + self.projector.weights_bytes,
            activations_bytes=parts.activations_bytes + self.projector.compute_bytes,
        )


def open_gguf(path: str | Path, settings: Mapping[str, Any]) -> GgufEstimate:
    """Read a model's file, and its projector's where the settings name one (``mmproj``).

    Blocks for tens of milliseconds. Raises as ``read_model`` does.
    """
    name = settings.get("mmproj")
    projector = read_projector(Path(path).parent / str(name)) if name else None
    return GgufEstimate(read_model(path), settings, projector)
