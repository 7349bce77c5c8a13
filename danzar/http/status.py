"""The status API on loopback: read only, no CORS, closed to other sites' pages.

A page of another site can make a browser ask 127.0.0.1, under its own name (DNS rebinding) or
across origins. Both are refused: by the ``Host`` header and by ``Origin``.
"""

import ipaddress
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from danzar.config.bot import HttpSettings
from danzar.errors import DanzarError
from danzar.http.status_json import Json, StatusFacts, devices_json, status_json

LOOPBACK = "127.0.0.1"
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class StatusServerError(DanzarError):
    """The status API could not take its port."""


def status_app(facts: Callable[[], StatusFacts]) -> web.Application:
    """The application; ``facts`` is called once per request and must not block."""

    async def get_status(_request: web.Request) -> web.Response:
        return _answer(status_json(facts()))

    async def get_devices(_request: web.Request) -> web.Response:
        return _answer(devices_json(facts().devices))

    app = web.Application(middlewares=[_refuse_strangers])
    app.router.add_get("/v1/status", get_status)
    app.router.add_get("/v1/devices", get_devices)
    return app


@asynccontextmanager
async def serve_status(
    facts: Callable[[], StatusFacts], settings: HttpSettings
) -> AsyncIterator[str]:
    """Serve while the context lasts; yields the address, ``http://127.0.0.1:PORT``.

    Raises:
        StatusServerError: The port is taken.
    """
    runner = web.AppRunner(status_app(facts), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, LOOPBACK, settings.port)
        try:
            await site.start()
        except OSError as exc:
            raise StatusServerError(
                f"the status API can't use port {settings.port} ({exc.strerror}); "
                "set http.port in config/bot_config.yaml to another one, or to 0"
            ) from exc
        yield f"http://{LOOPBACK}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _answer(body: Json, status: int = 200) -> web.Response:
    return web.json_response(body, status=status, headers=_HEADERS)


@web.middleware
async def _refuse_strangers(request: web.Request, handler: Handler) -> web.StreamResponse:
    if not _is_loopback(f"//{request.headers.get('Host', '')}"):
        return _answer({"error": "this API answers on 127.0.0.1 and localhost only"}, 403)
    origin = request.headers.get("Origin")
    if origin is not None and origin != f"http://{request.headers['Host']}":
        return _answer({"error": "pages of other origins may not read this API"}, 403)
    try:
        return await handler(request)
    except web.HTTPException as exc:
        return _answer({"error": exc.reason.lower()}, exc.status)


def _is_loopback(url: str) -> bool:
    try:
        host = urlsplit(url).hostname
        return host == "localhost" or (host is not None and ipaddress.ip_address(host).is_loopback)
    except ValueError:
        return False
