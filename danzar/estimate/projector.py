"""What a multimodal projector (mmproj) takes: the part that turns pictures into words.

It is a second GGUF file beside the model's. llama.cpp computes one picture at a time on the card of
the model, and the buffers for the largest picture stay for as long as it is loaded.
"""

from dataclasses import dataclass
from pathlib import Path

from danzar.errors import ModelRefused
from danzar.estimate.gguf_facts import Facts
from danzar.estimate.gguf_header import Tensor
from danzar.estimate.gguf_model import read_whole

_FLOAT_BYTES = 4
_COLOURS = 3
_MATRIX = 2
# The state, queries, keys and values, and half of each of the latter two.
_HIDDEN_IN_ATTENTION = 5
_ARCHITECTURE = "clip"


@dataclass(frozen=True, slots=True)
class Projector:
    """A picture encoder's need on the device that it runs on."""

    weights_bytes: int
    compute_bytes: int

    @property
    def total_bytes(self) -> int:
        """Both together."""
        return self.weights_bytes + self.compute_bytes


def read_projector(path: str | Path) -> Projector:
    """Read what a projector takes. Blocks for milliseconds.

    Raises:
        danzar.errors.ModelMissing: The file is not there.
        danzar.errors.ModelRefused: It is no projector, or is damaged.
    """
    headers = read_whole(path)
    facts = Facts(headers[0])
    if facts.architecture != _ARCHITECTURE:
        raise ModelRefused(
            f"{headers[0].path.name} is no projector: its architecture is {facts.architecture!r}, "
            f"not {_ARCHITECTURE!r}; name the mmproj file"
        )
    tensors = [tensor for header in headers for tensor in header.tensors]
    weights_bytes = sum(tensor.size_bytes for tensor in tensors)
    return Projector(weights_bytes, _compute_bytes(facts, tensors))


def _compute_bytes(facts: Facts, tensors: list[Tensor]) -> int:
    """The largest set of results at one moment while the largest picture goes through.

    With flash attention, which llama.cpp uses here wherever it can. The picture's own place is
    counted to the end: it is free by then, but what comes next rarely fits in.
    """
    patch, width = facts.number("vision.patch_size"), facts.number("vision.embedding_length")
    pixels = max(facts.number("vision.image_size") ** 2, facts.count("vision.image_max_pixels"))
    patches = pixels // patch**2
    tokens = patches + any(tensor.name == "v.class_embd" for tensor in tensors)
    forward = facts.number("vision.feed_forward_length", 4 * width)
    moments = (
        tokens * _HIDDEN_IN_ATTENTION * width,
        tokens * (2 * width + forward),
        patches * (width + sum(_projection_widths(tensors))),
    )
    return (pixels * _COLOURS + max(moments)) * _FLOAT_BYTES


def _projection_widths(tensors: list[Tensor]) -> list[int]:
    """Numbers that each matrix of the projector makes of a patch."""
    matrices = [t for t in tensors if t.name.startswith("mm.") and len(t.shape) == _MATRIX]
    return [matrix.shape[1] for matrix in matrices]
