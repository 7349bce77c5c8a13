"""What the real generation models hold while they run: counted on tensors without contents.

    uv run --with diffusers,transformers,accelerate python -m benchmarks.generation_memory [MODEL]

Builds each model of ``danzar/resources/profiles.yaml`` from its published configuration, with no
weights (torch's fake tensors), runs one forward pass, and counts the bytes of every tensor that is
alive. The figures of the profiles marked ``computed`` are made from this table. Not in it: the
allocator's rounding, cuDNN's workspace and the CUDA context.
"""

import gc
import json
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

MIB = 1024**2
Counted = tuple[int, int, int]
Case = Callable[[], Counted]
FUSED_FLOPS: list[int] = []
WAN_14B = {"num_attention_heads": 40, "attention_head_dim": 128, "ffn_dim": 13824, "num_layers": 40}
WAN_5B = {"num_attention_heads": 24, "attention_head_dim": 128, "ffn_dim": 14336, "num_layers": 30}
WAN_1_3B = {"num_attention_heads": 12, "attention_head_dim": 128, "ffn_dim": 8960, "num_layers": 30}
WAN_22_VAE = {
    "base_dim": 160,
    "decoder_base_dim": 256,
    "z_dim": 48,
    "is_residual": True,
    "in_channels": 12,
    "out_channels": 12,
    "patch_size": 2,
    "scale_factor_spatial": 16,
}
SD15_UNET = {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8}
SDXL_UNET = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
KL_VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
}
TINY_UNET = {
    "sample_size": 32,
    "block_out_channels": (32, 64),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "cross_attention_dim": 32,
}
TINY_VAE = {
    "block_out_channels": (32, 64),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "latent_channels": 4,
}


