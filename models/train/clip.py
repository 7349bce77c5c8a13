"""Train and score the small CLIP: ``python models/train/clip.py {train,score} FRAMES FOLDER``.

The folder is in open_clip's own format: ``create_model_from_pretrained("local-dir:...")``.
Three kinds of question are asked of each batch of pictures, all answered by the softmax over the
texts that Danzar uses: which situation it is, which of a random handful of concepts are true, and
which of the captions made from the batch's own frames are true.
"""

import argparse
import json
import math
import random
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import open_clip
import torch
import yaml
from concepts import CONCEPTS, SITUATIONS, truths
from safetensors.torch import load_file, save_file
from torchvision.transforms import v2
from zero_shot import score, zero_shot

PICTURE_SIZE = 112
CONFIG = {
    "model_cfg": {
        "embed_dim": 128,
        "vision_cfg": {
            "image_size": PICTURE_SIZE,
            "layers": [1, 1, 1, 1],
            "width": 24,
            "patch_size": None,
        },
        "text_cfg": {
            "context_length": 32,
            "vocab_size": 49408,
            "width": 128,
            "heads": 2,
            "layers": 3,
        },
    },
    "preprocess_cfg": {
        "mean": [0.25, 0.2, 0.17],
        "std": [0.22, 0.19, 0.18],
        "interpolation": "bilinear",
        "resize_mode": "squash",
    },
}
BATCH = 48
EASY = frozenset({"a menu", "the automap open"})  # learnt within minutes
PEAK_RATE, WARM_UP = 5e-4, 0.03
Pictures = torch.Tensor
MARGIN = 8  # pixels that random crops may lose in all


def load_split(frames: Path, split: str, size: int) -> tuple[Pictures, torch.Tensor]:
    """Pictures ``(n, 3, size, size)`` as bytes, and truths ``(n, concepts)``."""
    folder = frames / split
    states = [json.loads(line) for line in (folder / "frames.jsonl").read_text().splitlines()]
    pictures = np.stack([_read(folder / state["file"], size) for state in states])
    truth = torch.tensor([truths(state) for state in states])
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous(), truth


def _read(path: Path, size: int) -> np.ndarray:
    picture = cv2.imread(str(path))[:, :, ::-1]
    return cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)


def prepared(pictures: Pictures) -> torch.Tensor:
    """Bytes to what the image tower takes."""
    values = CONFIG["preprocess_cfg"]
    mean = torch.tensor(values["mean"]).view(3, 1, 1)
    return (pictures.float() / 255 - mean) / torch.tensor(values["std"]).view(3, 1, 1)


