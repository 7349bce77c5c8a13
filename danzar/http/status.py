"""What the status server answers: Danzar's page, its state as JSON, probes and metrics.

Read only, without CORS. Who may read it is in ``danzar.http.status_guard``, the stream in
``danzar.http.status_live``.
"""

import asyncio
import math
from collections.abc import Callable
from functools import partial

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from danzar.config.bot import HttpSettings
from danzar.errors import BadInput
from danzar.explain.model_text import find_model
from danzar.explain.plan_explain import explain
from danzar.http.model_json import Json, explanation_json
from danzar.http.prefetch_json import prefetch_json
from danzar.http.queue_json import queue_json
from danzar.http.request_ids import echo_request_id, with_request_id
from danzar.http.status_guard import (
    METRICS,
    Guard,
    Keys,
    add_headers,
    error,
)
from danzar.http.status_json import (
    VERSION,
    StatusFacts,
    devices_json,
    history_json,
    incidents_json,
    jobs_json,
    log_json,
    models_json,
    status_json,
)
from danzar.http.status_live import LiveFeed, live_handler
from danzar.http.status_page import add_page_headers, page_routes
from danzar.http.status_parts import Planner, Probes, StatusParts
from danzar.http.status_use_json import use_json
from danzar.logs.line import LEVELS

_DEFAULT_SPAN_S = 600.0
_MOST_LINES = 1000
_DEFAULT_LINES = 200


def status_app(
    parts: StatusParts, settings: HttpSettings, keys: Keys | None, feed: LiveFeed
) -> web.Application:
    """The application. The parts are asked once per request."""
    guard = Guard(settings, keys)
    app = web.Application(middlewares=[with_request_id, guard.middleware])
    app.add_routes(page_routes())
    app.add_routes([web.get(path, handler) for path, handler in _handlers(parts).items()])
    app.router.add_get("/v1/live", live_handler(feed, guard.still_admits), allow_head=False)
    app.on_response_prepare.append(add_page_headers)
    app.on_response_prepare.append(add_headers)
    app.on_response_prepare.append(echo_request_id)
    return app


def _handlers(parts: StatusParts) -> dict[str, Handler]:
    bodies: dict[str, Callable[[StatusFacts], Json]] = {
        "status": status_json,
        "devices": lambda now: devices_json(now.devices, now.asked),
        "models": models_json,
        "history": history_json,
    }

    def show(make: Callable[[StatusFacts], Json]) -> Handler:
        async def handle(_request: web.Request) -> web.Response:
            return web.json_response(make(parts.facts()))

        return handle

    return {
        **{f"/v1/{name}": show(make) for name, make in bodies.items()},
        "/v1/plan": partial(_get_plan, parts.planner),
        "/v1/why": partial(_get_why, parts.planner),
        "/v1/queue": partial(_get_queue, parts.planner),
        "/v1/prefetch": partial(_get_prefetch, parts.planner),
        "/v1/use": partial(_get_use, parts),
        "/v1/incidents": partial(_get_incidents, parts),
        "/v1/jobs": partial(_get_jobs, parts),
        "/v1/log": partial(_get_log, parts),
        "/health": partial(_get_health, parts.probes),
        "/ready": partial(_get_ready, parts.probes),
        METRICS: partial(_get_metrics, parts.probes),
    }


async def _get_health(probes: Probes, _request: web.Request) -> web.Response:
    status, body = probes.health()
    return web.json_response(body, status=status)


async def _get_ready(probes: Probes, _request: web.Request) -> web.Response:
    status, body = probes.ready()
    return web.json_response(body, status=status)


async def _get_metrics(probes: Probes, request: web.Request) -> web.Response:
    body, kind = probes.metrics(request.headers.get(hdrs.ACCEPT, ""))
    return web.Response(body=body, headers={hdrs.CONTENT_TYPE: kind})


async def _get_plan(planner: Planner, request: web.Request) -> web.Response:
    inputs, plan = planner.plan(_model(planner, request))
    told = await asyncio.to_thread(explain, inputs, plan)
    return web.json_response({"version": VERSION, **explanation_json(told, inputs, age_s=None)})


async def _get_why(planner: Planner, request: web.Request) -> web.Response:
    name = _model(planner, request)
    decided = planner.why(name)
    if decided is None:
        return error(404, f"nothing was decided about {name} yet")
    told = await asyncio.to_thread(explain, *decided)
    body = explanation_json(told, decided[0], age_s=planner.now_s() - told.at_s)
    return web.json_response({"version": VERSION, **body})


async def _get_queue(planner: Planner, _request: web.Request) -> web.Response:
    return web.json_response(queue_json(planner.queues()))


async def _get_prefetch(planner: Planner, _request: web.Request) -> web.Response:
    return web.json_response({"version": VERSION, **prefetch_json(planner.prefetches())})


async def _get_use(parts: StatusParts, request: web.Request) -> web.Response:
    span_s = _number(request, "span_s", _DEFAULT_SPAN_S)
    return web.json_response(use_json(parts.use, parts.facts().devices, span_s))


async def _get_incidents(parts: StatusParts, _request: web.Request) -> web.Response:
    return web.json_response(incidents_json(parts.incidents()))


async def _get_jobs(parts: StatusParts, _request: web.Request) -> web.Response:
    return web.json_response(jobs_json(await parts.jobs()))


async def _get_log(parts: StatusParts, request: web.Request) -> web.Response:
    level = request.query.get("level")
    if level is not None and level not in LEVELS:
        raise BadInput(f"level is {level[:40]!r}; it must be one of {', '.join(LEVELS)}")
    limit = min(_MOST_LINES, int(_number(request, "limit", _DEFAULT_LINES)))
    lines = parts.log.newest(limit, level=level, request=request.query.get("request"))
    return web.json_response({"version": VERSION, "log": [log_json(line) for line in lines]})


def _number(request: web.Request, name: str, default: float) -> float:
    """A positive number of the query.

    Raises:
        BadInput: It is none.
    """
    text = request.query.get(name)
    try:
        number = default if text is None else float(text)
    except ValueError:
        number = math.nan
    if not (number > 0 and math.isfinite(number)):
        raise BadInput(f"{name} is {(text or '')[:40]!r}; it must be a number above 0")
    return number


def _model(planner: Planner, request: web.Request) -> str:
    wanted = request.query.get("model")
    if wanted is None:
        raise BadInput("say which model: ?model=NAME")
    return find_model(wanted, (view.name for view in planner.models()))
