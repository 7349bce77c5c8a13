"""The command line as a person uses it: a process, what it prints, and its exit status."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    status: int
    out: str
    err: str


Danzar = Callable[..., Ended]


@pytest.fixture
def danzar(tmp_path: Path) -> Danzar:
    """Run ``danzar ARGUMENTS`` in the repository, with its data in the test's folder."""

    def run(*arguments: str, cwd: Path = REPOSITORY, **variables: str) -> Ended:
        environ = {k: v for k, v in os.environ.items() if not k.startswith(("DANZAR_", "DISCORD_"))}
        environ |= {
            "DANZAR_BOT__DATA_DIR": str(tmp_path / "data"),
            "DANZAR_VRAM__TELEMETRY__MODE": "simulated",
            "DANZAR_BOT__HTTP__PORT": "0",
            "COLUMNS": "200",
        }
        done = subprocess.run(
            [sys.executable, "-m", "danzar", *arguments],
            cwd=cwd,
            env=environ | variables,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    return run