class LiveBytes(TorchDispatchMode):
    """Adds up the storages that are made inside it, and forgets them when they die."""

    def __init__(self) -> None:
        super().__init__()
        self.now_bytes = 0
        self.peak_bytes = 0
        self._known: dict[int, Any] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._note(leaf.untyped_storage())
        return result

    def forgive(self, model: Any) -> None:
        """Count no weights: views of them come out of many operations."""
        for weight in (*model.parameters(), *model.buffers()):
            self._known[weight.untyped_storage()._cdata] = weight.untyped_storage()

    def _note(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._known:
            return
        size_bytes = storage.nbytes()
        self.now_bytes += size_bytes
        self.peak_bytes = max(self.peak_bytes, self.now_bytes)
        self._known[key] = weakref.ref(storage, lambda _: self._gone(key, size_bytes))

    def _gone(self, key: int, size_bytes: int) -> None:
        self._known.pop(key, None)
        self.now_bytes -= size_bytes


@contextmanager
def fused_attention() -> Iterator[None]:
    """Attention as the fused kernels hold it: its output and one sum per row, no square."""
    functional = torch.nn.functional
    real = functional.scaled_dot_product_attention

    def fused(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
        sums = torch.empty(query.shape[:-1], dtype=torch.float32)
        result = torch.empty(*query.shape[:-1], value.shape[-1], dtype=query.dtype)
        del sums
        FUSED_FLOPS.append(4 * query.numel() * key.shape[-2])
        return result

    functional.scaled_dot_product_attention = fused
    try:
        yield
    finally:
        functional.scaled_dot_product_attention = real


def peak(build: Callable[[], Any], run: Callable[[Any], Any]) -> Counted:
    """Parameters of the model, the most bytes alive beside them, and operations, of one pass."""
    with FakeTensorMode(), torch.no_grad(), fused_attention():
        torch.set_default_dtype(torch.bfloat16)
        try:
            model = build().eval()
        finally:
            torch.set_default_dtype(torch.float32)
        count = sum(p.numel() for p in model.parameters())
        gc.collect()
        FUSED_FLOPS.clear()
        with FlopCounterMode(display=False) as flops, LiveBytes() as live:
            live.forgive(model)
            run(model)
        return count, live.peak_bytes, flops.get_total_flops() + sum(FUSED_FLOPS)


def empty(*shape: int) -> torch.Tensor:
    """A tensor of bfloat16 without contents."""
    return torch.empty(*shape, dtype=torch.bfloat16)


def wan_transformer(config: dict[str, Any], channels: int, latent: tuple[int, int, int]) -> Any:
    """One pass over a latent of (frames, height, width)."""
    from diffusers import WanTransformer3DModel

    out = 48 if channels == 48 else 16
    return peak(
        lambda: WanTransformer3DModel(**config, in_channels=channels, out_channels=out),
        lambda model: model(
            empty(1, channels, *latent), torch.empty(1), empty(1, 512, 4096), return_dict=False
        ),
    )


def wan_vae(config: dict[str, Any], latent: tuple[int, int, int], *, tiled: bool) -> Any:
    """Decoding a latent of (frames, height, width)."""
    from diffusers import AutoencoderKLWan

    def build() -> Any:
        model = AutoencoderKLWan(**config)
        if tiled:
            model.enable_tiling()
        return model

    channels = int(config.get("z_dim", 16))
    return peak(build, lambda model: model.decode(empty(1, channels, *latent), return_dict=False))


def unet(config: dict[str, Any], side: int, batch: int) -> Any:
    """One pass of a UNet over pictures of ``side`` pixels."""
    from diffusers import UNet2DConditionModel

    width = int(config["cross_attention_dim"])
    added = {"text_embeds": (batch, 1280), "time_ids": (batch, 6)}

    def run(model: Any) -> Any:
        more = {name: empty(*shape) for name, shape in added.items()}
        rows = side // (2 if config is TINY_UNET else 8)
        latent = empty(batch, 4, rows, rows)
        conditions = more if "addition_embed_type" in config else None
        return model(
            latent,
            torch.empty(1),
            empty(batch, 77, width),
            added_cond_kwargs=conditions,
            return_dict=False,
        )

    return peak(lambda: UNet2DConditionModel(**config), run)


def kl_vae(side: int, batch: int, *, tiled: bool, config: dict[str, Any] | None = None) -> Any:
    """Decoding pictures of ``side`` pixels."""
    from diffusers import AutoencoderKL

    def build() -> Any:
        model = AutoencoderKL(**(config or KL_VAE), sample_size=512)
        if tiled:
            model.enable_tiling()
        return model

    rows = side // 2 ** (len((config or KL_VAE)["block_out_channels"]) - 1)
    return peak(build, lambda model: model.decode(empty(batch, 4, rows, rows), return_dict=False))


def umt5() -> Any:
    """The text encoder of Wan."""
    from transformers import UMT5Config, UMT5EncoderModel

    config = UMT5Config(
        vocab_size=256384,
        d_model=4096,
        d_kv=64,
        d_ff=10240,
        num_heads=64,
        num_layers=24,
        feed_forward_proj="gated-gelu",
    )
    tokens = (1, 512)
    return peak(
        lambda: UMT5EncoderModel(config),
        lambda model: model(torch.ones(tokens, dtype=torch.long), torch.ones(tokens)),
    )


def clip_text(width: int, layers: int, heads: int) -> Any:
    """A CLIP text encoder."""
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        projection_dim=width,
    )
    return peak(
        lambda: CLIPTextModelWithProjection(config),
        lambda model: model(torch.ones((1, 77), dtype=torch.long)),
    )


def rows() -> Iterator[tuple[str, str, Case]]:
    """Every case: model, shape, a call for (parameters, bytes, operations)."""
    for frames, high, wide in ((13, 60, 104), (21, 60, 104), (21, 90, 160), (33, 90, 160)):
        latent = (frames, high, wide)
        yield "wan-14b-t2v", f"{latent}", partial(wan_transformer, WAN_14B, 16, latent)
    for frames in (9, 13, 21):
        latent = (frames, 60, 104)
        yield "wan-1.3b-t2v", f"{latent}", partial(wan_transformer, WAN_1_3B, 16, latent)
    yield "wan-14b-i2v", "(21, 90, 160)", partial(wan_transformer, WAN_14B, 36, (21, 90, 160))
    for latent in ((13, 44, 80), (25, 44, 80), (31, 44, 80), (31, 30, 52)):
        yield "wan-5b", f"{latent}", partial(wan_transformer, WAN_5B, 48, latent)
    for latent in ((5, 60, 104), (21, 60, 104), (21, 90, 160)):
        yield "wan-2.1-vae", f"{latent}", partial(wan_vae, {}, latent, tiled=False)
    for latent in ((5, 30, 52), (5, 44, 80), (31, 30, 52), (31, 44, 80)):
        yield "wan-2.2-vae", f"{latent}", partial(wan_vae, WAN_22_VAE, latent, tiled=False)
    yield "wan-2.1-vae tiled", "(21, 90, 160)", partial(wan_vae, {}, (21, 90, 160), tiled=True)
    yield (
        "wan-2.2-vae tiled",
        "(31, 44, 80)",
        partial(wan_vae, WAN_22_VAE, (31, 44, 80), tiled=True),
    )
    for side in (512, 768, 1024):
        for batch in (1, 2, 4):
            yield "sd15-unet", f"{side} x{batch}", partial(unet, SD15_UNET, side, batch)
            yield "sdxl-unet", f"{side} x{batch}", partial(unet, SDXL_UNET, side, batch)
    for side in (512, 768, 1024):
        yield "kl-vae", f"{side} x1", partial(kl_vae, side, 1, tiled=False)
        yield "kl-vae tiled", f"{side} x1", partial(kl_vae, side, 1, tiled=True)
    yield "kl-vae", "1024 x2", partial(kl_vae, 1024, 2, tiled=False)
    yield "tiny-unet", "64 x1", partial(unet, TINY_UNET, 64, 1)
    yield "tiny-vae", "64 x1", partial(kl_vae, 64, 1, tiled=False, config=TINY_VAE)
    yield "tiny text", "77 tokens", partial(clip_text, 32, 5, 4)
    yield "umt5-xxl", "512 tokens", partial(umt5)
    yield "clip-l text", "77 tokens", partial(clip_text, 768, 12, 12)
    yield "clip-bigg text", "77 tokens", partial(clip_text, 1280, 32, 20)


def main() -> None:
    """Print one line of JSON per case, or only those whose model begins with an argument."""
    wanted = tuple(sys.argv[1:])
    for model, shape, case in rows():
        if not wanted or model.startswith(wanted):
            parameters, size_bytes, flops = case()
            line = {
                "model": model,
                "shape": shape,
                "parameters": parameters,
                "bytes": size_bytes,
                "flops": flops,
            }
            print(json.dumps({**line, "mib": round(size_bytes / MIB, 1)}), flush=True)


if __name__ == "__main__":
    main()
