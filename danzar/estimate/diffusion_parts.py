"""What a pipeline consists of, read from its folder or file without loading it."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from danzar.errors import ModelMissing
from danzar.estimate.torch_weights import tensor_numbers
from danzar.pipeline_kinds import PipelineKind, read_json

_VAE = "vae"
_CHECKER = "safety_checker"
# diffusers' names for other weights of the same network beside the usual ones.
_VARIANT = re.compile(r"\.(fp16|bf16|fp32|non_ema|ema_only)(-\d+-of-\d+)?\.")
_FILES = (".safetensors", ".bin")
# Where a single file keeps each network, by the beginnings of its tensors' names.
_IN_ONE_FILE = (
    ("model.diffusion_model.", "unet"),
    ("first_stage_model.", _VAE),
    ("conditioner.embedders.0.", "text_encoder"),
    ("conditioner.embedders.1.", "text_encoder_2"),
    ("cond_stage_model.", "text_encoder"),
)
# The outermost numbered part of a network is one block: "down_blocks.1.", "encoder.layers.3.".
_BLOCK = re.compile(r"^(.*?\.)?(\d+)\.")


@dataclass(frozen=True, slots=True)
class Network:
    """One network of a pipeline, in numbers (not bytes).

    Attributes:
        largest_block: Numbers of the largest block, of those that can come to a card in turn.
        apart: Numbers that belong to no block.
    """

    numbers: int
    largest_block: int
    apart: int
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Parts:
    """A pipeline's networks, by what they do.

    Attributes:
        extra: Networks beside them that stay where the others are (a safety checker).
    """

    text: tuple[Network, ...]
    denoisers: tuple[Network, ...]
    vae: Network
    extra: tuple[Network, ...]

    @property
    def all(self) -> tuple[Network, ...]:
        """All of them."""
        return (*self.text, *self.denoisers, self.vae, *self.extra)


def read_parts(path: Path, kind: PipelineKind, settings: Mapping[str, Any]) -> Parts:
    """Read the headers of the weights and each network's own settings. Blocks for milliseconds.

    Raises:
        ModelMissing: A network has no weights.
        danzar.errors.ModelRefused: A file is damaged.
    """
    if not path.is_dir():
        return _one_file(path, kind, settings)
    variant = settings.get("variant")

    def read(name: str) -> Network:
        return _folder(path / name, variant)

    checker = path / _CHECKER
    with_checker = checker.is_dir() and settings.get(_CHECKER) is not False
    return Parts(
        text=tuple(read(name) for name in kind.text_encoders),
        denoisers=tuple(read(name) for name in kind.denoisers if (path / name).is_dir()),
        vae=read(_VAE),
        extra=(read(_CHECKER),) if with_checker else (),
    )


def _folder(folder: Path, variant: str | None) -> Network:
    numbers: dict[str, int] = {}
    for file in weights_in(folder, variant):
        numbers |= tensor_numbers(file)
    return _network(numbers, read_json(folder / "config.json"))


def weights_in(folder: Path, variant: str | None) -> tuple[Path, ...]:
    """The weights of one network that diffusers would load: one file, or all its parts.

    Raises:
        ModelMissing: There are none.
    """
    for suffix in _FILES:
        files = [file for file in sorted(folder.glob(f"*{suffix}")) if _is_wanted(file, variant)]
        if files:
            return tuple(files)
    which = f" of the variant {variant}" if variant else ""
    raise ModelMissing(f"{folder} holds no weights{which}; fetch it again, or correct the path")


def _is_wanted(file: Path, variant: str | None) -> bool:
    found = _VARIANT.search(file.name)
    return (found.group(1) if found else None) == variant


def _one_file(path: Path, kind: PipelineKind, settings: Mapping[str, Any]) -> Parts:
    shapes: dict[str, dict[str, int]] = {}
    for name, count in tensor_numbers(path).items():
        for beginning, network in _IN_ONE_FILE:
            if name.startswith(beginning):
                shapes.setdefault(network, {})[name.removeprefix(beginning)] = count
                break
    config = settings.get("config")

    def read(name: str) -> Network:
        if name not in shapes:
            raise ModelMissing(f"{path.name} holds no {name}: it is no whole {kind.class_name}")
        own = read_json(Path(config) / name / "config.json") if config else {}
        return _network(shapes[name], own)

    text = tuple(read(name) for name in kind.text_encoders)
    return Parts(text, tuple(read(name) for name in kind.denoisers[:1]), read(_VAE), ())


def _network(numbers: Mapping[str, int], config: Mapping[str, Any]) -> Network:
    blocks: Counter[str] = Counter()
    for name, count in numbers.items():
        found = _BLOCK.match(name)
        if found:
            blocks[found.group(0)] += count
    total = sum(numbers.values())
    return Network(total, max(blocks.values(), default=0), total - blocks.total(), config)
