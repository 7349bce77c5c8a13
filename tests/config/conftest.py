"""Folders of settings that tests write themselves."""

from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty ``config`` folder below the current one, so that messages name ``config/...``."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "config"
    path.mkdir()
    return path
