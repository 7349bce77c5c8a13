from pathlib import Path

import pytest

from tests.fakes import nvml


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory) -> Path:
    return nvml.build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def driver(tmp_path, nvml_library, monkeypatch) -> nvml.FakeWorld:
    """A fake driver in this process, fed by the workers; ``cuda:0`` is GPU-aaaa."""
    world = nvml.seed_world(tmp_path)
    nvml.install(monkeypatch, nvml_library, world)
    world.feed(tmp_path / "held")
    return world
