"""Every address that Danzar's two HTTP servers answer, asked of the servers themselves."""

from collections.abc import Iterator
from typing import Any

from danzar.http.api import make_app
from tools.reference.markdown import code, page, sentence, table
from tools.reference.status_routes import MEANINGS, status_routes

ABOUT = """
Two servers: that of the bot's state, on port 8764, which is always there, and that for programs, on
port 8000, with `danzar serve` or `api.enabled: true`.
"""
FOR_PROGRAMS = """
Described in [api.md](../api.md) and [openai.md](../openai.md). Every key of every body is on
`/docs` for people, and in `/openapi.json` for programs.
""".strip()
# FastAPI's own, which says nothing about itself.
_OWN = {"/openapi.json": "All of this for programs"}
HEAD = ("method", "address", "answer")


def endpoints_page() -> str:
    """docs/reference/endpoints.md."""
    return page(
        "Every endpoint",
        ABOUT,
        [
            "## The page, the state, the metrics (port 8764)",
            "Described in [status-api.md](../status-api.md).",
            table(HEAD, status_table()),
            "## For programs (port 8000)",
            FOR_PROGRAMS,
            table(HEAD, api_table()),
        ],
    )


def status_table() -> list[tuple[str, str, str]]:
    """Method, address and meaning of everything that the status server answers."""
    return [
        (method, code(path), sentence(MEANINGS.get(path, ""))) for method, path in status_routes()
    ]


def api_table() -> Iterator[tuple[str, str, str]]:
    """Method, address and meaning of everything that the API answers."""
    for prefix, route in _routes(make_app().routes):
        told = (route.endpoint.__doc__ or _OWN.get(route.path, "")).strip()
        meaning = sentence(told.split("\n\n")[0].replace("``", "`"))
        for method in sorted(getattr(route, "methods", None) or {"WebSocket"}):
            if method != "HEAD":
                yield method, code(prefix + route.path), meaning


def _routes(routes: list[Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The routes themselves, with what their routers put before them."""
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is None:
            yield prefix, route
        else:
            yield from _routes(inner.routes, prefix + route.include_context.prefix)
