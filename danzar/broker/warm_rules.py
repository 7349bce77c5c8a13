"""What the warm tier needs to know, from the settings and the models' files."""

from pathlib import Path

from danzar.config.models import ModelEntry
from danzar.config.settings import Config
from danzar.core.warm_items import WarmRules
from danzar.errors import ModelError
from danzar.estimate.torch_files import open_torch
from danzar.models.manifest import resolve
from danzar.units import MIB
from danzar.workers.segment import SUPPORTED

# Backends that can leave their model in host RAM, and take it from there.
_KEPT = frozenset({"clip", "yolo"})
# Beside the weights: the skeleton, and what aligning each tensor takes. CLIP's has 2.1 MB, most of
# it the tokenizer's words.
_SKELETON_BYTES = 8 * MIB
_ALIGNED = 1.02


def warm_rules(config: Config) -> WarmRules:
    """What may be kept."""
    warm = config.vram.warm
    return WarmRules(warm.budget, warm.standby and warm.budget > 0, warm.page_cache)


def warm_bytes(config: Config, name: str, entry: ModelEntry) -> int:
    """What a model's weights take in the warm tier at most; 0 where they can't be kept.

    Blocks for a look at its file.
    """
    if entry.backend not in _KEPT or not SUPPORTED:
        return 0
    try:
        found = open_torch(resolve(name, config), entry.settings, entry.backend)
    except ModelError:
        return 0
    weights_bytes = max(found.host_weights_bytes, found.card_weights_bytes)
    return round(weights_bytes * _ALIGNED) + _SKELETON_BYTES


def mapped_files(config: Config) -> dict[str, Path]:
    """The files of models that work on the page cache itself. Blocks for a look at the disk."""
    found: dict[str, Path] = {}
    for name, entry in config.models.models.items():
        if entry.backend == "llama" and entry.settings.get("use_mmap", True):
            try:
                path = resolve(name, config)
            except ModelError:
                continue
            if path is not None:
                found[name] = path
    return found
