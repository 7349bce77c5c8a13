"""A simple estimate for torch models: the file's size, and activations by batch and picture."""

from dataclasses import dataclass
from pathlib import Path

from danzar.core.footprint import Footprint
from danzar.errors import ModelMissing
from danzar.units import MIB

_WEIGHTS = frozenset({".pt", ".pth", ".bin", ".safetensors", ".onnx"})

# Assumed, not measured: context, kernels and cuDNN work space of torch on one card.
CUDA_CONTEXT_BYTES = 512 * MIB


@dataclass(frozen=True, slots=True)
class PictureLoad:
    """What the model is run on.

    Attributes:
        batch: Pictures at once.
        side_px: Side of the square that each picture is scaled to.
        bytes_per_pixel: Input and activations that are alive at once, per pixel of the input.
            Measured on the CPU in float32: 12 for the input, and 48 for YOLOv8n at any size, 50
            for CLIP ViT-B/32 with 4 pictures and 37 with 16. cuDNN's work space is not in it.
    """

    batch: int = 1
    side_px: int = 640
    bytes_per_pixel: int = 64

    @property
    def activations_bytes(self) -> int:
        """Activations of one whole batch."""
        return self.batch * self.side_px**2 * self.bytes_per_pixel


def estimate_torch(
    path: str | Path, load: PictureLoad, *, on_card: bool = True, widening: float = 1.0
) -> Footprint:
    """What a model in a file, or in a folder of weights files, needs on its device.

    Args:
        path: The file, or a folder of which all weights files count.
        load: What it is run on.
        on_card: Whether a CUDA context comes on top; one per process, so count it once.
        widening: Bytes in memory per byte in the file: 2 for half-precision files that are
            computed in single precision.

    Raises:
        danzar.errors.ModelMissing: No weights are there.
    """
    return Footprint(
        weights_bytes=round(_weights_bytes(Path(path)) * widening),
        activations_bytes=load.activations_bytes,
        cuda_context_bytes=CUDA_CONTEXT_BYTES if on_card else 0,
    )


def _weights_bytes(path: Path) -> int:
    files = [path] if path.is_file() else [f for f in path.rglob("*") if f.suffix in _WEIGHTS]
    if not files:
        raise ModelMissing(f"{path} holds no weights; run danzar models pull, or correct the path")
    return sum(file.stat().st_size for file in files)
