"""`danzar health`: what a container's health check sees."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from danzar.commands.health import ask_health, judge
from danzar.config.load import load_config
from danzar.config.settings import Config


def settings(port: int, *, enabled: bool = True) -> Config:
    http = {"DANZAR_BOT__HTTP__PORT": str(port), "DANZAR_BOT__HTTP__ENABLED": str(enabled).lower()}
    return load_config(environ=http)


@asynccontextmanager
async def answering(status: int, body: dict[str, Any]) -> AsyncIterator[Config]:
    """Something on a free port that answers so to /ready, and that it is alive to /health."""

    async def ready(_: web.Request) -> web.Response:
        return web.json_response(body, status=status)

    async def alive(_: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    app = web.Application()
    app.add_routes([web.get("/ready", ready), web.get("/health", alive)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield settings(runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def ask(config: Config, *, alive_only: bool = False) -> tuple[bool, tuple[str, ...]]:
    found = await asyncio.to_thread(ask_health, config, alive_only=alive_only)
    return found.ok, found.missing


async def test_a_ready_bot_is_well() -> None:
    async with answering(200, {"ready": True, "missing": []}) as config:
        assert await ask(config) == (True, ())


async def test_what_is_missing_is_said_in_the_bots_words() -> None:
    body = {"ready": False, "missing": ["Discord's gateway is not connected", "no telemetry"]}
    async with answering(503, body) as config:
        assert await ask(config) == (False, tuple(body["missing"]))
        assert await ask(config, alive_only=True) == (True, ())


async def test_a_bot_that_does_not_run_is_not_well(
    unused_tcp_port_factory: Callable[[], int],
) -> None:
    port = unused_tcp_port_factory()
    ok, missing = await ask(settings(port))
    assert not ok
    assert missing == (f"nothing answers on 127.0.0.1:{port} (ConnectionRefusedError)",)


async def test_a_bot_without_the_status_api_cannot_be_asked() -> None:
    ok, missing = await ask(settings(1, enabled=False))
    assert not ok
    assert "http.enabled is false" in missing[0]


@pytest.mark.parametrize(
    ("status", "body", "missing"),
    [
        (503, b'{"status": "stuck", "reason": "the owner task ended"}', "the owner task ended"),
        (404, b"not found", "it answered with status 404"),
        (500, b"[]", "it answered with status 500"),
    ],
)
def test_whatever_is_answered_is_told(status: int, body: bytes, missing: str) -> None:
    found = judge(status, body)
    assert (found.ok, found.missing) == (False, (missing,))
