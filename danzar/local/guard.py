"""Who may talk to this server: programs on this machine, and its own page.

A website that a person visits could otherwise reach loopback: by a request across origins, or by
pointing its own name at 127.0.0.1 (DNS rebinding). The Host header gives the second away, the
Origin header the first.
"""

from collections.abc import Awaitable, Callable

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; media-src 'self'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": PAGE_POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what comes from a foreign name or a foreign page, and harden each answer."""
    if not is_loopback_host(request.host):
        raise web.HTTPForbidden(text="this server answers on 127.0.0.1 and localhost only")
    if not is_own_origin(request):
        raise web.HTTPForbidden(text="another site's page may not use this server")
    return await handler(request)


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Put the page's content policy on each answer."""
    del request
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)


def is_loopback_host(host: str) -> bool:
    """Whether a Host header names loopback; the port is whatever the socket has."""
    name, _, port = host.rpartition(":") if not host.endswith("]") else (host, "", "")
    return (name if name and port.isdigit() else host).lower() in LOOPBACK_NAMES


def is_own_origin(request: web.Request) -> bool:
    """Whether the request comes from the own page or from no page at all."""
    origin = request.headers.get("Origin")
    if origin is not None:
        return origin == f"http://{request.host}"
    # Browsers send no Origin with a plain GET; they do say where it came from.
    if request.headers.get("Sec-Fetch-Site", "none") in {"none", "same-origin"}:
        return True
    return request.path == "/" and request.headers.get("Sec-Fetch-Mode") == "navigate"


def require_page(request: web.Request) -> None:
    """Raise unless the request carries the page's own origin, as a browser's POST always does."""
    if request.headers.get("Origin") != f"http://{request.host}":
        raise web.HTTPForbidden(text="only this server's own page may do that")
