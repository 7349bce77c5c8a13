"""Make the detector: ``python models/train/yolo.py {prepare,train,score,publish} ...``.

``prepare`` turns frames into ultralytics' format, ``train`` starts from random weights (or goes on
from ``--weights``), ``score`` prints the figures on held-out maps, ``publish`` writes the file that
ships.
"""

import os
from pathlib import Path

os.environ.setdefault("YOLO_AUTOINSTALL", "false")
os.environ.setdefault("YOLO_CONFIG_DIR", str(Path("training/ultralytics").absolute()))

import argparse
import json
import math
import shutil
import time
from dataclasses import dataclass
from typing import Any

import cv2
import torch
from boxes import CLASSES
from ultralytics import YOLO, settings

PICTURE_SIZE = 320
RARE, RARE_TIMES = frozenset({"boss", "player"}), 4
MIN_CONTRAST = 9.0  # grey levels; below it the game flashed the whole screen one colour


def usable(folder: Path) -> list[dict[str, Any]]:
    """The frames to detect in: no menus, and no screen that is all one flash of colour."""
    lines = (folder / "frames.jsonl").read_text().splitlines()
    frames = [json.loads(line) for line in lines]
    return [
        f for f in frames if f["shown"] != "menu" and _contrast(folder / f["file"]) > MIN_CONTRAST
    ]


