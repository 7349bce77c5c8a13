"""What commands on this machine reach: the state of a Danzar that runs here, and its settings."""

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from aiohttp.typedefs import Handler

from danzar.bot import DanzarBot
from danzar.config.places import data_folder
from danzar.config.settings import Config
from danzar.http.api_keys import FILE, ApiKeys
from danzar.http.status_guard import check_reach, wants_keys, warn_of_plain_http
from danzar.http.status_parts import StatusParts
from danzar.http.status_server import serve_status
from danzar.live.control import serve_control
from danzar.live.hangup import reload_on_hangup
from danzar.maintenance.backup import source_of
from danzar.maintenance.daily import back_up_daily
from danzar.metrics.metrics import open_metrics
from danzar.metrics.probes import Probes
from danzar.metrics.ready_facts import readiness_of
from danzar.running import running
from danzar.services import Services
from danzar.status_facts import status_parts
from danzar.systemd_notify import told_to_systemd

log = logging.getLogger(__name__)

Routes = Callable[[Services], Mapping[str, Handler]]


@asynccontextmanager
async def open_desk(
    services: Services, routes: Routes, bot: DanzarBot | None
) -> AsyncIterator[None]:
    """Answer commands while the context lasts; ``bot`` is ``None`` without Discord.

    Raises:
        danzar.errors.DanzarError: A port is taken.
    """
    config = services.config
    async with AsyncExitStack() as stack:
        if config.bot.http.enabled:
            metrics = await stack.enter_async_context(open_metrics(services, bot))
            parts = status_parts(services, bot, Probes(services, bot, metrics))
            await stack.enter_async_context(_open_status(parts, config))
        control = serve_control(services.live, data_folder(config), routes(services))
        await stack.enter_async_context(control)
        await stack.enter_async_context(reload_on_hangup(services.live))
        await stack.enter_async_context(
            told_to_systemd(
                lambda: readiness_of(services, bot).missing, lambda: services.manager.is_running
            )
        )
        backups = back_up_daily(source_of(config, data_folder(config)), config.bot.maintenance)
        await stack.enter_async_context(running(backups))
        yield


@asynccontextmanager
async def _open_status(parts: StatusParts, config: Config) -> AsyncIterator[None]:
    """Serve the page; others than this machine's programs are let in with one of the API's keys."""
    settings = config.bot.http
    async with AsyncExitStack() as stack:
        keys = None
        if wants_keys(settings):
            keys = await stack.enter_async_context(ApiKeys.open(data_folder(config) / FILE))
            await check_reach(settings, keys)
            warn_of_plain_http(settings)
        address = await stack.enter_async_context(serve_status(parts, settings, keys))
        log.info("status at %s/v1/status, the page at %s/", address, address)
        yield
