"""Folders that look like published pipelines: their descriptions, and weights that are headers."""

import json
import struct
from pathlib import Path

SD15 = {
    "class": "StableDiffusionPipeline",
    "unet": (859_520_964, {"block_out_channels": [320, 640, 1280, 1280],
                           "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"]}),
    "text_encoder": (123_060_480, {}),
    "vae": (83_653_863, {"block_out_channels": [128, 256, 512, 512]}),
}  # fmt: skip
SDXL = {
    "class": "StableDiffusionXLPipeline",
    "unet": (2_567_463_684, {"block_out_channels": [320, 640, 1280],
                             "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"]}),
    "text_encoder": (123_060_480, {}),
    "text_encoder_2": (694_659_840, {}),
    "vae": (83_653_863, {"block_out_channels": [128, 256, 512, 512], "force_upcast": True}),
}  # fmt: skip
WAN = {
    "class": "WanPipeline",
    "transformer": (1_418_996_800, {"num_attention_heads": 12, "attention_head_dim": 128,
                                    "ffn_dim": 8960}),
    "text_encoder": (5_680_910_336, {}),
    "vae": (126_892_531, {"base_dim": 96}),
}  # fmt: skip
_BLOCKS = 10


def make_shape(folder: Path, shape: dict, *, turbo: bool = False) -> Path:
    """Write the folder; a tenth of each network is outside of its ten blocks."""
    folder.mkdir(parents=True)
    (folder / "model_index.json").write_text(json.dumps({"_class_name": shape["class"]}))
    scheduler = folder / "scheduler"
    scheduler.mkdir()
    spacing = "trailing" if turbo else "leading"
    (scheduler / "scheduler_config.json").write_text(json.dumps({"timestep_spacing": spacing}))
    for name, network in shape.items():
        if name != "class":
            _write(folder / name, *network)
    return folder


def _write(folder: Path, numbers: int, config: dict) -> None:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    block = numbers * 9 // 10 // _BLOCKS
    tensors = {f"blocks.{i}.weight": block for i in range(_BLOCKS)}
    tensors["head.weight"] = numbers - block * _BLOCKS
    header = json.dumps(
        {
            name: {"dtype": "F16", "shape": [count], "data_offsets": [0, 0]}
            for name, count in tensors.items()
        }
    ).encode()
    file = folder / "model.safetensors"
    file.write_bytes(struct.pack("<Q", len(header)) + header)
