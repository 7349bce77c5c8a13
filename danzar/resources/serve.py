"""The resource manager for commands on this machine, over the bot's control channel."""

import logging
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from danzar.config.secrets import redact
from danzar.errors import DanzarError
from danzar.resources.manager import ResourceManager
from danzar.resources.wishes import PATH, AnyWish, Cleanup, grant

log = logging.getLogger(__name__)

Audit = Callable[[str, str, str], Awaitable[None]]
"""Who, what kind of action, and the details: as ``danzar.store.Store.audit``."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def resource_routes(resources: ResourceManager, audit: Audit) -> dict[str, Handler]:
    """For ``danzar.live.control.serve_control``, which lets in only who knows the secret."""

    async def post(request: web.Request) -> web.StreamResponse:
        try:
            wish = msgspec.json.decode(await request.read(), type=AnyWish)
        except msgspec.DecodeError:
            return web.Response(status=web.HTTPBadRequest.status_code)
        try:
            answer = {"body": await grant(resources, wish)}
            if isinstance(wish, Cleanup):
                await audit("command line", "resources.cleanup", "unused memory was given back")
        except DanzarError as exc:
            answer = {"refused": {"reason": redact(str(exc)), "kind": type(exc).__name__}}
        body = msgspec.json.encode(answer)
        return web.Response(body=body, content_type="application/json")

    return {PATH: post}
