"""One running API for all tests here: its models take seconds to load."""

import base64
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.openai_api.running import REPOSITORY, Api, make_folder, running_api
from tests.tiny_pipelines import TinyPipelines


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def api(
    tmp_path_factory: pytest.TempPathFactory, tiny_pipelines: TinyPipelines
) -> AsyncIterator[Api]:
    """The API with real small models."""
    folder = make_folder(tmp_path_factory.mktemp("openai"), tiny_pipelines)
    async with running_api(folder) as api:
        yield api


@pytest.fixture(scope="session")
def low_health() -> str:
    """A picture of a game, as a data: URL."""
    data = (REPOSITORY / "assets/frames/low-health.png").read_bytes()
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"
