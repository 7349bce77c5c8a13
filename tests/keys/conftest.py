"""Servers for the tests of this folder; a test that needs them says so by its arguments."""

import shutil

import pytest

from tests.keys.servers import PlainRedis, TlsRedis


@pytest.fixture(scope="session")
def redis_program() -> None:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")


@pytest.fixture(scope="module")
def tls_redis(redis_program, tmp_path_factory):
    server = TlsRedis(tmp_path_factory.mktemp("keys") / "home")
    yield server
    server.stop()


@pytest.fixture
def own_tls_redis(redis_program, tmp_path):
    """One that a test may change and restart."""
    server = TlsRedis(tmp_path / "home")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def plain_redis(redis_program, tmp_path_factory):
    server = PlainRedis(tmp_path_factory.mktemp("plain"))
    yield server
    server.stop()
