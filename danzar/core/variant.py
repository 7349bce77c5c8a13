"""The ways in which a model may be loaded, best first. Pure."""

from dataclasses import dataclass
from enum import StrEnum

Setting = int | str


class Rung(StrEnum):
    """The steps down from "as configured", in the order in which they are tried.

    ``SPLIT``, ``LAYERS``, ``CPU`` and ``MODEL`` are found by the planner; the others are variants
    that the estimate lists. Fewer slots make people wait for each other, and cost no quality. The
    cache's precision comes before the context because eight bits cost almost no quality, and half
    the context costs half the memory of the conversation. ``TILES``, ``OFFLOAD`` and ``SIZE`` are
    of models that make pictures: decoding in tiles, then one network or block at a time on the
    card, cost time; room for smaller pictures alone costs the picture.
    """

    FULL = "full"
    BATCH = "batch"
    SLOTS = "slots"
    SPLIT = "split"
    KV = "kv"
    CONTEXT = "context"
    TILES = "tiles"
    OFFLOAD = "offload"
    SIZE = "size"
    LAYERS = "layers"
    CPU = "cpu"
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class LayerShape:
    """How a model divides over devices: by whole layers.

    Attributes:
        layers: How many can be placed, the output counted as one.
        layer_bytes: Weights and KV cache of the largest of them.
        fixed_bytes: What each card takes besides, however few layers it gets (compute buffers).
    """

    layers: int
    layer_bytes: int
    fixed_bytes: int


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to load a model. Each one includes the reductions of those before it.

    Attributes:
        settings: What differs from the model's own settings, by the backend's names.
        cuda_bytes: What it takes when it is whole on one GPU, without the CUDA context.
        host_bytes: Host RAM when it runs on the CPU, without the process.
        beside_bytes: Host RAM while it runs on a GPU, without the process.
        layers: How it divides; ``None`` where it can't be divided.
        loss: What a person loses, as the end of a sentence ("with 2048 instead of 8192 tokens of
            context"); empty as configured.
    """

    rung: Rung
    cuda_bytes: int
    host_bytes: int
    settings: tuple[tuple[str, Setting], ...] = ()
    beside_bytes: int = 0
    layers: LayerShape | None = None
    loss: str = ""
