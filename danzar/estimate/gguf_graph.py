"""How much memory llama.cpp's intermediate results take at once, its "compute buffer". Pure.

The graph of a transformer, operation by operation in the order in which llama.cpp runs them, goes
through its allocator (``arena``). The orders were read from its sources (as of llama-cpp-python
0.3.36) and the result agrees with the buffers that it logs, see the test against llama.cpp.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from danzar.estimate.gguf_attention import attention
from danzar.estimate.gguf_forward import feed_forward
from danzar.estimate.gguf_frame import Frame, Part
from danzar.estimate.gguf_layers import Layer
from danzar.estimate.gguf_settings import GgufSettings

# Layers of one shape repeat the same pattern of addresses from the third on.
_REPEATS = 3
_MAX_LAYERS = 18
# A card that has the whole model computes the same graph as the CPU would.
_REMEMBERED = 16


@dataclass(frozen=True, slots=True)
class Compute:
    """Sizes of a compute buffer.

    Attributes:
        buffer_bytes: All of it.
        inputs_bytes: What of it comes from the host for each batch: masks, places, embeddings.
    """

    buffer_bytes: int
    inputs_bytes: int


@lru_cache(_REMEMBERED)
def compute(part: Part, settings: GgufSettings) -> Compute:
    """The compute buffer of a part of a model. The last ones are remembered."""
    frame = Frame(part, settings)
    hidden = frame.begin()
    layers = _typical(part.layers)
    for number, layer in enumerate(layers, start=1):
        is_last = bool(part.vocabulary) and number == len(layers)
        hidden = _layer(frame, layer, hidden, is_last=is_last)
    if part.vocabulary:
        _output(frame, hidden)
    return Compute(frame.tape.peak_bytes(), frame.tape.inputs_bytes)


def _layer(frame: Frame, layer: Layer, hidden: int, *, is_last: bool) -> int:
    """One block; returns the hidden state after it."""
    tape = frame.tape
    mixed = attention(frame, layer, hidden)
    if is_last:
        frame.choose()
    size_bytes = frame.hidden_bytes
    if is_last:
        mixed = tape.put(size_bytes, mixed, frame.inputs.chosen)
        hidden = tape.put(size_bytes, hidden, frame.inputs.chosen)
    added = tape.over(size_bytes, mixed, hidden)
    forward = feed_forward(frame, layer.feed_forward, tape.put(size_bytes, added))
    return tape.over(size_bytes, forward, added)


def _output(frame: Frame, hidden: int) -> None:
    """The norm, which stays, and the odds of each word."""
    frame.choose()
    normed = frame.tape.keep(frame.tape.over(frame.hidden_bytes, hidden))
    frame.tape.keep(frame.tape.put(frame.floats(frame.part.vocabulary), normed))


def _typical(layers: Sequence[Layer]) -> list[Layer]:
    """The layers without those that only repeat what was before them."""
    kept: list[Layer] = []
    for layer in layers:
        before = kept[-_REPEATS:]
        if len(before) < _REPEATS or any(_shape(layer) != _shape(each) for each in before):
            kept.append(layer)
    return kept[:_MAX_LAYERS]


def _shape(layer: Layer) -> Layer:
    """The layer without what differs between layers of one shape."""
    return replace(layer, weights_bytes=0, rewritten_bytes=0)
