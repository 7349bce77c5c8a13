"""A folder of settings, and what runs by it."""

from pathlib import Path

import pytest

from tests.live_config.world import MODELS, VRAM, World, make_world


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ``config`` folder below the current one, so that messages name ``config/...``."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "config"
    path.mkdir()
    (path / "vram_config.yaml").write_text(VRAM)
    (path / "models.yaml").write_text(MODELS)
    return path


@pytest.fixture
def world(folder: Path) -> World:
    return make_world(folder)
