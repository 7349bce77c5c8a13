"""The Dockerfile's own steps on a bare Debian, and the bot that they make; see ``replay.py``."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ASKED = "DANZAR_TEST_DOCKERFILE"
NEEDED = ("debootstrap", "unshare", "ip")


@pytest.mark.timeout(7200)
def test_the_steps_give_a_bot_that_answers(tmp_path: Path) -> None:
    if ASKED not in os.environ:
        pytest.skip(f"takes 20 minutes and 8 GB of disk; {ASKED}=1 asks for it")
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing or os.getuid() != 0:
        pytest.skip(f"needs root and {', '.join(NEEDED)}")
    debian, cache = tmp_path / "debian", tmp_path / "cache"
    subprocess.run(["debootstrap", "--variant=minbase", "bookworm", debian], check=True)
    cache.mkdir()
    backend = os.environ.get("DANZAR_TEST_TORCH_BACKEND", "cpu")
    places = ["--debian", debian, "--work", tmp_path / "stages", "--cache", cache]
    given = ["--build-arg", f"TORCH_BACKEND={backend}"]
    said = subprocess.run(
        [sys.executable, "-m", "tests.deploy.replay", "cpu", *places, *given],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    shutil.rmtree(tmp_path)
    assert said.returncode == 0, said.stdout
    assert "user 10001, capabilities 0000000000000000" in said.stdout
    assert "health: ready" in said.stdout
    assert "answer: " in said.stdout
