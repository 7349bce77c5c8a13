"""What the pages give to type and what needs neither a bot nor a network really works."""

import shlex
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from danzar.cli import app
from tests.docs.pages import PAGES, ROOT, blocks, command_lines

# By themselves, on a machine without a card, in a second or two.
ALONE = (
    "audit", "config check", "config set", "estimate", "keys add",
    "keys list", "models list", "models verify", "plan", "resources check", "resources estimate",
    "resources optimize",
)  # fmt: skip
LINES = sorted(
    {
        shlex.join(words)
        for page in PAGES
        for block in blocks(page)
        if block.language in ("sh", "bash")
        for words in command_lines(block.text)
        if " ".join(words[:2]) in ALONE or words[0] in ALONE
    }
)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Settings, models and data of the test's own."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    for folder in ("models", "assets"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    return {
        "DANZAR_CONFIG": str(tmp_path / "config"),
        "DANZAR_BOT__DATA_DIR": str(tmp_path / "data"),
        "DANZAR_VRAM__TELEMETRY__MODE": "simulated",
        "COLUMNS": "120",
    }


def test_there_are_lines_to_try() -> None:
    assert len(LINES) > 5


@pytest.mark.parametrize("line", LINES)
def test_a_line_of_a_page_works_as_it_stands(
    line: str, environ: dict[str, str], monkeypatch
) -> None:
    monkeypatch.chdir(ROOT)

    ended = CliRunner().invoke(app, shlex.split(line), env=environ)

    assert ended.exit_code == 0, ended.exception
    assert ended.output.strip()
