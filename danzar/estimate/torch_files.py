"""A torch model's need by its parts, and as the variants in which it can be loaded."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from danzar.core.footprint import Footprint
from danzar.core.variant import Rung, Setting, Variant
from danzar.estimate.torch_weights import weights_bytes
from danzar.units import MIB

# Assumed, not measured: context, kernels and cuDNN work space of torch on one card.
CUDA_CONTEXT_BYTES = 512 * MIB

_FLOAT_BYTES = 4
_HALF_BYTES = 2
# What the backends do where nothing is set: pictures at once, and the side that they are scaled to.
# Backends that are not listed hold no pictures on the device.
_BATCH = {"yolo": 16, "clip": 16, "ocr": 1}
BATCHED = frozenset({"yolo", "clip"})
_SIDES_PX = {"yolo": 640, "clip": 224, "ocr": 960}
_CLIP_CONFIG = "open_clip_config.json"
_BATCHES = (8, 4, 2, 1)
# Input and activations that are alive at once, per pixel of the input. Measured on the CPU in
# float32: 12 for the input, and 48 for YOLOv8n at any size, 50 for CLIP ViT-B/32 with 4 pictures
# and 37 with 16. cuDNN's work space is not in it: the correction by what a load took has that.
_BYTES_PER_PIXEL = 64
# A rung that saves less than this share of the memory is not worth what it costs.
_LEAST_SAVING = 0.01


@dataclass(frozen=True, slots=True)
class TorchEstimate:
    """A model with its settings, ready to be asked.

    Attributes:
        card_weights_bytes: On a card, where half precision may be set.
        host_weights_bytes: On the CPU.
        batch: Pictures that are computed at once, at most.
        side_px: Side of the square that each picture is scaled to.
    """

    card_weights_bytes: int
    host_weights_bytes: int
    batch: int
    side_px: int

    def footprint(self, *, on_card: bool, batch: int | None = None) -> Footprint:
        """What the device takes that has the model, by parts; without a CUDA context."""
        return Footprint(
            weights_bytes=self.card_weights_bytes if on_card else self.host_weights_bytes,
            activations_bytes=(batch or self.batch) * self.side_px**2 * _BYTES_PER_PIXEL,
        )

    def variants(self) -> tuple[Variant, ...]:
        """As configured, then with fewer pictures at once."""
        found = [self.variant(Rung.FULL, self.batch)]
        for batch in _BATCHES:
            variant = self.variant(Rung.BATCH, batch)
            if batch < self.batch and _saves(variant, found[-1]):
                found.append(variant)
        return tuple(found)

    def variant(self, rung: Rung, batch: int) -> Variant:
        """With at most so many pictures at once."""
        changes: tuple[tuple[str, Setting], ...] = (("max_batch", batch),)
        several = f"looking at {batch} instead of {self.batch} pictures at once"
        return Variant(
            rung=rung,
            cuda_bytes=self.footprint(on_card=True, batch=batch).total_bytes,
            host_bytes=self.footprint(on_card=False, batch=batch).total_bytes,
            settings=() if batch == self.batch else changes,
            loss="" if batch == self.batch else several,
        )


def batch_of(backend: str, settings: Mapping[str, Any]) -> int | None:
    """Pictures that a model computes at once as configured; ``None`` where it has no batches."""
    if backend not in BATCHED:
        return None
    return int(settings.get("max_batch", 0)) or _BATCH[backend]


def open_torch(path: str | Path | None, settings: Mapping[str, Any], backend: str) -> TorchEstimate:
    """Read a model's files. Blocks for milliseconds. Raises as ``weights_bytes`` does."""
    half = bool(settings.get("half")) or settings.get("precision") == "fp16"
    card_bytes = host_bytes = 0
    if path is not None:
        host_bytes = weights_bytes(Path(path), _FLOAT_BYTES)
        card_bytes = weights_bytes(Path(path), _HALF_BYTES) if half else host_bytes
    return TorchEstimate(
        card_bytes,
        host_bytes,
        int(settings.get("max_batch", 0)) or _BATCH.get(backend, 1),
        _side_px(path, settings, backend),
    )


def _side_px(path: str | Path | None, settings: Mapping[str, Any], backend: str) -> int:
    """As set, or as a CLIP's folder says, or what the backend does otherwise."""
    for name in ("imgsz", "max_side"):
        if name in settings:
            return int(settings[name])
    try:
        config = json.loads((Path(path or "") / _CLIP_CONFIG).read_bytes())
        return int(config["model_cfg"]["vision_cfg"]["image_size"])
    except (OSError, ValueError, KeyError, TypeError):
        return _SIDES_PX.get(backend, 0)


def _saves(lower: Variant, higher: Variant) -> bool:
    return lower.cuda_bytes <= higher.cuda_bytes * (1 - _LEAST_SAVING)