def soft_loss(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Cross-entropy, true texts sharing the probability; pictures without one are left out."""
    some = truth.any(dim=1)
    wanted = truth[some].float()
    wanted = wanted / wanted.sum(dim=1, keepdim=True)
    return -(wanted * logits[some].log_softmax(dim=1)).sum(dim=1).mean()


class Trainer:
    """The model, its texts and its optimiser."""

    def __init__(self, folder: Path, seed: int, weights: Path | None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "open_clip_config.json").write_text(json.dumps(CONFIG, indent=1) + "\n")
        torch.manual_seed(seed)
        write_concepts(folder)
        self.folder, self.rng = folder, random.Random(seed)
        self.model = open_clip.model.CLIP(**_model_arguments())
        self.model.logit_scale.data.fill_(2.3)
        if weights is not None:
            self.model.load_state_dict(load_file(weights))
        self.tokenizer = open_clip.get_tokenizer(f"local-dir:{folder.absolute()}")
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=PEAK_RATE, weight_decay=0.05)
        self.augment = v2.Compose(
            [
                v2.RandomCrop(PICTURE_SIZE),
                v2.ColorJitter(brightness=0.3, contrast=0.25, saturation=0.25),
            ]
        )

    def step(self, pictures: Pictures, truth: torch.Tensor, progress: float) -> float:
        """One update, ``progress`` (0 to 1) into the training; the loss."""
        self.optimizer.param_groups[0]["lr"] = learning_rate(progress)
        self.model.train()
        image = self.model.encode_image(prepared(self.augment(pictures)), normalize=True)
        texts, told = self._texts(truth)
        text = self.model.encode_text(self.tokenizer(texts), normalize=True)
        logits = self.model.logit_scale.exp() * image @ text.T
        count, situations = len(CONCEPTS), len(SITUATIONS)
        handful = self.rng.sample(range(count), 10)
        loss = (
            soft_loss(logits[:, :situations], truth[:, :situations])
            + 0.5 * soft_loss(logits[:, handful], truth[:, handful])
            + 0.5 * soft_loss(logits[:, :count], truth)
            + 0.3 * soft_loss(logits[:, count:], told)
        )
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.model.logit_scale.data.clamp_(0, 4.6)
        return float(loss.detach())

    def _texts(self, truth: torch.Tensor) -> tuple[list[str], torch.Tensor]:
        """A wording of each concept, then captions; and which pictures each caption is true of."""
        texts = [self.rng.choice((c.name, c.name, *c.also)) for c in CONCEPTS]
        captions, told = [], []
        for row in truth[: BATCH // 2]:
            true = row.nonzero().flatten().tolist()
            chosen = self.rng.sample(true, min(len(true), self.rng.randint(2, 3)))
            captions.append(
                ", ".join(self.rng.choice((CONCEPTS[n].name, *CONCEPTS[n].also)) for n in chosen)
            )
            told.append(truth[:, chosen].all(dim=1))
        return texts + captions, torch.stack(told, dim=1)

    def save(self) -> None:
        """Write the weights as half floats; open_clip loads them into full ones."""
        weights = {
            k: v.half().contiguous() if v.is_floating_point() else v
            for k, v in self.model.state_dict().items()
        }
        save_file(weights, self.folder / "open_clip_model.safetensors")


def write_concepts(folder: Path) -> None:
    """``concepts.yaml``: what the model was taught, in the words that it was taught."""
    situations = {concept.name for concept in SITUATIONS}
    rows = [
        {"name": c.name, "situation": c.name in situations, "also": list(c.also)} for c in CONCEPTS
    ]
    head = (
        "# Written by models/train/clip.py. Exactly one `situation` is true of a picture; the\n"
        "# others may be true together. `also`: other wordings that the model was taught.\n"
    )
    text = yaml.safe_dump({"concepts": rows}, sort_keys=False, width=100)
    (folder / "concepts.yaml").write_text(head + text)


def _model_arguments() -> dict[str, Any]:
    model = CONFIG["model_cfg"]
    return {name: model[name] for name in ("embed_dim", "vision_cfg", "text_cfg")}


def train(frames: Path, folder: Path, minutes: float, seed: int, weights: Path | None) -> None:
    """Train for ``minutes``; the epoch that is best on the validation maps is kept."""
    pictures, truth = load_split(frames, "train", PICTURE_SIZE + MARGIN)
    other, other_truth = load_split(frames, "validation", PICTURE_SIZE)
    trainer, best, began = Trainer(folder, seed, weights), 0.0, time.monotonic()
    progress = 0.0
    while progress < 1:
        losses = []
        for batch in balanced_order(truth).split(BATCH):
            losses.append(trainer.step(pictures[batch], truth[batch], progress))
            progress = (time.monotonic() - began) / 60 / minutes
            if progress >= 1:
                break
        found = zero_shot(trainer.model, trainer.tokenizer, prepared(other), other_truth)
        print(f"{progress:.2f} loss {np.mean(losses):.3f} {found['accuracy']}", flush=True)
        if found["accuracy"] >= best:
            best = found["accuracy"]
            trainer.save()


def balanced_order(truth: torch.Tensor) -> torch.Tensor:
    """As many pictures as there are: half as they come, half with the situations evened out.

    Of the even half, ``EASY`` situations get less.
    """
    situations = truth[:, : len(SITUATIONS)].float()
    shares = torch.tensor([0.25 if c.name in EASY else 1.0 for c in SITUATIONS])
    weights = situations @ (shares / situations.sum(dim=0).clamp(min=1))
    weights = weights / weights.sum() + 1 / len(truth)
    return torch.multinomial(weights, len(truth), replacement=True)


def learning_rate(progress: float) -> float:
    """Up in the first twentieth, then down along a cosine."""
    if progress < WARM_UP:
        return PEAK_RATE * (0.05 + progress / WARM_UP)
    return PEAK_RATE * (0.01 + (1 + math.cos(math.pi * min(progress, 1.0))) / 2)


def main() -> None:
    """Dispatch on the first word."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("word", choices=("train", "score"))
    parser.add_argument("frames", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--weights", type=Path, help="go on from these")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--split", default="heldout")
    wanted = parser.parse_args()
    torch.set_num_threads(wanted.threads)
    if wanted.word == "train":
        train(wanted.frames, wanted.folder, wanted.minutes, wanted.seed, wanted.weights)
    else:
        print(json.dumps(score(wanted.frames, wanted.folder, wanted.split), indent=1))


if __name__ == "__main__":
    main()
