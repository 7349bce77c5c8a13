"""A bot with the GPU cog in a simulated Discord, over simulated cards."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import simcord

from cogs.digest import DigestCog, DigestParts, DigestPoster
from cogs.gpu import GpuCog
from cogs.gpu_desk import GpuDesk
from cogs.gpu_graph import Graphs
from cogs.incidents import AlertsPoster
from cogs.incidents_commands import IncidentsCog
from danzar.bot import DanzarBot
from danzar.broker.reservations import Reservations
from danzar.config.bot import BotConfig, DiscordSettings
from danzar.config.settings import Config
from danzar.core.book import Reservation
from danzar.core.incident import AT_ONCE, IncidentRules
from danzar.core.ledger import Ledger
from danzar.gpu_memory import GpuMemoryManager, MemoryRules
from danzar.graph import Levels, UseHistory
from danzar.incidents.book import IncidentBook, Keeping
from danzar.incidents.causes import Causes
from danzar.incidents.day import DayLog
from danzar.incidents.digest import DigestFacts
from danzar.incidents.record import Clocks
from danzar.incidents.store import IncidentStore
from danzar.inference import Placed
from danzar.inference_fake import ScriptedInference
from danzar.local_days import local_in
from danzar.monitor import MemoryMonitor
from danzar.store import Store
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
    book: IncidentBook
    poster: AlertsPoster
    clock: "Clock"
    causes: Causes
    digests: DigestPoster
    digest_parts: DigestParts
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

    async def check(self, at_s: float | None = None) -> None:
        """Have the monitor look, at a time, and Discord told; edits are never too soon."""
        if at_s is not None:
            self.clock.at_s = at_s
        self.causes.note(self.causes._devices())
        await self.monitor.check()
        await self.poster.deliver()


_BEGAN = datetime(2026, 6, 1, tzinfo=UTC)


class Clock:
    """Both clocks, which a test may set: seconds since midnight of the rig's first day."""

    def __init__(self) -> None:
        self.at_s = 0.0
        self.digest_at: time | None = time(9)

    def now_s(self) -> float:
        return 1000.0 + self.at_s

    def both(self) -> Clocks:
        return Clocks(self.now_s(), _BEGAN + timedelta(seconds=self.at_s))


@asynccontextmanager
async def gpu_rig(
    settings: DiscordSettings = SETTINGS,
    cards: tuple[SimulatedCard, ...] = SEED_CARDS,
    *,
    check_errors: bool = True,
    rules: IncidentRules = AT_ONCE,
    data: Path | None = None,
) -> AsyncIterator[GpuRig]:
    async with _store(data) as store, _rig(settings, cards, rules, store, check_errors) as rig:
        yield rig


@asynccontextmanager
async def _store(data: Path | None) -> AsyncIterator[Store]:
    with tempfile.TemporaryDirectory() as folder:
        async with Store.open((data or Path(folder)) / "danzar.db", keep_messages=10) as store:
            yield store


@asynccontextmanager
async def _rig(  # noqa: PLR0915
    settings: DiscordSettings,
    cards: tuple[SimulatedCard, ...],
    rules: IncidentRules,
    store: Store,
    check_errors: bool,
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
    clock = Clock()
    monitor = MemoryMonitor(gpu_mm, interval_s=30.0, rules=rules, now_s=clock.now_s)
    causes = Causes(gpu_mm.devices, clock.now_s)
    incidents = IncidentStore(store.database)
    book = IncidentBook(incidents, causes, clock.both, lambda: models.decisions, Keeping())
    monitor.restore(await book.restore())
    monitor.add_follower(book.follow)
    bot = DanzarBot(settings)
    bot.planned_cogs = (
        GpuCog(bot, gpu_mm, monitor, config, desk, graphs),
        IncidentsCog(bot, book, audit),
    )
    day = DayLog(book.now)

    async def digest() -> DigestFacts:
        return DigestFacts(book.now(), day.began_at, day.figures(), book.open_incidents)

    parts = DigestParts(incidents, digest, lambda: clock.digest_at, book.now, local_in(UTC), graphs)
    bot.planned_cogs = (*bot.planned_cogs, DigestCog(bot, parts))
    poster = AlertsPoster(bot, settings, book, lambda: 0.0, now_s=clock.now_s)
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
            book=book,
            poster=poster,
            clock=clock,
            causes=causes,
            digests=DigestPoster(bot, settings, parts),
            digest_parts=parts,
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
