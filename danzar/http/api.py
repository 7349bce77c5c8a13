"""The HTTP API for programs: the seed's jobs, OpenAI's routes, and a page that shows them all."""

from http import HTTPStatus

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp

from danzar.errors import DanzarError
from danzar.http import api_facts, api_jobs, api_page, api_streams, openai_routes
from danzar.http.api_document import describe
from danzar.http.api_errors import EVERYWHERE, ApiError, documented, error_of
from danzar.http.api_invalid import invalid
from danzar.http.api_parts import ApiParts
from danzar.http.api_shell import REQUEST_ID, ApiShell, own_error

_METHODS = ("DELETE", "GET", "HEAD", "POST", "PUT")
_ROUTERS = (api_jobs.router, api_streams.router, api_facts.router, openai_routes.router)


def make_app() -> FastAPI:
    """The application without its parts and what is around it; for its description."""
    app = FastAPI(
        title="Danzar",
        docs_url=None,
        redoc_url=None,
        responses=documented(*EVERYWHERE),
        redirect_slashes=False,
    )
    for router in _ROUTERS:
        app.include_router(router)
    app.include_router(api_page.router)
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]
    app.add_exception_handler(DanzarError, _refuse)
    app.add_exception_handler(HTTPException, _refuse_http)
    app.add_exception_handler(RequestValidationError, _refuse_invalid)
    app.add_exception_handler(Exception, _refuse_broken)
    return app


def make_api(parts: ApiParts) -> ASGIApp:
    """The whole API, to be served."""
    inner = make_app()
    inner.state.parts = parts
    app: ASGIApp = inner
    if parts.settings.origins:
        app = CORSMiddleware(
            app,
            allow_origins=parts.settings.origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["Retry-After", "X-Request-ID", "Location"],
        )
    return ApiShell(app, parts.settings)


async def _refuse(connection: HTTPConnection, error: Exception) -> Response:
    answer = error_of(error if isinstance(error, DanzarError) else DanzarError(str(error)))
    return _answer(answer)


async def _refuse_http(connection: HTTPConnection, error: Exception) -> Response:
    """Starlette's own refusals (404, 405), and FastAPI's of a body that could not be read."""
    if isinstance(error.__cause__, DanzarError):
        return _answer(error_of(error.__cause__))
    if not isinstance(error, HTTPException):
        raise error
    reason = HTTPStatus(error.status_code).phrase.lower()
    message = f"{reason}: {connection.scope['path'][:200]}"
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_allowed(connection))
    return _answer(ApiError(error.status_code, message, headers=headers))


def _allowed(connection: HTTPConnection) -> list[str]:
    """All methods of the path; Starlette names those of the first route that it finds."""
    routes = connection.app.router.routes

    def knows(method: str) -> bool:
        scope = {**connection.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in routes)

    return list(filter(knows, _METHODS))


async def _refuse_invalid(connection: HTTPConnection, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    return _answer(invalid(error, connection.scope.get("route")))


async def _refuse_broken(connection: HTTPConnection, _error: Exception) -> Response:
    return _answer(own_error(connection.scope["state"][REQUEST_ID]))


def _answer(error: ApiError) -> Response:
    return JSONResponse(error.body, error.status, error.headers)
