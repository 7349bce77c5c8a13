"""A bot with the GPU cog in a simulated Discord, over simulated cards."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import simcord

from cogs.gpu import GpuCog
from cogs.gpu_desk import GpuDesk
from cogs.gpu_graph import Graphs
from cogs.incidents import AlertsPoster
from danzar.bot import DanzarBot
from danzar.broker.reservations import Reservations
from danzar.config.bot import BotConfig, DiscordSettings
from danzar.config.settings import Config
from danzar.core.book import Reservation
from danzar.core.ledger import Ledger
from danzar.gpu_memory import GpuMemoryManager, MemoryRules
from danzar.graph import Levels, UseHistory
from danzar.inference import Placed
from danzar.inference_fake import ScriptedInference
from danzar.monitor import MemoryMonitor
from danzar.telemetry.sampler import Sampler
from danzar.telemetry.simulated import SEED_CARDS, SimulatedCard, SimulatedCards
from danzar.units import GIB
from tests.cogs.models_rig import PID, Models, facts, make_models

SETTINGS = DiscordSettings()
MODELS = (
    facts("chat", 6.0),
    facts("painter", 5.0),
    facts("yolo", 1.0, purpose="vision"),
    facts("clip", 1.0, purpose="vision"),
)


@dataclass
class GpuRig:
    """Everything that a test of the cards in Discord touches."""

    env: simcord.Env
    bot: DanzarBot
    cards: SimulatedCards
    sampler: Sampler
    ledger: Ledger
    monitor: MemoryMonitor
    models: Models
    reservations: Reservations
    history: UseHistory
    inference: ScriptedInference
    audited: list[tuple[str, str, str]]
    guild: object
    general: object
    alerts: object
    person: object
    operator: object

    @property
    def last(self):
        """The newest embed in the channel."""
        return self.general.last_message.embeds[0]

    async def occupy(self, index: int, size_bytes: int, name: str = "game.exe") -> None:
        """Let another program hold memory, and have it measured."""
        self.cards.set_foreign(self.cards.uuids[index], 812, name, size_bytes)
        await self.models.look()


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
    gpu_mm = GpuMemoryManager(
        sampler, ledger, MemoryRules.from_config(config), own_pids=lambda: {PID}
    )
    models = make_models(source, sampler, ledger, *MODELS)
    await models.look()
    reservations = Reservations(ledger.book.reservations, models.reserve)
    history = UseHistory(gpu_mm.devices, keep_s=3600.0, clock_s=lambda: models.clock_s)
    inference = ScriptedInference(Placed("media", "cpu", simulated=False))
    audited: list[tuple[str, str, str]] = []

    async def audit(*entry: str) -> None:
        audited.append(entry)

    desk = GpuDesk(models, reservations, lambda: sampler.reading.snapshots, audit)
    graphs = Graphs(
        inference,
        "media",
        history,
        gpu_mm.devices,
        lambda: models.decisions,
        lambda: Levels(90.0, 95.0),
    )
    monitor = MemoryMonitor(gpu_mm, interval_s=30.0)
    bot = DanzarBot(settings)
    bot.planned_cogs = (GpuCog(bot, gpu_mm, monitor, config, desk, graphs),)
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
            models=models,
            reservations=reservations,
            history=history,
            inference=inference,
            audited=audited,
            guild=guild,
            general=guild.create_text_channel("general"),
            alerts=guild.create_text_channel("alerts"),
            person=guild.add_member(env.create_user("person")),
            operator=guild.add_member(env.create_user("operator"), roles=[operators]),
        )
