"""Discord's REST interface for the bot, version 10."""

import hmac
import json
import logging
import math
import time
from collections.abc import Callable
from typing import Any

from aiohttp import web

from danzar.local.backend import ApiError, Call, Upload, call_api, user_payload
from danzar.local.gateway import APPLICATION_FLAGS
from danzar.local.multipart import bot_request, malformed, read_form
from danzar.local.ratelimit import RateLimiter, Verdict
from danzar.local.settings import LocalSettings
from danzar.local.wire import Json
from danzar.local.world import World

log = logging.getLogger(__name__)

UNAUTHORIZED = {"code": 0, "message": "401: Unauthorized"}
# These carry a secret in their path, so Discord asks for no token.
SELF_AUTHENTICATING = ("/interactions/", "/webhooks/")


class RestApi:
    """Checks the token and the rate limit, then hands the request to the backend.

    ``answered`` is told the id of each interaction that the bot answers.
    """

    def __init__(
        self, settings: LocalSettings, world: World, answered: Callable[[int], None]
    ) -> None:
        self._settings = settings
        self._answered = answered
        self._world = world
        self._limiter = RateLimiter()

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request below ``/api/v10``."""
        path = "/" + request.rel_url.raw_path.split("/", 3)[3]
        try:
            self._check_token(request, path)
            verdict = self._limiter.take(request.method, path, time.monotonic())
            if verdict is not None and verdict.retry_after_s is not None:
                return too_many(verdict)
            body = await self._answer(request, path)
        except ApiError as exc:
            log.debug("%s %s refused: %s", request.method, path, exc)
            return json_response(exc.payload, status=exc.status)
        response = web.Response(status=204) if body is None else json_response(body)
        response.headers.update(limit_headers(verdict) if verdict is not None else {})
        return response

    def _check_token(self, request: web.Request, path: str) -> None:
        if path.startswith(SELF_AUTHENTICATING):
            return
        given = request.headers.get("Authorization", "")
        wanted = f"Bot {self._settings.token}"
        if not hmac.compare_digest(given.encode(), wanted.encode()):
            raise ApiError(401, UNAUTHORIZED)

    async def _answer(self, request: web.Request, path: str) -> Json:
        if path in {"/gateway", "/gateway/bot"}:
            return gateway_info(request)
        if path in {"/applications/@me", "/oauth2/applications/@me"}:
            return self._application()
        body, files = await self._read(request)
        call = Call(
            request.method,
            path,
            body,
            params=dict(request.query),
            files=files,
            reason=request.headers.get("X-Audit-Log-Reason"),
        )
        answer = call_api(self._world.backend, call)
        # Discord tells what an interaction became only to those who ask.
        is_callback = path.startswith("/interactions/")
        if is_callback:
            self._answered(int(path.split("/")[2]))
        wanted = request.query.get("with_response", "").lower() in {"1", "true"}
        return None if is_callback and not wanted else answer

    async def _read(self, request: web.Request) -> tuple[Any, list[Upload]]:
        if request.content_type == "multipart/form-data":
            limits = self._settings.limits
            form = await read_form(request, limits.bot_upload_bytes, limits.files_per_message)
            return bot_request(form)
        raw = await request.read()
        try:
            return (json.loads(raw) if raw else None), []
        except ValueError as exc:
            raise malformed("the body is no JSON") from exc

    def _application(self) -> dict[str, Any]:
        backend = self._world.backend
        info = dict(call_api(backend, Call("GET", "/oauth2/applications/@me")))
        # The person at the page owns the application, so that owner checks can be tried.
        owner = user_payload(backend, self._world.person_id)
        return {**info, "owner": owner, "flags": APPLICATION_FLAGS}


def gateway_info(request: web.Request) -> dict[str, Any]:
    """Where the gateway is and how many sessions may still begin."""
    left = {"total": 1000, "remaining": 1000, "reset_after": 86_400_000, "max_concurrency": 1}
    return {"url": f"ws://{request.host}/gateway", "shards": 1, "session_start_limit": left}


def json_response(body: Json, *, status: int = 200) -> web.Response:
    """JSON with the exact content type that discord.py insists on."""
    return web.Response(
        body=json.dumps(body).encode(), status=status, content_type="application/json"
    )


def limit_headers(verdict: Verdict) -> dict[str, str]:
    """What Discord tells about the bucket; nothing about the global one."""
    if verdict.is_global:
        return {}
    return {
        "X-RateLimit-Bucket": verdict.bucket,
        "X-RateLimit-Limit": str(verdict.limit),
        "X-RateLimit-Remaining": str(verdict.remaining),
        "X-RateLimit-Reset": f"{time.time() + verdict.reset_after_s:.3f}",
        "X-RateLimit-Reset-After": f"{verdict.reset_after_s:.3f}",
    }


def too_many(verdict: Verdict) -> web.Response:
    """The 429 in Discord's shape. Without ``Via`` discord.py takes it for a ban."""
    wait_s = verdict.retry_after_s or 0.0
    body = {
        "message": "You are being rate limited.",
        "retry_after": round(wait_s, 3),
        "global": verdict.is_global,
    }
    response = json_response(body, status=429)
    response.headers.update(limit_headers(verdict))
    response.headers["Retry-After"] = str(math.ceil(wait_s))
    response.headers["Via"] = "1.1 danzar-local"
    response.headers["X-RateLimit-Scope"] = "global" if verdict.is_global else "user"
    if verdict.is_global:
        response.headers["X-RateLimit-Global"] = "true"
    return response
