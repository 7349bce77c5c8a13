"""Untrained pipelines of a few MB in diffusers' own layout: ``python tiny_pipelines.py FOLDER``.

They are made in a process of their own, so that no test imports diffusers for them, and kept in
pytest's cache. ``tests/conftest.py`` has the fixture.
"""

import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SIDE_PX = 64
_PACKAGES = ("diffusers", "transformers", "torch")


@dataclass(frozen=True, slots=True)
class TinyPipelines:
    """Folders: Stable Diffusion, SDXL-Turbo (two text encoders), Wan (videos)."""

    sd: Path
    turbo: Path
    wan: Path


def tiny_pipelines(cache: Path) -> TinyPipelines:
    """The pipelines, made anew only where the code or a library that makes them has changed."""
    versions = " ".join(map(importlib.metadata.version, _PACKAGES))
    source = Path(__file__).read_bytes() + versions.encode()
    folder = cache / hashlib.sha256(source).hexdigest()[:16]
    if not folder.exists():
        draft = cache / f"draft-{os.getpid()}"
        made = subprocess.run(
            [sys.executable, __file__, draft], capture_output=True, text=True, check=False
        )
        assert made.returncode == 0, made.stderr
        if folder.exists():  # made by another run meanwhile
            shutil.rmtree(draft)
        else:
            draft.rename(folder)
    return TinyPipelines(folder / "sd", folder / "turbo", folder / "wan")


def add_tiny(root: Path, pipelines: TinyPipelines, kind: str = "sd") -> dict[str, object]:
    """Copy one (``sd``, ``turbo``, ``wan``) under ``root``; its entry for ``models.yaml``."""
    shutil.copytree(getattr(pipelines, kind), root / "models" / f"tiny-{kind}", dirs_exist_ok=True)
    settings: dict[str, object] = {"width": SIDE_PX, "height": SIDE_PX, "steps": 2, "threads": 1}
    if kind == "wan":
        settings |= {"max_frames": 9}
    return {
        "backend": "diffusion",
        "role": "video" if kind == "wan" else "imagine",
        "path": f"models/tiny-{kind}",
        "licence": "none: untrained",
        "settings": settings,
    }


def _make(folder: Path) -> None:
    import torch

    torch.manual_seed(0)
    _make_sd(folder / "sd")
    _make_turbo(folder / "turbo")
    _make_wan(folder / "wan")


def _make_sd(folder: Path) -> None:
    from diffusers import PNDMScheduler, StableDiffusionPipeline

    scheduler = PNDMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        skip_prk_steps=True,
        steps_offset=1,
    )
    StableDiffusionPipeline(
        vae=_vae(),
        text_encoder=_clip_text(32, projected=False),
        tokenizer=_clip_words(),
        unet=_unet(32),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)


def _make_turbo(folder: Path) -> None:
    from diffusers import EulerAncestralDiscreteScheduler, StableDiffusionXLPipeline

    scheduler = EulerAncestralDiscreteScheduler(timestep_spacing="trailing")
    StableDiffusionXLPipeline(
        vae=_vae(),
        text_encoder=_clip_text(32, projected=False),
        text_encoder_2=_clip_text(32, projected=True),
        tokenizer=_clip_words(),
        tokenizer_2=_clip_words(),
        unet=_unet(
            64,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=32 + 6 * 8,
            use_linear_projection=True,
        ),
        scheduler=scheduler,
    ).save_pretrained(folder)


def _make_wan(folder: Path) -> None:
    from diffusers import (
        AutoencoderKLWan,
        UniPCMultistepScheduler,
        WanPipeline,
        WanTransformer3DModel,
    )
    from transformers import T5Tokenizer, UMT5Config, UMT5EncoderModel

    letters = [(f"▁{c}", -3.0) for c in "abcdefghijklmnopqrstuvwxyz"]
    words = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *letters]
    text = UMT5Config(vocab_size=160, d_model=32, d_kv=8, d_ff=64, num_heads=4, num_layers=2)
    WanPipeline(
        tokenizer=T5Tokenizer(vocab=words),
        text_encoder=UMT5EncoderModel(text),
        vae=AutoencoderKLWan(base_dim=8, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1),
        scheduler=UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
        transformer=WanTransformer3DModel(
            num_attention_heads=2,
            attention_head_dim=12,
            text_dim=32,
            freq_dim=16,
            ffn_dim=32,
            num_layers=2,
        ),
    ).save_pretrained(folder)


def _vae():  # type: ignore[no-untyped-def]
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(16, 16, 32, 32),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=SIDE_PX,
    )


def _unet(text_width, **more):  # type: ignore[no-untyped-def]
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=SIDE_PX // 8,
        block_out_channels=(32, 64),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=8,
        cross_attention_dim=text_width,
        **more,
    )


def _clip_text(width, *, projected):  # type: ignore[no-untyped-def]
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    words = _clip_words()
    config = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=4,
        projection_dim=width,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )
    return CLIPTextModelWithProjection(config) if projected else CLIPTextModel(config)


def _clip_words():  # type: ignore[no-untyped-def]
    """A CLIP tokenizer that knows letters and digits and no words."""
    from transformers import CLIPTokenizer

    letters = [chr(c) for c in range(33, 127)]
    words = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    vocab = {word: number for number, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocab, merges=[], model_max_length=77)


if __name__ == "__main__":
    _make(Path(sys.argv[1]))
