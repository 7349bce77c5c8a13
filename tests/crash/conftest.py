from pathlib import Path

import pytest

from tests.fakes import nvml


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory) -> Path:
    return nvml.build(tmp_path_factory.mktemp("nvml"))