def _contrast(path: Path) -> float:
    grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    return float(grey[: grey.shape[0] * 4 // 5].std())


def prepare(frames: Path, out: Path) -> None:
    """Write ``images/SPLIT``, ``labels/SPLIT`` and ``data.yaml``."""
    for split in ("train", "validation", "heldout"):
        images, labels = out / "images" / split, out / "labels" / split
        shutil.rmtree(images, ignore_errors=True)
        shutil.rmtree(labels, ignore_errors=True)
        images.mkdir(parents=True)
        labels.mkdir(parents=True)
        chosen = usable(frames / split)
        for frame in chosen:
            shutil.copy(frames / split / frame["file"], images)
            text = "".join(_label_line(box, *frame["size"]) for box in frame["boxes"])
            (labels / frame["file"]).with_suffix(".txt").write_text(text)
        print(split, len(chosen), "frames")
    (out / "train.txt").write_text(_balanced(frames / "train", images_of=out / "images" / "train"))
    names = "".join(f"  {n}: {name}\n" for n, name in enumerate(CLASSES))
    where = f"path: {out.absolute()}\ntrain: train.txt\nval: images/validation\n"
    (out / "data.yaml").write_text(f"{where}test: images/heldout\nnames:\n{names}")


def _balanced(folder: Path, images_of: Path) -> str:
    """Picture paths, a line each; frames with the rare classes come ``RARE_TIMES``."""
    lines = []
    for frame in usable(folder):
        rare = any(box[0] in RARE for box in frame["boxes"])
        lines += [f"{(images_of / frame['file']).absolute()}\n"] * (RARE_TIMES if rare else 1)
    return "".join(lines)


def _label_line(box: list[Any], width: int, height: int) -> str:
    name, x1, y1, x2, y2 = box
    middle = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height)
    size = ((x2 - x1) / width, (y2 - y1) / height)
    return " ".join([str(CLASSES.index(name)), *(f"{min(v, 1):.5f}" for v in middle + size)]) + "\n"


def train(data: Path, project: Path, weights: str, plan: "Plan") -> None:
    """Train for about ``plan.hours``; the best epoch on the validation maps is kept.

    On two cores it pays to begin with small pictures and to go on from there with ``PICTURE_SIZE``:
    the same minutes hold 1.5 times the steps.
    """
    torch.set_num_threads(2)
    model = YOLO(weights)
    model.add_callback("on_train_batch_start", plan.set_rate)
    model.train(
        data=str(data),
        project=str(project.absolute()),
        name="yolo",
        exist_ok=True,
        time=plan.hours,
        imgsz=plan.size,
        batch=16,
        optimizer="AdamW",
        lr0=plan.first_rate,
        warmup_epochs=0.5 if weights.endswith(".yaml") else 0,
        close_mosaic=0,
        mosaic=0.6,
        scale=0.4,
        translate=0.1,
        fliplr=0.0,  # the status bar has a left and a right
        hsv_h=0.02,
        erasing=0.0,
        amp=False,
        cache="ram",
        workers=0,
        plots=False,
        device="cpu",
    )


@dataclass
class Plan:
    """How long, at which picture size, and the learning rate at both ends of a cosine."""

    hours: float
    size: int
    first_rate: float
    last_rate: float
    began_s: float | None = None

    def set_rate(self, trainer: Any) -> None:  # noqa: ANN401 - ultralytics calls it
        """By the clock: an epoch is too long a step on two cores."""
        now_s = time.monotonic()
        self.began_s = self.began_s or now_s
        progress = min(1.0, (now_s - self.began_s) / 3600 / self.hours)
        share = (1 + math.cos(math.pi * progress)) / 2
        for group in trainer.optimizer.param_groups:
            group["lr"] = self.last_rate + (self.first_rate - self.last_rate) * share


def score(
    weights: Path, data: Path, split: str, size: int = PICTURE_SIZE
) -> dict[str, dict[str, float]]:
    """mAP50 and mAP50-95 per class and overall."""
    found = YOLO(str(weights)).val(
        data=str(data),
        split=split,
        imgsz=size,
        batch=16,
        plots=False,
        workers=0,
        device="cpu",
        verbose=False,
    )
    figures = {"all": {"mAP50": found.box.map50, "mAP50-95": found.box.map}}
    for position, number in enumerate(found.box.ap_class_index):
        figures[CLASSES[number]] = {
            "mAP50": found.box.ap50[position],
            "mAP50-95": found.box.ap[position],
        }
    return {name: {k: round(float(v), 3) for k, v in row.items()} for name, row in figures.items()}


def publish(weights: Path, out: Path) -> None:
    """Write the weights without the folder names of the machine that trained them."""
    checkpoint = torch.load(weights, map_location="cpu", weights_only=False)
    for key, value in checkpoint.items():
        if isinstance(value, str | dict):
            checkpoint[key] = _without_folders(value)
    network = checkpoint["model"]
    for name in ("args", "yaml", "yaml_file", "pt_path"):
        if hasattr(network, name):
            setattr(network, name, _without_folders(getattr(network, name)))
    torch.save(checkpoint, out)


def _without_folders(value: Any) -> Any:  # noqa: ANN401 - whatever the checkpoint holds
    if isinstance(value, dict):
        return {key: _without_folders(inner) for key, inner in value.items()}
    return (
        Path(value).name if isinstance(value, str | Path) and Path(value).is_absolute() else value
    )


def main() -> None:
    """Dispatch on the first word."""
    settings.update({"sync": False})
    wanted = read_words()
    match wanted.word:
        case "prepare":
            prepare(wanted.frames, wanted.out)
        case "train":
            plan = Plan(wanted.hours, wanted.size, *wanted.rates)
            train(wanted.data, wanted.project, wanted.weights, plan)
        case "score":
            found = score(wanted.weights, wanted.data, wanted.split, wanted.size)
            print(json.dumps(found, indent=1))
        case "publish":
            publish(wanted.weights, wanted.out)


def read_words() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    words = parser.add_subparsers(dest="word", required=True)
    preparing = words.add_parser("prepare")
    preparing.add_argument("frames", type=Path)
    preparing.add_argument("out", type=Path)
    training = words.add_parser("train")
    training.add_argument("data", type=Path)
    training.add_argument("project", type=Path)
    training.add_argument("--weights", default="yolov8n.yaml")
    training.add_argument("--hours", type=float, default=1.0)
    training.add_argument("--size", type=int, default=PICTURE_SIZE)
    training.add_argument("--rates", type=float, nargs=2, default=(0.002, 0.00004))
    scoring = words.add_parser("score")
    scoring.add_argument("weights", type=Path)
    scoring.add_argument("data", type=Path)
    scoring.add_argument("--size", type=int, default=PICTURE_SIZE)
    scoring.add_argument("--split", default="test", choices=("val", "test"))
    publishing = words.add_parser("publish")
    publishing.add_argument("weights", type=Path)
    publishing.add_argument("out", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
