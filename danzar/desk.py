"""What commands on this machine reach: the state of a Danzar that runs here, and its settings."""

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from aiohttp.typedefs import Handler

from danzar.bot import DanzarBot
from danzar.config.places import data_folder
from danzar.http.status import serve_status
from danzar.live.control import serve_control
from danzar.live.hangup import reload_on_hangup
from danzar.services import Services
from danzar.status_facts import status_facts

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
            facts = partial(status_facts, services, bot)
            address = await stack.enter_async_context(
                serve_status(facts, services.manager, config.bot.http)
            )
            log.info("status at %s/v1/status", address)
        control = serve_control(services.live, data_folder(config), routes(services))
        await stack.enter_async_context(control)
        await stack.enter_async_context(reload_on_hangup(services.live))
        yield
