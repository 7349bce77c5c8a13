"""The status API on loopback: read only, no CORS, closed to other sites' pages.

A page of another site can make a browser ask 127.0.0.1, under its own name (DNS rebinding) or
across origins. Both are refused: by the ``Host`` header and by ``Origin``.
"""

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Protocol
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from danzar.broker.model_view import ModelView
from danzar.broker.prefetch_view import PrefetchView
from danzar.broker.queue_view import QueueView
from danzar.config.bot import HttpSettings
from danzar.core.plan import Plan, PlanInputs
from danzar.errors import BadInput, DanzarError, ModelMissing
from danzar.explain.model_text import find_model
from danzar.explain.plan_explain import explain
from danzar.http.model_json import Json, explanation_json
from danzar.http.prefetch_json import prefetch_json
from danzar.http.queue_json import queue_json
from danzar.http.status_json import (
    VERSION,
    StatusFacts,
    devices_json,
    history_json,
    models_json,
    status_json,
)

LOOPBACK = "127.0.0.1"
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class StatusServerError(DanzarError):
    """The status API could not take its port."""


class Planner(Protocol):
    """The part of ``danzar.broker.manager.ModelManager`` that explains."""

    def now_s(self) -> float:
        """The scheduler's clock, monotonic seconds."""
        ...

    def models(self) -> tuple[ModelView, ...]:
        """Every model as it is now."""
        ...

    def plan(self, model: str) -> tuple[PlanInputs, Plan]:
        """Where a model would go now; touches nothing."""
        ...

    def why(self, model: str) -> tuple[PlanInputs, Plan] | None:
        """The last decision about a model."""
        ...

    def queues(self) -> tuple[QueueView, ...]:
        """Who runs and who waits, for every model."""
        ...

    def prefetches(self) -> PrefetchView:
        """What loading ahead has brought."""
        ...


def status_app(facts: Callable[[], StatusFacts], planner: Planner) -> web.Application:
    """The application; ``facts`` is called once per request and must not block."""
    bodies: dict[str, Callable[[StatusFacts], Json]] = {
        "status": status_json,
        "devices": lambda now: devices_json(now.devices, now.asked),
        "models": models_json,
        "history": history_json,
    }

    def show(make: Callable[[StatusFacts], Json]) -> Handler:
        async def handle(_request: web.Request) -> web.Response:
            return _answer(make(facts()))

        return handle

    app = web.Application(middlewares=[_refuse_strangers])
    for name, make in bodies.items():
        app.router.add_get(f"/v1/{name}", show(make))
    app.router.add_get("/v1/plan", partial(_get_plan, planner))
    app.router.add_get("/v1/why", partial(_get_why, planner))
    app.router.add_get("/v1/queue", partial(_get_queue, planner))
    app.router.add_get("/v1/prefetch", partial(_get_prefetch, planner))
    return app


async def _get_plan(planner: Planner, request: web.Request) -> web.Response:
    inputs, plan = planner.plan(_model(planner, request))
    told = await asyncio.to_thread(explain, inputs, plan)
    return _answer({"version": VERSION, **explanation_json(told, inputs, age_s=None)})


async def _get_queue(planner: Planner, _request: web.Request) -> web.Response:
    return _answer(queue_json(planner.queues()))


async def _get_why(planner: Planner, request: web.Request) -> web.Response:
    name = _model(planner, request)
    decided = planner.why(name)
    if decided is None:
        return _answer({"error": f"nothing was decided about {name} yet"}, 404)
    told = await asyncio.to_thread(explain, *decided)
    body = explanation_json(told, decided[0], age_s=planner.now_s() - told.at_s)
    return _answer({"version": VERSION, **body})


async def _get_prefetch(planner: Planner, _request: web.Request) -> web.Response:
    return _answer({"version": VERSION, **prefetch_json(planner.prefetches())})


def _model(planner: Planner, request: web.Request) -> str:
    wanted = request.query.get("model")
    if wanted is None:
        raise BadInput("say which model: ?model=NAME")
    return find_model(wanted, (view.name for view in planner.models()))


@asynccontextmanager
async def serve_status(
    facts: Callable[[], StatusFacts], planner: Planner, settings: HttpSettings
) -> AsyncIterator[str]:
    """Serve while the context lasts; yields the address, ``http://127.0.0.1:PORT``.

    Raises:
        StatusServerError: The port is taken.
    """
    runner = web.AppRunner(status_app(facts, planner), access_log=None, shutdown_timeout=1.0)
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
    except ModelMissing as exc:
        return _answer({"error": str(exc)}, 404)
    except BadInput as exc:
        return _answer({"error": str(exc)}, 400)
    except web.HTTPException as exc:
        return _answer({"error": exc.reason.lower()}, exc.status)


def _is_loopback(url: str) -> bool:
    try:
        host = urlsplit(url).hostname
        return host == "localhost" or (host is not None and ipaddress.ip_address(host).is_loopback)
    except ValueError:
        return False
