"""What holds for all tests."""

import signal
from collections.abc import Iterator

import hypothesis
import pytest
from PIL import Image

from tests.tiny_pipelines import TinyPipelines
from tests.tiny_pipelines import tiny_pipelines as make_tiny_pipelines

_PILLOWS_OWN_OPEN = Image.open

# How long an example takes is the machine's affair.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")


def pytest_configure() -> None:
    """Let Ctrl-C reach the programs that the tests start and end with it.

    A shell has its background jobs ignore it, and whatever they start inherits that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def pillow_as_it_is() -> Iterator[None]:
    """ultralytics replaces ``Image.open`` when it is imported.

    In Danzar that happens in a worker that decodes no files; here it would stay for later tests.
    """
    Image.open = _PILLOWS_OWN_OPEN
    yield
    Image.open = _PILLOWS_OWN_OPEN


@pytest.fixture(scope="session")
def tiny_pipelines(request: pytest.FixtureRequest) -> TinyPipelines:
    """Untrained pipelines that make pictures and videos; kept in pytest's cache."""
    return make_tiny_pipelines(request.config.cache.mkdir("tiny-pipelines"))
