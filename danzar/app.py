"""The composition root: the bot, its commands and everything below them, wired."""

import logging
from contextlib import AsyncExitStack
from functools import partial

from discord.ext import commands

from cogs.chat import ChatCog
from cogs.gpu import GpuCog
from cogs.incidents import AlertsPoster
from cogs.vision import VisionCog
from cogs.watch import WatchCog
from danzar.bot import DanzarBot
from danzar.config.settings import Config
from danzar.discord_api import use_discord_api
from danzar.http.status import serve_status
from danzar.services import Services, open_services, preload
from danzar.status_facts import status_facts

log = logging.getLogger(__name__)

__all__ = ["Services", "open_services", "run_bot"]


async def run_bot(config: Config, token: str) -> None:
    """Be online until cancelled.

    Raises:
        danzar.errors.DanzarError: A part could not be opened.
        discord.LoginFailure: Discord refuses the token.
    """
    discord_settings = config.bot.discord
    use_discord_api(
        discord_settings.api_url, discord_settings.gateway_url, discord_settings.cdn_url
    )
    async with AsyncExitStack() as stack:
        services = await stack.enter_async_context(open_services(config))
        bot = DanzarBot(discord_settings)
        bot.planned_cogs = make_cogs(bot, services)
        services.monitor.add_listener(AlertsPoster(bot, discord_settings).post)
        if config.bot.http.enabled:
            facts = partial(status_facts, services, bot)
            address = await stack.enter_async_context(serve_status(facts, config.bot.http))
            log.info("status at %s/v1/status", address)
        preload(services)
        async with bot:
            await bot.start(token)


def make_cogs(bot: DanzarBot, services: Services) -> tuple[commands.Cog, ...]:
    """The bot's commands, each with just the services that it needs."""
    config = services.config
    vision = VisionCog(bot, services.vision, services.chat, config)
    return (
        ChatCog(bot, services.chat, config, vision),
        vision,
        WatchCog(bot, services.watches, config),
        GpuCog(bot, services.gpu_memory_manager, services.monitor, config),
    )
