"""Untrained weights in the real formats, made in an own process: ``make_models.py FOLDER``."""

import json
import os
import sys
from pathlib import Path

folder = Path(sys.argv[1])
os.environ |= {
    "YOLO_CONFIG_DIR": str(folder),
    "YOLO_OFFLINE": "true",
    "YOLO_AUTOINSTALL": "false",
    "YOLO_VERBOSE": "false",
}

import open_clip  # noqa: E402
import torch  # noqa: E402
from ultralytics import YOLO  # noqa: E402

torch.manual_seed(0)
yolo = YOLO("yolov8n.yaml")
yolo.model.names = {number: f"thing{number}" for number in range(80)}
with torch.no_grad():
    for head in yolo.model.model[-1].cv3:
        head[-1].bias[7] = 3.0  # an untrained model that sees thing7 everywhere
yolo.save(str(folder / "yolo.pt"))

config = {
    "model_cfg": {
        "embed_dim": 32,
        "vision_cfg": {
            "image_size": 32,
            "layers": 1,
            "width": 64,
            "head_width": 32,
            "patch_size": 16,
        },
        "text_cfg": {
            "context_length": 24,
            "vocab_size": 49408,
            "width": 32,
            "heads": 2,
            "layers": 1,
        },
    },
    "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
}
clip = folder / "clip"
clip.mkdir()
(clip / "open_clip_config.json").write_text(json.dumps(config))
(folder / "tiny.json").write_text(json.dumps(config["model_cfg"]))
open_clip.add_model_config(folder / "tiny.json")
torch.save(open_clip.create_model("tiny").state_dict(), clip / "open_clip_pytorch_model.bin")
