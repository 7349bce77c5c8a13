"""A chat model and a picture model that never fit on the card together, by the real scheduler."""

from random import Random

import pytest

from danzar.commands.described import read_world
from danzar.core.asker import RequestClass
from danzar.simulate.simulation import Simulation
from danzar.simulate.trace import Ask, in_order

HOUR_S = 3600.0
WORLD = """
rules: {sample_interval_s: 2, min_residence_s: 20}
devices:
  - {name: NVIDIA GeForce RTX 4070, memory: 12 GiB, foreign: 0.8 GiB}
host: {memory: 32 GiB, foreign: 12 GiB}
models:
  chat-7b:
    {purpose: chat, size: 7.2 GiB, load_rate: 2.5 GiB, load_s: 1, request_s: 6, slots: 4,
     cpu: false}
  sdxl: {purpose: vision, size: 7.8 GiB, load_rate: 2.5 GiB, load_s: 2, request_s: 10, cpu: false}
"""


@pytest.fixture
def world(tmp_path):
    path = tmp_path / "world.yaml"
    path.write_text(WORLD)
    return read_world(path)


def asks(model, kind, every_s, people, seed):
    random, at_s = Random(seed), 0.0
    while (at_s := at_s + random.expovariate(1 / every_s)) < HOUR_S:
        yield Ask(at_s, model, None, kind, f"{kind} {random.randrange(people)}")


def test_pictures_never_keep_chat_from_the_card_nor_chat_the_pictures(world):
    talk = asks("chat-7b", RequestClass.CHAT, 20, 12, 5)
    paint = asks("sdxl", RequestClass.PICTURE, 20, 8, 6)

    report = Simulation(world, list(in_order([*talk, *paint]))).run()

    chat, picture = report.classes["chat"], report.classes["picture"]
    assert report.unanswered == report.failed == 0
    assert chat.refused == picture.refused == 0
    assert chat.p50_s < chat.bound_s
    assert chat.late < 0.1 * chat.requests
    assert chat.max_s < 1.5 * chat.bound_s
    assert picture.p50_s < picture.bound_s
