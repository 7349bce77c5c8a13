"""A bot with the GPU cog in a simulated Discord, over simulated cards."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import simcord

from cogs.gpu import GpuCog
from cogs.incidents import AlertsPoster
from danzar.bot import DanzarBot
from danzar.config.bot import BotConfig, DiscordSettings
from danzar.config.settings import Config
from danzar.core.ledger import Ledger, Reservation
from danzar.gpu_memory import GpuMemoryManager, MemoryRules
from danzar.monitor import MemoryMonitor
from danzar.telemetry.sampler import Sampler
from danzar.telemetry.simulated import SEED_CARDS, SimulatedCard, SimulatedCards
from danzar.units import GIB

SETTINGS = DiscordSettings()


@dataclass
class GpuRig:
    """Everything that a test of the cards in Discord touches."""

    env: simcord.Env
    bot: DanzarBot
    cards: SimulatedCards
    sampler: Sampler
    ledger: Ledger
    monitor: MemoryMonitor
    guild: object
    general: object
    alerts: object
    person: object
    operator: object

    async def occupy(self, index: int, size_bytes: int, name: str = "game.exe") -> None:
        """Let another program hold memory, and have it measured."""
        self.cards.set_foreign(self.cards.uuids[index], 812, name, size_bytes)
        await self.sampler.refresh()


@asynccontextmanager
async def gpu_rig(
    settings: DiscordSettings = SETTINGS,
    cards: tuple[SimulatedCard, ...] = SEED_CARDS,
    *,
    check_errors: bool = True,
) -> AsyncIterator[GpuRig]:
    config = Config(root=Path(), bot=BotConfig(discord=settings))
    source = SimulatedCards(cards)
    sampler = Sampler(source)
    await sampler.refresh()
    ledger = Ledger([Reservation(source.uuids[0], "chat", 8 * GIB)], {"vision": 2 * GIB})
    gpu_mm = GpuMemoryManager(sampler, ledger, MemoryRules.from_config(config))
    monitor = MemoryMonitor(gpu_mm, interval_s=30.0)
    bot = DanzarBot(settings)
    bot.planned_cogs = (GpuCog(bot, gpu_mm, monitor, config),)
    monitor.add_listener(AlertsPoster(bot, settings).post)
    async with simcord.run(bot, check_errors=check_errors) as env:
        guild = env.create_guild()
        operators = guild.create_role("Danzar Operator")
        guild.create_role("Night Watch")
        yield GpuRig(
            env=env,
            bot=bot,
            cards=source,
            sampler=sampler,
            ledger=ledger,
            monitor=monitor,
            guild=guild,
            general=guild.create_text_channel("general"),
            alerts=guild.create_text_channel("alerts"),
            person=guild.add_member(env.create_user("person")),
            operator=guild.add_member(env.create_user("operator"), roles=[operators]),
        )
