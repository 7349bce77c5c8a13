"""Whatever is asked: no 500, no answer that is not described, and bodies as described."""

import subprocess
import sys

import pytest

from tests.api.conftest import Served

# A description can't say which parameters belong to which model, and a cancelled job is still told.
NOT_HERE = "positive_data_acceptance,use_after_free"


@pytest.mark.process
def test_every_answer_is_a_described_one(served: Served, tmp_path):
    """schemathesis with all its checks: examples, limits of every key, made-up data, sequences."""
    run = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{served.url}/openapi.json"),
            *("--header", f"Authorization: Bearer {served.key}"),
            *("--max-examples", "4", "--generation-deterministic", "--no-color"),
            *("--request-timeout", "60"),
            *("--exclude-checks", NOT_HERE),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout
