"""The status server on its port, with TLS where it is configured."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from danzar.config.api import is_loopback
from danzar.config.bot import HttpSettings
from danzar.http.status import status_app
from danzar.http.status_guard import Keys, StatusServerError
from danzar.http.status_live import LiveFeed
from danzar.http.status_parts import StatusParts
from danzar.http.tls_renewal import follow_certificate
from danzar.running import running


@asynccontextmanager
async def serve_status(
    parts: StatusParts, settings: HttpSettings, keys: Keys | None = None
) -> AsyncIterator[str]:
    """Serve while the context lasts; yields the address, ``http://127.0.0.1:PORT``.

    Args:
        parts: What is shown.
        settings: Where, and to whom.
        keys: Who is let in from elsewhere; ``None``: nobody.

    Raises:
        StatusServerError: The port is taken, or TLS is not to be.
    """
    feed = LiveFeed(parts)
    tls = await asyncio.to_thread(_tls, settings)
    app = status_app(parts, settings, keys, feed)
    app.on_shutdown.append(lambda _app: feed.close())
    runner = web.AppRunner(app, access_log=None, logger=_server_log(), shutdown_timeout=1.0)
    await runner.setup()
    try:
        address = await _listen(runner, settings, tls)
        renewing = follow_certificate(tls, settings.tls_certificate, settings.tls_key)
        async with running(feed.run(), renewing):
            yield address
    finally:
        await runner.cleanup()


def _server_log() -> logging.Logger:
    """Of what goes wrong in answering; what was no HTTP at all is the client's affair."""
    server_log = logging.getLogger(f"{__name__}.requests")
    if not server_log.filters:
        server_log.addFilter(_is_our_affair)
    return server_log


def _is_our_affair(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


async def _listen(runner: web.AppRunner, settings: HttpSettings, tls: ssl.SSLContext | None) -> str:
    try:
        await web.TCPSite(runner, settings.host, settings.port, ssl_context=tls).start()
    except OSError as exc:
        raise StatusServerError(
            f"the status page can't use {settings.host} port {settings.port} "
            f"({exc.strerror or exc}); set http.host and http.port in bot_config.yaml to others, "
            "or the port to 0"
        ) from exc
    port = runner.addresses[0][1]
    host = settings.host if is_loopback(settings.host) else "127.0.0.1"
    return f"{'http' if tls is None else 'https'}://{f'[{host}]' if ':' in host else host}:{port}"


def _tls(settings: HttpSettings) -> ssl.SSLContext | None:
    if settings.tls_certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    except OSError as exc:  # ssl.SSLError is one
        raise StatusServerError(
            f"http.tls_certificate {settings.tls_certificate} and http.tls_key can't be used: {exc}"
        ) from exc
    return context
