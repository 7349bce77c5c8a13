"""Incidents over real sockets: a bot that is killed and started again edits the same message."""

import asyncio
import contextlib
from dataclasses import dataclass, field

import pytest
from discord.ext import commands

from cogs.incidents import AlertsPoster
from cogs.incidents_commands import IncidentsCog
from danzar.bot import DanzarBot
from danzar.config.bot import DiscordSettings
from danzar.core.incident import IncidentRules
from danzar.core.ledger import Ledger
from danzar.errors import StoreFailed
from danzar.gpu_memory import GpuMemoryManager
from danzar.incidents.book import IncidentBook, Keeping
from danzar.incidents.causes import Causes
from danzar.incidents.open_incidents import clocks
from danzar.incidents.store import IncidentStore
from danzar.local.backend import recent_messages
from danzar.monitor import MemoryMonitor
from danzar.running import running
from danzar.store import Store
from danzar.telemetry.sampler import Sampler
from danzar.telemetry.simulated import SimulatedCards
from danzar.units import GIB
from tests.gpu_memory.test_monitor import RULES as MEMORY_RULES
from tests.local.rig import SOON_S, online

SETTINGS = DiscordSettings()
RULES = IncidentRules(tell_after_s=0.0, calm_s=0.0, reopen_s=300.0)
GAME_PID = 4711
EPHEMERAL = 64


class GpuGroup(commands.Cog, name="GPU"):
    """The group that the commands go into."""

    @commands.hybrid_group(name="gpu")
    async def gpu(self, ctx) -> None:
        """Nothing."""


@dataclass
class Run:
    """One run of the bot; the cards, the files and Discord outlive it."""

    local: object
    cards: SimulatedCards
    sampler: Sampler
    monitor: MemoryMonitor
    book: IncidentBook
    audited: list = field(default_factory=list)

    async def game(self, size_gib: float) -> None:
        """Let a game hold so much, and the monitor see it."""
        self.cards.set_foreign(self.cards.uuids[1], GAME_PID, "game.exe", round(size_gib * GIB))
        await self.sampler.refresh()
        await self.monitor.check()

    async def until(self, **wanted):
        """The one message in the alert channel, once its embed has these words in these places."""
        async with asyncio.timeout(SOON_S):
            while not _shows(self._messages(), wanted):
                await asyncio.sleep(0.01)
        (message,) = self._messages()
        return message

    def _messages(self):
        world = self.local.world
        seen = recent_messages(world.backend, world.channel_ids["alerts"], world.person_id, 50)
        return [message for message in seen if not message["flags"] & EPHEMERAL]


def _shows(messages, wanted) -> bool:
    embeds = messages[-1]["embeds"] if messages else []
    return bool(embeds) and all(
        word in str({"footer": embeds[0].get("footer"), "body": embeds[0]}[where])
        for where, word in wanted.items()
    )


@contextlib.asynccontextmanager
async def danzar(local, cards, data):
    """A bot from its start until it is gone, with all that it knows from the disk."""
    async with Store.open(data / "danzar.db", keep_messages=10) as store:
        sampler = Sampler(cards)
        await sampler.refresh()
        gpu_mm = GpuMemoryManager(sampler, Ledger(), MEMORY_RULES)
        monitor = MemoryMonitor(gpu_mm, interval_s=3600.0, rules=RULES)
        causes = Causes(gpu_mm.devices, monitor._now_s)
        book = IncidentBook(IncidentStore(store.database), causes, clocks, lambda: (), Keeping())
        monitor.restore(await book.restore())
        monitor.add_follower(book.follow)
        run = Run(local, cards, sampler, monitor, book)

        async def audit(*entry) -> None:
            run.audited.append(entry)

        bot = DanzarBot(SETTINGS)
        bot._connection.guild_ready_timeout = 0.05
        bot.planned_cogs = (GpuGroup(), IncidentsCog(bot, book, audit))
        poster = AlertsPoster(bot, SETTINGS, book, lambda: 0.2)
        async with running(poster.run()), online(bot):
            yield run


@pytest.fixture
def cards():
    return SimulatedCards()


async def press(page, message, label):
    """Press a button of a message as the operator."""
    buttons = [b for row in message["components"] for b in row["components"]]
    (button,) = [b for b in buttons if b["label"] == label]
    status, answer = await page.act(
        "component",
        channel_id=message["channel_id"],
        message_id=message["id"],
        custom_id=button["custom_id"],
    )
    assert status == 200, answer


async def test_twenty_flaps_and_a_restart_are_one_message(local, page, cards, tmp_path):
    async with danzar(local, cards, tmp_path) as run:
        for _ in range(20):
            await run.game(11)
            await run.game(0)
        await run.game(11)
        first = await run.until(footer="open", body="21 times so far")
    async with danzar(local, cards, tmp_path) as run:
        assert [r.number for r in run.book.open_incidents] == [1]
        await run.game(0)
        last = await run.until(footer="closed", body="21 times so far")
    assert last["id"] == first["id"]
    assert last["components"] == []


async def test_what_ended_while_the_bot_was_off_is_closed_in_its_message(
    local, page, cards, tmp_path
):
    async with danzar(local, cards, tmp_path) as run:
        await run.game(11)
        first = await run.until(footer="open")
    async with danzar(local, cards, tmp_path) as run:
        await run.game(0)
        last = await run.until(footer="closed", body="while Danzar was not looking")
    assert last["id"] == first["id"]


async def test_a_message_that_was_sent_but_not_noted_is_found_again(
    local, page, cards, tmp_path, monkeypatch
):
    async def lost(*_) -> None:
        raise StoreFailed("the disk is gone")

    with monkeypatch.context() as broken:
        broken.setattr(IncidentStore, "save_place", lost)
        async with danzar(local, cards, tmp_path) as run:
            await run.game(11)
            first = await run.until(footer="open")
    async with danzar(local, cards, tmp_path) as run:
        await run.game(0)
        last = await run.until(footer="closed")
    assert last["id"] == first["id"]


async def test_a_button_of_an_earlier_run_works(local, page, cards, tmp_path):
    async with danzar(local, cards, tmp_path) as run:
        await run.game(11)
        before = await run.until(footer="open")
    async with danzar(local, cards, tmp_path) as run:
        await press(page, before, "Mute 8 h")
        muted = await run.until(body="Muted")
        assert muted["id"] == before["id"]
        assert [entry[1] for entry in run.audited] == ["incident.mute"]
    async with danzar(local, cards, tmp_path) as run:
        (record,) = run.book.open_incidents
        assert record.muted
        await press(page, muted, "Unmute")
        async with asyncio.timeout(SOON_S):
            while run.book.open_incidents[0].muted:
                await asyncio.sleep(0.01)
