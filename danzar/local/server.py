"""The server as a whole: routes, start, stop."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from danzar.local.cdn import BlobHandler, default_avatar
from danzar.local.feed import Feed
from danzar.local.gateway import Gateway
from danzar.local.guard import add_headers, guard
from danzar.local.interactions import Interactions
from danzar.local.page_api import PageApi
from danzar.local.rest import RestApi
from danzar.local.settings import LocalSettings
from danzar.local.status import poll_status
from danzar.local.world import World, create_world
from danzar.units import MIB

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
PAGE_DIR = Path(__file__).parent / "page"
STOP_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class LocalDiscord:
    """A server that is up.

    Attributes:
        url: Where the page is; the bot's addresses are below it.
    """

    url: str
    world: World
    gateway: Gateway
    feed: Feed

    @property
    def api_url(self) -> str:
        """Base of the REST interface."""
        return f"{self.url}/api/v10"

    @property
    def gateway_url(self) -> str:
        """Address of the gateway."""
        return f"ws{self.url.removeprefix('http')}/gateway"

    @property
    def cdn_url(self) -> str:
        """Base of attachments and avatars."""
        return f"{self.url}/cdn"


@contextlib.asynccontextmanager
async def running(settings: LocalSettings) -> AsyncIterator[LocalDiscord]:
    """Serve on loopback for as long as the context is open.

    Raises:
        OSError: The port is taken.
    """
    world = create_world(settings.limits)
    feed = Feed(settings.limits.feed_events)
    address: list[str] = []
    gateway = Gateway(settings, world, lambda: f"ws://{address[0]}/gateway")
    app = _app(settings, world, feed, gateway)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_TIMEOUT_S)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, settings.port)
        await site.start()
        address.append(f"{HOST}:{runner.addresses[0][1]}")
        url = f"http://{address[0]}"
        world.backend.blobs.base_url = f"{url}/cdn"
        async with _status_poller(settings, feed):
            yield LocalDiscord(url, world, gateway, feed)
            await feed.close_all()
            await gateway.close_all()
    finally:
        await runner.cleanup()


async def serve(
    settings: LocalSettings, ready: Callable[[str], None], ended: Callable[[], asyncio.Event]
) -> None:
    """Serve until the event that ``ended`` gives is set.

    Args:
        settings: How to run.
        ready: Called once with the page's URL when the server listens.
        ended: Gives the event to wait for; called inside the running loop.

    Raises:
        OSError: The port is taken.
    """
    stop = ended()
    async with running(settings) as local:
        ready(local.url)
        await stop.wait()


def _app(settings: LocalSettings, world: World, feed: Feed, gateway: Gateway) -> web.Application:
    app = web.Application(middlewares=[guard], client_max_size=4 * MIB)
    app.on_response_prepare.append(add_headers)
    interactions = Interactions(world, feed, lambda: gateway.book.online)
    rest = RestApi(settings, world, interactions.answered)
    page = PageApi(settings, world, feed, interactions)
    world.backend.subscribers.append(feed.event)
    world.backend.whispers.append(feed.whisper)
    gateway.presence_changed = lambda: feed.send("bot", {"online": gateway.book.online})
    app.add_routes(page.routes())
    app.add_routes(
        [
            web.get("/", _index),
            web.static("/static", PAGE_DIR),
            web.get("/gateway", gateway.handle),
            web.route("*", "/api/v10/{path:.*}", rest.handle),
            web.get(r"/cdn/embed/avatars/{number:\d+}.png", default_avatar),
            web.get("/cdn/{path:.*}", BlobHandler(world.backend.blobs, "/cdn").get),
        ]
    )
    return app


async def _index(request: web.Request) -> web.FileResponse:
    del request
    return web.FileResponse(PAGE_DIR / "index.html", headers={"Cache-Control": "no-cache"})


@contextlib.asynccontextmanager
async def _status_poller(settings: LocalSettings, feed: Feed) -> AsyncIterator[None]:
    """Poll the bot's status in the background, when there is an address to ask."""
    async with asyncio.TaskGroup() as tasks:
        poller = None
        if settings.status_url is not None:
            poller = tasks.create_task(
                poll_status(
                    settings.status_url,
                    lambda: feed.page_count > 0,
                    lambda status: feed.send("status", status),
                )
            )
        try:
            yield
        finally:
            if poller is not None:
                poller.cancel()
