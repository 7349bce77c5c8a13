"""The held-out frames and the shipped weights."""

import json
import os
import tempfile
from pathlib import Path

import pytest

# Read when ultralytics is imported: nothing is installed, fetched, or written to the home folder.
os.environ.setdefault("YOLO_AUTOINSTALL", "false")
os.environ.setdefault("YOLO_OFFLINE", "true")
os.environ.setdefault("YOLO_CONFIG_DIR", tempfile.mkdtemp(prefix="danzar-ultralytics-"))

MODELS = Path(__file__).parents[2] / "models"
HELD_OUT = MODELS / "heldout"


@pytest.fixture(scope="session")
def models_folder() -> Path:
    return MODELS


@pytest.fixture(scope="session")
def held_out_folder() -> Path:
    return HELD_OUT


@pytest.fixture(scope="session")
def held_out_frames() -> list[dict]:
    return [json.loads(line) for line in (HELD_OUT / "frames.jsonl").read_text().splitlines()]
