"""Less of a card for a pipeline: tiles, and networks or blocks that wait in host RAM.

What waits keeps its weights in host RAM for good; coming to the card copies them, and leaving drops
that copy, so that nothing is ever copied back.
"""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, Final

import torch

from danzar.backends.diffusion_settings import DiffusionSettings
from danzar.pipeline_kinds import TILE_PX, PipelineKind

# Of a tile: what is left overlaps the next one, so that no seam shows.
_STRIDE_SHARE: Final = 0.75

Networks = dict[str, torch.nn.Module]


def networks(pipeline: Any) -> Networks:  # noqa: ANN401 - diffusers' classes
    """The pipeline's networks by their names."""
    found = pipeline.components.items()
    return {name: part for name, part in found if isinstance(part, torch.nn.Module)}


def blocks(network: torch.nn.Module) -> list[torch.nn.Module]:
    """The parts that a network computes one after another: what its outermost lists hold."""
    found: list[torch.nn.Module] = []
    for child in network.children():
        found += list(child) if isinstance(child, torch.nn.ModuleList) else blocks(child)
    return found


class Waiting:
    """Tensors that wait in host RAM and come to a device for a while."""

    def __init__(self, tensors: Iterator[torch.Tensor], device: torch.device) -> None:
        self._device = device
        self._host = [(tensor, tensor.data) for tensor in tensors]
        self.is_here = False

    def come(self) -> None:
        """Copy them to the device; nothing where they are there."""
        if not self.is_here:
            for tensor, at_home in self._host:
                tensor.data = at_home.to(self._device, non_blocking=True)
            self.is_here = True

    def leave(self) -> None:
        """Drop the copies."""
        if self.is_here:
            for tensor, at_home in self._host:
                tensor.data = at_home
            self.is_here = False


class Shelf:
    """A pipeline's networks, of which one at a time is on the card."""

    def __init__(
        self,
        pipeline: Any,  # noqa: ANN401 - diffusers' classes
        device: torch.device,
        *,
        by_block: bool,
    ) -> None:
        self._waiting: dict[str, Waiting] = {}
        for name, network in networks(pipeline).items():
            moved = blocks(network) if by_block else []
            for block in moved:
                _come_and_leave(block, Waiting(_tensors(block), device))
            apart = {id(tensor) for block in moved for tensor in _tensors(block)}
            rest = (tensor for tensor in _tensors(network) if id(tensor) not in apart)
            self._waiting[name] = Waiting(rest, device)
            network.register_forward_pre_hook(self._bring_hook(name))
            # Where diffusers looks for the device that inputs belong on.
            network._hf_hook = SimpleNamespace(execution_device=device)  # type: ignore[assignment]

    def bring(self, name: str) -> None:
        """Have this network on the card, and no other."""
        for other, waiting in self._waiting.items():
            if other != name:
                waiting.leave()
        self._waiting[name].come()

    def clear(self) -> None:
        """Have none of them on the card."""
        for waiting in self._waiting.values():
            waiting.leave()

    def _bring_hook(self, name: str) -> Callable[..., None]:
        return lambda *_: self.bring(name)


def _come_and_leave(block: torch.nn.Module, waiting: Waiting) -> None:
    block.register_forward_pre_hook(lambda *_: waiting.come())
    block.register_forward_hook(lambda *_: waiting.leave(), always_call=True)


def _tensors(network: torch.nn.Module) -> Iterator[torch.Tensor]:
    yield from network.parameters()
    yield from network.buffers()


def place(
    pipeline: Any,  # noqa: ANN401 - diffusers' classes
    settings: DiffusionSettings,
    kind: PipelineKind,
    device: torch.device,
) -> Shelf | None:
    """Put the pipeline on its device; the shelf where only a part of it is there at a time."""
    if settings.precision == "fp8":
        for name in kind.denoisers:
            _keep_in_8_bits(getattr(pipeline, name, None))
    if settings.vae_tiling:
        _tile(pipeline.vae, kind)
    if settings.vae_slicing:
        pipeline.vae.enable_slicing()
    if settings.attention_slicing and kind.makes == "picture":
        pipeline.enable_attention_slicing()
    if settings.offload == "none" or device.type == "cpu":
        pipeline.to(device)
        return None
    return Shelf(pipeline, device, by_block=settings.offload == "layers")


def _keep_in_8_bits(denoiser: Any) -> None:  # noqa: ANN401 - diffusers' classes
    """Store in 8 bits, compute as before."""
    if denoiser is not None:
        denoiser.enable_layerwise_casting(
            storage_dtype=torch.float8_e4m3fn, compute_dtype=denoiser.dtype
        )


def _tile(vae: Any, kind: PipelineKind) -> None:  # noqa: ANN401 - diffusers' classes
    side = TILE_PX[kind.makes]
    if kind.makes == "video":
        stride = int(side * _STRIDE_SHARE)
        vae.enable_tiling(side, side, stride, stride)
        return
    vae.enable_tiling()
    vae.tile_sample_min_size = side
    vae.tile_latent_min_size = side // 2 ** (len(vae.config.block_out_channels) - 1)
