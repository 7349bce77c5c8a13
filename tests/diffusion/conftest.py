"""Everything below Discord on a simulated card, with untrained pipelines and real workers."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml

from danzar.config.load import load_config
from danzar.services import Services, open_services
from tests.tiny_pipelines import add_tiny

MEDIA = {"backend": "media", "role": "media", "licence": "none"}
CHAT = {
    "backend": "echo",
    "role": "chat",
    "protected": False,
    "allow_cpu": False,
    "licence": "none",
}
VRAM = {
    "telemetry": {
        "mode": "simulated",
        "simulated_cards": [{"name": "NVIDIA GeForce RTX 4060", "memory": "8 GiB"}],
        "sample_interval_s": 0.1,
    },
    "placement": {"preload": False, "min_residence_s": 0, "patience_s": 0},
    "prediction": {"enabled": False},
}
VISION = {
    "gpu_memory": {
        "main_llm_memory_reservation_gb": 0,
        "vision_device": "cuda:0",
        "cpu_fallback_threshold_gb": 0,
    }
}


@pytest.fixture
def world(tmp_path, tiny_pipelines):
    """``async with world(): ...`` is everything below Discord on one simulated 8 GB card."""

    @asynccontextmanager
    async def running(*kinds: str, chat="7 GiB", **changes) -> AsyncIterator[Services]:
        models = {"chat": CHAT | {"memory": chat}, "media": MEDIA}
        for kind in kinds or ("sd",):
            entry = add_tiny(tmp_path, tiny_pipelines, kind)
            entry["settings"] |= {"profile": "tiny-test"} if kind != "wan" else {}
            models[kind] = entry | {"allow_cpu": False} | changes
        use = {"chat": "chat", "detect": None, "rank": None, "read": None, "media": "media"}
        use |= {entry["role"]: "sd" for entry in [models.get("sd")] if entry}
        write(tmp_path / "config", models, use, VRAM)
        async with open_services(load_config(tmp_path / "config", {})) as services:
            yield services

    return running


def write(folder: Path, models: dict, use: dict, vram: dict) -> None:
    folder.mkdir(exist_ok=True)
    for name, content in (
        ("models", {"use": use, "models": models}),
        ("vram_config", vram),
        ("vision_config", VISION),
    ):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")


@pytest.fixture
def copy_of(tmp_path):
    """A copy of a folder that a test may damage."""
    return lambda folder: Path(shutil.copytree(folder, tmp_path / folder.name))
