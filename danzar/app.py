"""The composition root: the bot, its commands and everything below them, wired."""

import logging
from contextlib import AsyncExitStack
from datetime import UTC, datetime

from aiohttp.typedefs import Handler
from discord.ext import commands

from cogs.chat import ChatCog
from cogs.digest import DigestCog, DigestParts, DigestPoster
from cogs.gpu import GpuCog
from cogs.gpu_desk import GpuDesk
from cogs.gpu_game import GameCog
from cogs.gpu_graph import Graphs
from cogs.gpu_nodes import NodesCog
from cogs.gpu_optimizer import OptimizerCog
from cogs.gpu_resources import ResourcesCog
from cogs.hints import HintsCog
from cogs.imagine import ImagineCog
from cogs.incidents import AlertsPoster
from cogs.incidents_commands import IncidentsCog
from cogs.queue import QueueCog
from cogs.settings import SettingsCog
from cogs.vision import VisionCog
from cogs.watch import WatchCog
from danzar.bot import DanzarBot
from danzar.config.settings import Config
from danzar.desk import open_desk
from danzar.discord_api import use_discord_api
from danzar.graph import Levels
from danzar.heap import set_imports_apart
from danzar.jobs.control import job_routes
from danzar.local_days import local_in
from danzar.optimizer.benchmark import Bench
from danzar.optimizer.serve import optimizer_routes
from danzar.resources.serve import resource_routes
from danzar.running import running
from danzar.services import Services, open_services, preload
from danzar.telemetry.simulated import SimulatedCards

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
        poster = AlertsPoster(
            bot,
            discord_settings,
            services.incidents,
            lambda: services.live.config.bot.alerts.edit_interval_s,
        )
        digests = DigestPoster(bot, discord_settings, _digest_parts(services))
        await stack.enter_async_context(running(poster.run(), digests.run()))
        await stack.enter_async_context(open_desk(services, control_routes, bot))
        if config.bot.api.enabled:
            # Half a second of imports, which a bot without it is spared.
            from danzar.serving import open_api

            await stack.enter_async_context(open_api(services))
        preload(services)
        set_imports_apart()
        async with bot:
            await bot.start(token)


def make_cogs(bot: DanzarBot, services: Services) -> tuple[commands.Cog, ...]:
    """The bot's commands, each with just the services that it needs."""
    config = services.config
    vision = VisionCog(bot, services.vision, services.chat, config)
    cards = services.telemetry
    games = (GameCog(bot, cards),) if isinstance(cards, SimulatedCards) else ()
    return (
        ChatCog(bot, services.chat, config, vision),
        vision,
        WatchCog(bot, services.watches, config, services.store.audit),
        GpuCog(
            bot,
            services.gpu_memory_manager,
            services.monitor,
            config,
            _gpu_desk(services),
            _graphs(services),
        ),
        ImagineCog(bot, services.pictures, config, services.store.audit),
        SettingsCog(bot, services.live),
        QueueCog(bot, services.manager, services.store.audit),
        HintsCog(bot, services.manager, lambda: services.live.config.models.use),
        OptimizerCog(bot, services.optimizer_desk, services.store.recent_audit),
        ResourcesCog(bot, services.resources),
        NodesCog(bot, services.nodes, head_start_s=config.bot.node.head_start_s),
        IncidentsCog(bot, services.incidents, services.store.audit),
        DigestCog(bot, _digest_parts(services)),
        *games,
    )


def control_routes(services: Services) -> dict[str, Handler]:
    """What commands on this machine may ask of the bot, beside settings."""
    desk, manager = services.optimizer_desk, services.manager
    bench = Bench(manager, manager, services.optimizer, services.config, desk.note)
    return {
        **optimizer_routes(desk, bench),
        **resource_routes(services.resources, services.store.audit),
        **job_routes(services.jobs, services.store.audit),
    }


def _gpu_desk(services: Services) -> GpuDesk:
    return GpuDesk(
        models=services.manager,
        reservations=services.reservations,
        snapshots=lambda: services.manager.scheduler.snapshots,
        audit=services.store.audit,
    )


def _digest_parts(services: Services) -> DigestParts:
    return DigestParts(
        store=services.incident_parts.store,
        facts=services.incident_parts.digest,
        at=lambda: services.live.config.bot.alerts.digest_time,
        clock=lambda: datetime.now(UTC).astimezone(),
        local=local_in(None),
        charts=_graphs(services),
    )


def _graphs(services: Services) -> Graphs:
    def levels() -> Levels:
        pressure = services.live.config.vram.pressure
        return Levels(pressure.warning_pct, pressure.critical_pct)

    return Graphs(
        inference=services.manager,
        media=services.config.models.use.media,
        history=services.use_history,
        devices=services.gpu_memory_manager.devices,
        decisions=lambda: services.manager.decisions,
        levels=levels,
    )
