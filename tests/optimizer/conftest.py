"""A folder of settings with what runs by it, as the tests of live settings have it."""

from tests.live_config.conftest import folder, world

__all__ = ["folder", "world"]
