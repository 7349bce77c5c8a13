"""``danzar config import`` as a person types it."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = Path(__file__).with_name("vramcram.yaml")


def danzar(*arguments):
    command = [sys.executable, "-m", "danzar", "config", "import", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_an_import_tells_every_key_and_writes_files_that_are_in_order(tmp_path):
    out = tmp_path / "config"
    ended = danzar(EXAMPLE, "--out", out)
    assert ended.returncode == 0
    assert "vram.safety_margin_mb: 640\n    is vram.placement.margin: 640 MiB" in ended.stdout
    assert "nothing here: pictures are in the answer" in ended.stdout
    assert "Next: danzar doctor --config" in ended.stdout
    assert (out / "models.yaml").is_file()


def test_mistakes_are_told_one_by_one_and_nothing_is_written(tmp_path):
    file = tmp_path / "startup_config.yaml"
    file.write_text("idle_timeout: -1\nlookahead_window: soon\n")
    ended = danzar(file, "--out", tmp_path / "config", "--json")
    answer = json.loads(ended.stdout)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert not answer["ok"]
    assert [p["key"] for p in answer["problems"]] == ["idle_timeout", "lookahead_window"]
    assert not (tmp_path / "config").exists()
