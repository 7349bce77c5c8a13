"""The ways to load a GGUF model with less memory, best first, by what the backend can set. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from danzar.core.variant import Rung, Setting
from danzar.estimate.gguf_model import GgufModel
from danzar.estimate.gguf_settings import CONTEXT_STEP, GgufSettings, is_quantised

SMALL_BATCH = 128
# Heads that flash attention, which a quantised cache needs, computes on every card.
_FLASH_HEADS = frozenset({64, 96, 128, 256})


@dataclass(frozen=True, slots=True)
class Step:
    """One reduction: what it changes in the backend's settings, and what a person loses."""

    rung: Rung
    changes: tuple[tuple[str, Setting], ...]
    loss: str


def reductions(model: GgufModel, full: GgufSettings, min_context: int) -> Iterator[Step]:
    """The steps down, each of which comes on top of those before it."""
    if full.batch > SMALL_BATCH:
        loss = f"reading {SMALL_BATCH} instead of {full.batch} tokens at once"
        yield Step(Rung.BATCH, (("n_batch", SMALL_BATCH),), loss)
    for slots in halves(full.sequences):
        loss = f"answering {slots} instead of {full.sequences} people at once"
        yield Step(Rung.SLOTS, (("slots", slots),), loss)
    if can_quantise(model, full):
        changes = (("type_k", "q8_0"), ("type_v", "q8_0"), ("flash_attn", True))
        yield Step(Rung.KV, changes, "keeping the conversation in 8 bits a number")
    for tokens in contexts(full.context, min_context):
        loss = f"with {tokens} instead of {full.context} tokens of context"
        yield Step(Rung.CONTEXT, (("n_ctx", tokens),), loss)


def halves(full: int) -> list[int]:
    """Each half of the one before, rounded down, to 1."""
    return [full >> step for step in range(1, full.bit_length())]


def contexts(full: int, least: int) -> list[int]:
    """Each half of the one before, in whole steps of llama.cpp, down to the least."""
    found: list[int] = []
    tokens = full
    while tokens > least:
        half = -(-tokens // 2 // CONTEXT_STEP) * CONTEXT_STEP
        tokens = max(least, half) if half < tokens else least
        found.append(tokens)
    return found


def can_quantise(model: GgufModel, settings: GgufSettings) -> bool:
    """Whether keys and values can be kept in 8 bits, and are not already."""
    if is_quantised(settings.key_type) or is_quantised(settings.value_type):
        return False
    attending = [layer for layer in model.layers if layer.kv_heads and layer.is_cached]
    return bool(attending) and all(
        layer.latent is None
        and layer.key_head_width == layer.value_head_width
        and layer.key_head_width in _FLASH_HEADS
        for layer in attending
    )
