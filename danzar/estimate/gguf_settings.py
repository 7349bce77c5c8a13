"""How a GGUF model will be loaded, and what its cache takes then. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from danzar.estimate.gguf_layers import Layer

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
_UNQUANTISED: frozenset[KvType] = frozenset({"f32", "f16", "bf16"})
CONTEXT_STEP = 256
# What llama-cpp-python computes at once, however large n_batch is: its n_ubatch, which the backend
# leaves as it is.
MAX_BATCH = 512
DEFAULT_CONTEXT = 4096


@dataclass(frozen=True, slots=True)
class GgufSettings:
    """How a model will be loaded.

    Attributes:
        context: Tokens that the KV cache holds of each conversation.
        batch: Tokens computed at once (llama.cpp's ``n_ubatch``).
        key_type: Precision of the cached keys.
        value_type: Precision of the cached values.
        gpu_layers: Blocks on the card, counted from the output, which is the first; -1 is all.
        flash_attention: Whether attention is computed without the matrix of all pairs.
        full_windows: Whether layers with a sliding window keep all tokens, as llama.cpp does by
            default: without them a conversation can't be cut back.
        sequences: Conversations that have a cache of their own, and are computed together.
    """

    context: int
    batch: int = 512
    key_type: KvType = "f16"
    value_type: KvType = "f16"
    gpu_layers: int = -1
    flash_attention: bool = False
    full_windows: bool = True
    sequences: int = 1

    def __post_init__(self) -> None:
        if min(self.context, self.batch, self.sequences) < 1:
            raise ValueError(
                f"context {self.context}, batch {self.batch} and sequences {self.sequences} must "
                "be at least 1"
            )

    @property
    def tokens(self) -> int:
        """Tokens computed at once: never more than the context holds, as many of each sequence."""
        tokens = min(self.batch, self.context * self.sequences)
        return -(-tokens // self.sequences) * self.sequences

    @property
    def padded_context(self) -> int:
        """The context as llama.cpp rounds it up."""
        return -(-self.context // CONTEXT_STEP) * CONTEXT_STEP


def from_backend(
    settings: Mapping[str, Any], trained_context: int | None, gpu_layers: int = -1
) -> GgufSettings:
    """What llama-cpp-python makes of the backend's own settings.

    Args:
        settings: As ``danzar.backends.llama`` names them; others are not looked at.
        trained_context: What a context of 0 stands for; ``None`` where the file does not say.
        gpu_layers: Layers on the card; see ``GgufSettings``.
    """
    context = int(settings.get("n_ctx", DEFAULT_CONTEXT)) or trained_context or DEFAULT_CONTEXT
    sequences = int(settings.get("slots", 1))
    return GgufSettings(
        context,
        max(sequences, min(int(settings.get("n_batch", MAX_BATCH)), MAX_BATCH, context)),
        settings.get("type_k", "f16"),
        settings.get("type_v", "f16"),
        gpu_layers,
        flash_attention=bool(settings.get("flash_attn", False)),
        full_windows=bool(settings.get("swa_full", True)),
        sequences=sequences,
    )


def cached_tokens(windowed: bool, settings: GgufSettings, window_tokens: int | None) -> int:
    """How many tokens of one sequence the cache of a layer with or without a window holds."""
    context = settings.padded_context
    if not windowed or window_tokens is None or settings.full_windows:
        return context
    window = min(context, window_tokens + settings.tokens)
    return -(-window // CONTEXT_STEP) * CONTEXT_STEP


def kv_cache_bytes(
    layers: Iterable[Layer], settings: GgufSettings, window_tokens: int | None, *, widest: int
) -> int:
    """Keys and values of all sequences in some layers, and what recurrent ones keep instead.

    Args:
        layers: Those whose cache is meant.
        settings: How the model is loaded.
        window_tokens: What a layer with a window sees.
        widest: The largest ``value_width`` of all layers of the model. Without flash attention
            values lie turned by 90 degrees, and every layer gets that many.
    """
    total = 0
    for layer in layers:
        total += layer.state_bytes
        if not layer.is_cached or layer.state_bytes:
            continue
        tokens = cached_tokens(layer.is_windowed, settings, window_tokens)
        values = layer.value_width if settings.flash_attention or layer.latent else widest
        total += row_bytes(settings.key_type, layer.key_width) * tokens
        total += row_bytes(settings.value_type, values) * tokens
    return total * settings.sequences


def is_quantised(kind: KvType) -> bool:
    """Whether numbers are kept in fewer than 16 bits."""
    return kind not in _UNQUANTISED


def row_bytes(kind: KvType, width: int) -> int:
    """What ``width`` cached numbers take."""
    block, block_bytes = _KV_BLOCKS[kind]
    return width // block * block_bytes
