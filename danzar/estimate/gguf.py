"""What a GGUF model will need, computed from its file before it is loaded.

The terms follow llama.cpp's own allocations, which it logs at a load: model, KV and compute
buffers. On the CPU the sum agreed within 1 % for SmolLM2 and within 3 % for other shapes (see the
test against llama.cpp); the CUDA context's share is assumed until a load was measured.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from danzar.core.footprint import Footprint
from danzar.estimate.gguf_model import GgufModel, Layer, read_model
from danzar.units import MIB

KvType = Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"]

# Numbers in a block, and the bytes of it.
_KV_BLOCKS: dict[KvType, tuple[int, int]] = {
    "f32": (1, 4),
    "f16": (1, 2),
    "bf16": (1, 2),
    "q8_0": (32, 34),
    "q5_1": (32, 24),
    "q5_0": (32, 22),
    "q4_1": (32, 20),
    "q4_0": (32, 18),
    "iq4_nl": (32, 18),
}
_CONTEXT_STEP = 256
_FLOAT_BYTES = 4
_HALF_BYTES = 2

# Assumed, not measured: context, kernels and cuBLAS work space of llama.cpp on one card.
CUDA_CONTEXT_BYTES = 384 * MIB


@dataclass(frozen=True, slots=True)
class GgufSettings:
    """How a model will be loaded.

    Attributes:
        context: Tokens that the KV cache holds.
        batch: Tokens computed at once (llama.cpp's ``n_ubatch``).
        gpu_layers: Blocks on the card, counted from the output, which is the first; -1 is all.
        flash_attention: Whether attention is computed without the matrix of all pairs.
    """

    context: int
    batch: int = 512
    kv_type: KvType = "f16"
    gpu_layers: int = -1
    flash_attention: bool = False

    def __post_init__(self) -> None:
        if self.context < 1 or self.batch < 1:
            raise ValueError(f"context {self.context} and batch {self.batch} must be at least 1")


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


def estimate_gguf(
    path: str | Path,
    context: int,
    batch: int = 512,
    kv_type: KvType = "f16",
    gpu_layers: int = -1,
) -> Footprint:
    """What the device that hosts the model needs: the card, or host RAM with 0 layers on it.

    Blocks for tens of milliseconds. Raises as ``check_gguf`` does.
    """
    settings = GgufSettings(context, batch, kv_type, gpu_layers)
    split = split_footprint(read_model(path), settings)
    return split.host if gpu_layers == 0 else split.card


def split_footprint(model: GgufModel, settings: GgufSettings) -> SplitFootprint:
    """What each side needs when the last layers are on the card. Pure."""
    places = len(model.layers) + 1
    on_card = places if settings.gpu_layers < 0 else min(settings.gpu_layers, places)
    first_on_card = places - on_card
    host_layers, card_layers = model.layers[:first_on_card], model.layers[first_on_card:]
    return SplitFootprint(
        card=_card(model, card_layers, settings) if on_card else Footprint(0),
        host=_host(model, host_layers, settings, has_output=on_card == 0),
    )


def _card(model: GgufModel, layers: tuple[Layer, ...], settings: GgufSettings) -> Footprint:
    return Footprint(
        weights_bytes=model.output_bytes + _weights_bytes(layers),
        kv_cache_bytes=_kv_cache_bytes(layers, settings),
        activations_bytes=_activations_bytes(model, layers, settings, has_output=True),
        cuda_context_bytes=CUDA_CONTEXT_BYTES,
    )


def _host(
    model: GgufModel, layers: tuple[Layer, ...], settings: GgufSettings, *, has_output: bool
) -> Footprint:
    # In host RAM a shared output is the embedding table itself, not a copy.
    own_output = model.output_bytes - (model.input_bytes if model.output_shared else 0)
    return Footprint(
        weights_bytes=model.input_bytes
        + _weights_bytes(layers)
        + (own_output if has_output else 0),
        kv_cache_bytes=_kv_cache_bytes(layers, settings),
        activations_bytes=_activations_bytes(model, layers, settings, has_output=has_output)
        + model.vocabulary * _FLOAT_BYTES,
    )


def _weights_bytes(layers: tuple[Layer, ...]) -> int:
    return sum(layer.weights_bytes for layer in layers)


def _kv_cache_bytes(layers: tuple[Layer, ...], settings: GgufSettings) -> int:
    """Keys and values of all tokens in all layers.

    Layers with a sliding window count in full, because llama-cpp-python keeps them in full.
    """
    block, block_bytes = _KV_BLOCKS[settings.kv_type]
    tokens = _padded_context(settings)
    return sum(
        tokens * width // block * block_bytes
        for layer in layers
        for width in (layer.key_width, layer.value_width)
    )


def _padded_context(settings: GgufSettings) -> int:
    return -(-settings.context // _CONTEXT_STEP) * _CONTEXT_STEP


def _activations_bytes(
    model: GgufModel, layers: tuple[Layer, ...], settings: GgufSettings, *, has_output: bool
) -> int:
    """The most that is alive at one moment: in attention, feed-forward or output.

    How many copies of the hidden state are alive at each was found by comparing with the compute
    buffers that llama.cpp logs for models of several shapes.
    """
    tokens = min(settings.batch, settings.context)
    hidden_bytes = model.embedding_width * tokens * _FLOAT_BYTES
    output_bytes = model.vocabulary * tokens * _FLOAT_BYTES + 3 * hidden_bytes
    moments = [output_bytes if has_output else hidden_bytes]
    for layer in layers:
        moments.append(3 * hidden_bytes + _attention_bytes(layer, settings, tokens))
        moments.append(4 * hidden_bytes + _feed_forward_bytes(layer, settings, tokens))
    return max(moments)


def _attention_bytes(layer: Layer, settings: GgufSettings, tokens: int) -> int:
    """The mask, the batch's own parts, and without flash attention the matrix of all pairs."""
    width = 2 * layer.query_width + layer.key_width + layer.value_width
    pairs = 0 if settings.flash_attention else _padded_context(settings) * layer.heads
    return _mask_bytes(settings, tokens) + (width + pairs) * tokens * _FLOAT_BYTES


def _feed_forward_bytes(layer: Layer, settings: GgufSettings, tokens: int) -> int:
    """Gate, up and their product; the mask waits for the next layer."""
    return _mask_bytes(settings, tokens) + 3 * layer.feed_forward_width * tokens * _FLOAT_BYTES


def _mask_bytes(settings: GgufSettings, tokens: int) -> int:
    number_bytes = _HALF_BYTES if settings.flash_attention else _FLOAT_BYTES
    return _padded_context(settings) * tokens * number_bytes
