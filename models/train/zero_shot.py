"""What the small CLIP knows without being told more: figures on frames that it never saw."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import torch
from concepts import CONCEPTS, SITUATIONS, truths
from PIL import Image


@torch.inference_mode()
def zero_shot(
    model: open_clip.CLIP,
    tokenizer: open_clip.SimpleTokenizer,
    pictures: torch.Tensor,
    truth: torch.Tensor,
) -> dict[str, Any]:
    """Accuracy over the situations against the majority, recall of each, AUC of every concept."""
    model.eval()
    text = model.encode_text(tokenizer([c.name for c in CONCEPTS]), normalize=True)
    image = torch.cat([model.encode_image(part, normalize=True) for part in pictures.split(64)])
    similarity = image @ text.T
    count = len(SITUATIONS)
    guess, right = similarity[:, :count].argmax(dim=1), truth[:, :count].float().argmax(dim=1)
    share = torch.bincount(right, minlength=count) / len(right)
    recall = {
        c.name: round(float((guess[right == n] == n).float().mean()), 3)
        for n, c in enumerate(SITUATIONS)
    }
    return {
        "frames": len(right),
        "accuracy": round(float((guess == right).float().mean()), 3),
        "majority": round(float(share.max()), 3),
        "recall": recall,
        "auc": {c.name: _auc(similarity[:, n], truth[:, n]) for n, c in enumerate(CONCEPTS)},
    }


def _auc(scores: torch.Tensor, truth: torch.Tensor) -> float | None:
    """How often a true frame scores above a false one; ``None`` without both."""
    true, false = scores[truth], scores[~truth]
    if not len(true) or not len(false):
        return None
    return round(float((true[:, None] > false[None]).float().mean()), 3)


def score(frames: Path, folder: Path, split: str) -> dict[str, Any]:
    """The figures of the files in ``folder``, loaded and fed as Danzar does."""
    name = f"local-dir:{folder.absolute()}"
    model, preprocess = open_clip.create_model_from_pretrained(name)
    states = [json.loads(x) for x in (frames / split / "frames.jsonl").read_text().splitlines()]
    pictures = [_preprocessed(frames / split / state["file"], preprocess) for state in states]
    truth = torch.tensor([truths(state) for state in states])
    return zero_shot(model, open_clip.get_tokenizer(name), torch.stack(pictures), truth)


def _preprocessed(path: Path, preprocess: Callable[..., torch.Tensor]) -> torch.Tensor:
    with Image.open(path) as picture:
        return preprocess(picture.convert("RGB"))
