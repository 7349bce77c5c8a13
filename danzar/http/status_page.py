"""Danzar's own page at ``/``: plain HTML, styles and modules from the folder beside this file."""

from pathlib import Path

from aiohttp import web

PAGE_DIR = Path(__file__).with_name("page")
# Nothing inline, nothing from elsewhere, and no text that could become markup.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_NO_CACHE = {"Cache-Control": "no-cache"}


def page_routes() -> list[web.AbstractRouteDef]:
    """The page and its files."""
    return [web.get("/", _index), web.static("/static", PAGE_DIR)]


async def add_page_headers(request: web.Request, response: web.StreamResponse) -> None:
    """For ``Application.on_response_prepare``: the page's policy, and files that may be kept."""
    response.headers.setdefault("Content-Security-Policy", POLICY)
    if request.path.startswith("/static/"):
        response.headers.setdefault("Cache-Control", "no-cache")


async def _index(_request: web.Request) -> web.FileResponse:
    return web.FileResponse(PAGE_DIR / "index.html", headers=_NO_CACHE)
