"""Projects with a manifest, and a real HTTP server to pull from."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from danzar.config.bot import BotConfig
from danzar.config.models import ModelEntry, ModelsConfig, RoleChoice
from danzar.config.settings import Config

MakeConfig = Callable[..., Config]


@pytest.fixture
def project(tmp_path: Path) -> MakeConfig:
    """A project in the test's folder whose manifest has these models."""

    def make(allow: tuple[str, ...] = (), **models: dict[str, Any]) -> Config:
        entries = {
            name: ModelEntry.model_validate({"backend": "clip", "role": "rank", **fields})
            for name, fields in models.items()
        }
        entries["media"] = ModelEntry(backend="media", role="media")
        use = RoleChoice(chat=None, detect=None, rank=None, read=None)
        return Config(
            root=tmp_path,
            bot=BotConfig(data_dir="data"),
            models=ModelsConfig(use=use, models=entries, allow_unverified=allow),
        )

    return make


@pytest.fixture
async def server() -> AsyncIterator["Server"]:
    """A server on loopback whose answers a test decides."""
    server = Server()
    async with server.running:
        yield server


class Server:
    """Serves one handler per path, and remembers what was asked."""

    def __init__(self) -> None:
        self.requests: list[web.BaseRequest] = []
        self._handlers: dict[str, Callable[[web.BaseRequest], Any]] = {}
        app = web.Application()
        app.router.add_get("/{path:.*}", self._handle)
        self.running = TestServer(app, host="127.0.0.1")

    def on(self, path: str, handler: Callable[[web.BaseRequest], Any]) -> str:
        """Answer this path so; returns its address."""
        self._handlers[path] = handler
        return str(self.running.make_url(path))

    def ranges(self) -> list[str | None]:
        """The Range header of each request."""
        return [request.headers.get("Range") for request in self.requests]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        result: web.StreamResponse = await self._handlers[request.path](request)
        return result
