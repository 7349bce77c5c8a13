import pytest

from danzar.config.jobs import JobsConfig
from danzar.jobs.open_jobs import open_jobs
from tests.jobs.helpers import EchoInference
from tests.redis_server import redis_server

__all__ = ["redis_server"]


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
def queue_url(request):
    """The queue of one process, and one that several share."""
    if request.param == "memory":
        return "memory://"
    return request.getfixturevalue("redis_server").url


@pytest.fixture
def config(queue_url):
    return JobsConfig(url=queue_url, lease_s=5.0, drain_s=0.0, retry_delay_s=0.05)


@pytest.fixture
def echo():
    return EchoInference()


@pytest.fixture
async def jobs(config, echo, tmp_path):
    parts = open_jobs(config, tmp_path, inference=echo, models=lambda: {"echo": 1}, node="here")
    async with parts as service:
        yield service
