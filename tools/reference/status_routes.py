"""What the status server answers, and what each address is for."""

from unittest.mock import MagicMock

from danzar.config.bot import HttpSettings
from danzar.http.status import status_app

MEANINGS = {
    "/": "The page: cards, models, queue, decisions, incidents, log; live",
    "/static": "The page's own files",
    "/health": "Whether the process is alive; 503 where it is stuck. Needs no key",
    "/ready": "Whether everything is there that is needed; 503 and what is missing. Needs no key",
    "/metrics": "All metrics, in Prometheus' text format or as OpenMetrics",
    "/v1/status": "Everything below `devices`, `models`, `history` at once, watches and alerts",
    "/v1/devices": "Every device: in use, free, kept, Danzar's and others'",
    "/v1/models": "Every model: where it is, and what it holds",
    "/v1/history": "The last decisions, with their reasons",
    "/v1/plan": "Where `?model=NAME` would go now, and who would leave",
    "/v1/why": "The last decision about `?model=NAME`, with its numbers",
    "/v1/queue": "Who is answered, and who waits",
    "/v1/prefetch": "What was loaded before anybody asked, and what that brought",
    "/v1/use": "The cards over the last `?span_s=` seconds",
    "/v1/incidents": "What lasts and what has ended, the newest first",
    "/v1/jobs": "The newest jobs",
    "/v1/log": "The newest log lines; `?level=`, `?limit=`, `?request=` choose",
    "/v1/live": "All of it as server-sent events, as it changes",
}


def status_routes() -> list[tuple[str, str]]:
    """Method and path of everything that the server answers."""
    app = status_app(MagicMock(), HttpSettings(), None, MagicMock())
    found = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    return sorted(found, key=lambda route: (route[1].startswith("/v1"), route[1]))
