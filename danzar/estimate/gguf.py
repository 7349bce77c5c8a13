"""What a GGUF model will need, computed from its file before it is loaded.

The terms follow llama.cpp's own allocations, which it logs at a load: model, KV, compute and output
buffers. What a CUDA context takes is assumed until a load was measured.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from danzar.core.footprint import Footprint
from danzar.estimate.gguf_frame import Part
from danzar.estimate.gguf_graph import Compute, compute
from danzar.estimate.gguf_layers import Layer
from danzar.estimate.gguf_model import GgufModel, read_model
from danzar.estimate.gguf_settings import GgufSettings, kv_cache_bytes
from danzar.units import MIB

__all__ = [
    "CUDA_CONTEXT_BYTES",
    "GgufSettings",
    "SplitFootprint",
    "check_gguf",
    "split_footprint",
    "split_over",
]

_FLOAT_BYTES = 4
# Where all layers are on several cards, llama.cpp works on so many batches at once, and each card
# holds the inputs of all of them.
BATCHES_IN_FLIGHT = 4

# Assumed, not measured: context, kernels and cuBLAS work space of llama.cpp on one card.
CUDA_CONTEXT_BYTES = 384 * MIB


@dataclass(frozen=True, slots=True)
class SplitFootprint:
    """A model's need on the card and in host RAM."""

    card: Footprint
    host: Footprint


def check_gguf(path: str | Path) -> None:
    """Refuse a file that llama.cpp could not load, before a worker tries. Blocks.

    Raises:
        danzar.errors.ModelMissing: The file, or a part of it, is not there.
        danzar.errors.ModelRefused: It is no GGUF, is cut or damaged, or holds no model.
    """
    read_model(path)


def split_footprint(model: GgufModel, settings: GgufSettings) -> SplitFootprint:
    """What each side needs when the last layers are on the card. Pure."""
    places = len(model.layers) + 1
    on_card = places if settings.gpu_layers < 0 else min(settings.gpu_layers, places)
    first_on_card = places - on_card
    host_layers, card_layers = model.layers[:first_on_card], model.layers[first_on_card:]
    return SplitFootprint(
        card=_card(model, card_layers, settings, has_output=True) if on_card else Footprint(0),
        host=_host(model, host_layers, settings, has_output=on_card == 0),
    )


def split_over(
    model: GgufModel, settings: GgufSettings, layers_per_card: tuple[int, ...]
) -> tuple[Footprint, ...]:
    """What each of several cards needs that share all layers, the output counted as the last.

    Args:
        model: What is split.
        settings: How it is loaded.
        layers_per_card: Together the model's layers and 1 for the output.

    Raises:
        ValueError: The numbers don't add up.
    """
    places = len(model.layers) + 1
    if sum(layers_per_card) != places or min(layers_per_card) < 0:
        raise ValueError(f"{layers_per_card} must be {places} layers together")
    footprints, first = [], 0
    for count in layers_per_card:
        layers = model.layers[first : first + count]
        first += count
        has_output = count > 0 and first == places
        footprint = _card(model, layers, settings, has_output=has_output, shared=True)
        footprints.append(footprint if count else Footprint(0))
    return tuple(footprints)


def compute_of(
    model: GgufModel, layers: tuple[Layer, ...], settings: GgufSettings, *, has_output: bool
) -> Compute:
    """The compute buffer of the device that has these layers."""
    part = Part(
        layers,
        model.embedding_width,
        model.vocabulary if has_output else 0,
        _widest(model),
        model.window_tokens,
    )
    # How many layers are on the card makes no difference to a graph of these layers.
    return compute(part, replace(settings, gpu_layers=-1))


def cache_bytes(model: GgufModel, layers: tuple[Layer, ...], settings: GgufSettings) -> int:
    """The KV cache of some layers."""
    return kv_cache_bytes(layers, settings, model.window_tokens, widest=_widest(model))


def logits_bytes(model: GgufModel, settings: GgufSettings) -> int:
    """llama.cpp's output buffer, in host RAM: the odds of each word, once for each sequence."""
    return model.vocabulary * _FLOAT_BYTES * settings.sequences


def _widest(model: GgufModel) -> int:
    return max((layer.value_width for layer in model.layers), default=0)


def _card(
    model: GgufModel,
    layers: tuple[Layer, ...],
    settings: GgufSettings,
    *,
    has_output: bool,
    shared: bool = False,
) -> Footprint:
    sizes = compute_of(model, layers, settings, has_output=has_output)
    copies_bytes = (BATCHES_IN_FLIGHT - 1) * sizes.inputs_bytes if shared else 0
    return Footprint(
        weights_bytes=_weights_bytes(layers) + (model.output_bytes if has_output else 0),
        kv_cache_bytes=cache_bytes(model, layers, settings),
        activations_bytes=sizes.buffer_bytes + copies_bytes,
        cuda_context_bytes=CUDA_CONTEXT_BYTES,
    )


def _host(
    model: GgufModel, layers: tuple[Layer, ...], settings: GgufSettings, *, has_output: bool
) -> Footprint:
    # In host RAM a shared output is the embedding table itself, not a copy.
    own_output_bytes = model.output_bytes - model.shared_bytes if has_output else 0
    copied_bytes = _rewritten_bytes(model) if has_output else 0
    sizes = compute_of(model, layers, settings, has_output=has_output)
    return Footprint(
        weights_bytes=model.input_bytes + _weights_bytes(layers) + own_output_bytes + copied_bytes,
        kv_cache_bytes=cache_bytes(model, layers, settings),
        activations_bytes=sizes.buffer_bytes + logits_bytes(model, settings),
    )


def _weights_bytes(layers: tuple[Layer, ...]) -> int:
    return sum(layer.weights_bytes for layer in layers)


def _rewritten_bytes(model: GgufModel) -> int:
    """Copies that only a model without any layer on a card has."""
    return model.rewritten_bytes + sum(layer.rewritten_bytes for layer in model.layers)
