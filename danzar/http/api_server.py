"""Serving the API inside the bot's own event loop: uvicorn, without its hands on the signals."""

import asyncio
import contextlib
import ipaddress
import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from danzar.config.api import ApiSettings, is_loopback
from danzar.errors import DanzarError
from danzar.http.api_keys import ApiKeys
from danzar.http.api_protocol import GuardedProtocol, SocketProtocol
from danzar.http.tls_renewal import follow_certificate
from danzar.running import running

log = logging.getLogger(__name__)

_BACKLOG = 256
_IDLE_S = 30
_TICK_S = 1.0


class ApiServerError(DanzarError):
    """The API can't listen where it should."""


async def check_reach(settings: ApiSettings, keys: ApiKeys) -> None:
    """Refuse to listen where strangers are while there is no key.

    Raises:
        ApiServerError: The line says what to type.
    """
    if is_loopback(settings.host):
        return
    if not any(key.is_active for key in await keys.all()):
        raise ApiServerError(
            f"the API does not listen on {settings.host} without a key: others on the network "
            "could use your GPUs; type `danzar keys add NAME` first, or set api.host to 127.0.0.1"
        )


def warn_of_plain_http(settings: ApiSettings) -> None:
    """Say in the log that others on the network can read along, where they can."""
    if not is_loopback(settings.host) and settings.tls_certificate is None:
        log.warning(
            "the API on %s is plain HTTP: who listens on the network sees keys and prompts; "
            "set api.tls_certificate and api.tls_key",
            settings.host,
        )


@asynccontextmanager
async def serve_api(
    app: ASGIApp, settings: ApiSettings, closing: asyncio.Event
) -> AsyncIterator[str]:
    """Serve while the context lasts; yields the address, ``http://127.0.0.1:8000``.

    At its end, new connections are refused, and requests may go on for ``drain_s``.

    Raises:
        ApiServerError: The port is taken, the address is not this machine's, or TLS is not to be.
    """
    listener = _listen(settings)
    with contextlib.closing(listener):
        config = _uvicorn_config(app, settings)
        server = _Server(config)
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(server.serve([listener]), name="api")
            try:
                await server.is_up.wait()
                async with running(
                    follow_certificate(config.ssl, settings.tls_certificate, settings.tls_key)
                ):
                    yield _address(settings, listener)
            finally:
                closing.set()
                server.stop()
                await asyncio.shield(serving)


def _listen(settings: ApiSettings) -> socket.socket:
    host = "127.0.0.1" if settings.host == "localhost" else settings.host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named by its protocol, so that asyncio sends small answers at once (TCP_NODELAY): without it,
    # every answer waits 40 ms for the client's acknowledgement of its head.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":  # Elsewhere it would let others take the port, too.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, settings.port))
        listener.listen(_BACKLOG)
    except OSError as exc:
        listener.close()
        raise ApiServerError(
            f"the API can't listen on {settings.host} port {settings.port} ({exc.strerror or exc});"
            " choose others with api.host and api.port in bot_config.yaml, or --host and --port"
        ) from exc
    listener.setblocking(False)
    return listener


def _address(settings: ApiSettings, listener: socket.socket) -> str:
    scheme = "http" if settings.tls_certificate is None else "https"
    host, port = listener.getsockname()[:2]
    if ipaddress.ip_address(host).version == 6:  # noqa: PLR2004
        host = f"[{host}]"
    return f"{scheme}://{host}:{port}"


def _uvicorn_config(app: ASGIApp, settings: ApiSettings) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        http=GuardedProtocol,
        ws=SocketProtocol,
        ws_max_size=settings.max_body,
        lifespan="off",
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=_IDLE_S,
        timeout_graceful_shutdown=max(1, round(settings.drain_s)),
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
    )
    _load(config, settings)
    return config


def _load(config: uvicorn.Config, settings: ApiSettings) -> None:
    for key in ("tls_certificate", "tls_key"):
        file = getattr(settings, key)
        if file is not None and not Path(file).is_file():
            raise ApiServerError(f"api.{key}: there is no file {file}")
    try:
        config.load()
    except (ssl.SSLError, OSError) as exc:
        raise ApiServerError(f"api.tls_certificate and api.tls_key can't be used: {exc}") from exc


class _Server(uvicorn.Server):
    """Leaves signals to the program, and says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = asyncio.Event()
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """Take no more connections, and end when the requests have ended."""
        self.should_exit = True
        self._stopped.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        self.is_up.set()

    async def main_loop(self) -> None:
        """Look after the ``Date`` header once a second, until stopped."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK_S):
                    await self._stopped.wait()
