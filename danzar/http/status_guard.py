"""Who may read the status server: programs and browsers of this machine, and whoever has a key.

A page of another site can make a browser ask 127.0.0.1, under its own name (DNS rebinding) or
across origins. Both are refused: by the ``Host`` header, by ``Origin`` and by ``Sec-Fetch-Site``.
What comes from another machine, or through a proxy, needs one of the API's keys besides.
"""

import ipaddress
import logging
import socket
from functools import partial
from typing import Protocol

from aiohttp import BasicAuth, hdrs, web
from aiohttp.typedefs import Handler, Middleware

from danzar.config.api import is_loopback
from danzar.config.bot import HttpSettings
from danzar.errors import BadInput, DanzarError, ModelMissing
from danzar.http.api_hosts import is_forwarded, is_own_name
from danzar.http.api_keys import ApiKey
from danzar.http.status_failures import Failures

log = logging.getLogger(__name__)

PUBLIC = frozenset({"/health", "/ready"})
METRICS = "/metrics"
LOOPBACK = "127.0.0.1"
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
# Both in one header: some programs read the first one alone.
_CHALLENGE = 'Basic realm="Danzar", charset="UTF-8", Bearer realm="Danzar"'


class StatusServerError(DanzarError):
    """The status server can't, or must not, listen where it should."""


class Keys(Protocol):
    """The part of ``danzar.http.api_keys.ApiKeys`` that lets people in."""

    async def find(self, text: str) -> ApiKey | None:
        """The active key that this text is."""
        ...

    async def all(self) -> tuple[ApiKey, ...]:
        """Every key, revoked ones among them."""
        ...


async def check_reach(settings: HttpSettings, keys: Keys) -> None:
    """Refuse to listen where strangers are while there is no key.

    Raises:
        StatusServerError: The line says what to type.
    """
    if is_loopback(settings.host) or any(key.is_active for key in await keys.all()):
        return
    raise StatusServerError(
        f"the status page does not listen on {settings.host} without a key: others on the network "
        "could read what happens here; type `danzar keys add NAME` first, or set http.host to "
        "127.0.0.1"
    )


def wants_keys(settings: HttpSettings) -> bool:
    """Whether anybody but this machine's own programs may come: over the network, or a proxy."""
    return not is_loopback(settings.host) or bool(settings.hosts)


def warn_of_plain_http(settings: HttpSettings) -> None:
    """Say in the log that others on the network can read along, where they can."""
    if not is_loopback(settings.host) and settings.tls_certificate is None:
        log.warning(
            "the status page on %s is plain HTTP: who listens on the network sees keys and what "
            "is shown; set http.tls_certificate and http.tls_key",
            settings.host,
        )


class Guard:
    """The middleware that lets in or refuses, and the headers of every answer."""

    def __init__(self, settings: HttpSettings, keys: Keys | None) -> None:
        """``keys`` is ``None`` where only this machine's programs are let in."""
        self._settings = settings
        self._keys = keys
        self._failures = Failures()
        name = socket.gethostname().lower()
        self._own_names = frozenset({name, f"{name}.local"})

    @property
    def middleware(self) -> Middleware:
        """For ``web.Application(middlewares=...)``."""

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await answered(request, partial(self._guarded, handler))

        return guard

    async def _guarded(self, handler: Handler, request: web.Request) -> web.StreamResponse:
        if request.path not in PUBLIC:
            if why := self._why_foreign(request):
                return error(403, why)
            if refused := await self._why_unknown(request):
                return refused
        return await handler(request)

    def _why_foreign(self, request: web.Request) -> str | None:
        host = request.headers.get(hdrs.HOST, "")
        names = self._settings.hosts
        if not is_own_name(host, self._settings.host, names, self._own_names):
            return (
                f"this server is not known as {host[:80]!r}; ask 127.0.0.1 or localhost, or add "
                "the name to http.hosts in bot_config.yaml"
            )
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
            return "pages of other origins may not read this server"
        return "pages of other sites may not read this server" if _is_embedded(request) else None

    async def still_admits(self, request: web.Request) -> bool:
        """Whether a request that was let in would be let in again: its key may be revoked."""
        return self._needs_no_key(request) or await self._is_known(_offered(request))

    async def _why_unknown(self, request: web.Request) -> web.Response | None:
        """The refusal of one who has no key and needs one."""
        if self._needs_no_key(request):
            return None
        peer = request.remote or ""
        if wait_s := self._failures.wait_s(peer):
            return error(429, "too many wrong keys; wait", {"Retry-After": f"{wait_s:.0f}"})
        offered = _offered(request)
        if await self._is_known(offered):
            return None
        if offered is not None:
            self._failures.add(peer)
        return error(
            401,
            "this needs a key, as a password or as Authorization: Bearer danzar_...; its owner "
            "makes one with `danzar keys add NAME`",
            {hdrs.WWW_AUTHENTICATE: _CHALLENGE},
        )

    def _needs_no_key(self, request: web.Request) -> bool:
        open_metrics = self._settings.open_metrics and request.path == METRICS
        return open_metrics or _is_this_machine(request)

    async def _is_known(self, offered: str | None) -> bool:
        if offered is None or self._keys is None:
            return False
        return await self._keys.find(offered) is not None


def _offered(request: web.Request) -> str | None:
    return offered_key(request.headers.get(hdrs.AUTHORIZATION, ""))


def offered_key(header: str) -> str | None:
    """The key in an ``Authorization`` header: a bearer's token, or the password with any user."""
    kind, _, rest = header.partition(" ")
    if kind.lower() == "bearer":
        return rest.strip()
    try:
        password: str = BasicAuth.decode(header).password
    except ValueError:
        return None
    return password


async def answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The handler's answer; what it raises becomes ``{"error": "..."}``."""
    try:
        return await handler(request)
    except ModelMissing as exc:
        return error(404, str(exc))
    except BadInput as exc:
        return error(400, str(exc))
    except DanzarError as exc:
        return error(503, str(exc))
    except web.HTTPException as exc:
        return error(exc.status, exc.reason.lower(), dict(exc.headers))


def error(status: int, text: str, headers: dict[str, str] | None = None) -> web.Response:
    """An error's answer."""
    kept = {k: v for k, v in (headers or {}).items() if not k.startswith("Content-")}
    return web.json_response({"error": text}, status=status, headers=kept)


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """For ``Application.on_response_prepare``: what every answer has."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)


def _is_this_machine(request: web.Request) -> bool:
    """Whether a program of this machine asks, and for itself: a proxy adds headers, or a name."""
    if is_forwarded(request.headers):
        return False
    if not is_own_name(request.headers.get(hdrs.HOST, ""), LOOPBACK, (), ()):
        return False
    try:
        address = ipaddress.ip_address(request.remote or "")
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _is_embedded(request: web.Request) -> bool:
    """Whether a page of another site shows this, or loads it, without saying its ``Origin``."""
    if request.headers.get("Sec-Fetch-Site", "none") in {"none", "same-origin"}:
        return False
    return request.headers.get("Sec-Fetch-Mode") != "navigate" or (
        request.headers.get("Sec-Fetch-Dest") != "document"
    )
