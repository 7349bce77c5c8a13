import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from danzar.inference import Placed
from danzar.vision.batcher import Answer
from danzar.vision.read_memory import ReadMemory
from danzar.workers.contract import Picture, ReadLine

FRAMES = Path(__file__).parents[2] / "assets" / "frames"
TRUTH = json.loads((FRAMES / "truth.json").read_text())
REGION = (0.14, 0.84, 0.33, 0.945)


def picture_of(name, noise=0):
    with Image.open(FRAMES / name) as image:
        pixels = np.asarray(image.convert("RGB")).astype(np.int16)
    pixels = pixels + np.random.default_rng(1).integers(-noise, noise + 1, pixels.shape)
    return Picture(640, 480, "rgb", pixels.clip(0, 255).astype(np.uint8).tobytes())


def answer(text):
    return Answer((ReadLine(text, 0.9, (0, 0, 1, 1)),), Placed("ocr", "cpu", False), 0.3, 1)


@pytest.fixture
def memory():
    made = ReadMemory()
    for name, truth in TRUTH.items():
        made.remember(picture_of(name), REGION, answer(str(truth["health"])))
    return made


@pytest.mark.parametrize("name", sorted(TRUTH))
@pytest.mark.parametrize("noise", [0, 12])
def test_a_number_that_stands_still_is_recalled_and_never_another_one(memory, name, noise):
    recalled = memory.recall(picture_of(name, noise), REGION)
    assert recalled.value[0].text == str(TRUTH[name]["health"])
    assert recalled.seconds == 0.0


def test_other_numbers_other_places_and_other_sizes_are_not_recalled():
    memory = ReadMemory()
    memory.remember(picture_of("enemy.png"), REGION, answer("100"))
    for name in TRUTH:
        same = TRUTH[name]["health"] == 100
        assert (memory.recall(picture_of(name), REGION) is not None) is same
    assert memory.recall(picture_of("enemy.png"), (0.0, 0.0, 0.5, 0.5)) is None
    other = Picture(480, 640, "rgb", picture_of("enemy.png").data)
    assert memory.recall(other, REGION) is None
    assert memory.recall(Picture(640, 480, "jpeg", b""), REGION) is None


def test_a_part_too_large_for_its_cells_is_never_recalled():
    memory, large = ReadMemory(), (0.0, 0.0, 1.0, 0.2)
    memory.remember(picture_of("enemy.png"), large, answer("100"))
    assert memory.recall(picture_of("enemy.png"), large) is None


def test_the_memory_is_bounded():
    memory = ReadMemory()
    memory.remember(picture_of("enemy.png"), REGION, answer("100"))
    for _ in range(48):
        memory.remember(picture_of("boss.png"), REGION, answer("200"))
    assert memory.recall(picture_of("enemy.png"), REGION) is None
