"""The daily digest: one message a day in the alert channel, and the same by command.

mypy can't infer the types of discord.py's hybrid decorators, hence the ``arg-type`` ignores.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any, Protocol, Self

import aiohttp
import discord
from discord.ext import commands

from cogs.common import SAFE_MENTIONS, add_to_group, answer_error, remove_from_group
from cogs.incidents import find_alert_channel
from danzar.config.bot import DiscordSettings
from danzar.errors import DanzarError, StoreFailed
from danzar.incidents.digest import DigestFacts, digest_sections, due_day
from danzar.incidents.store import IncidentStore
from danzar.local_days import Local, next_due

log = logging.getLogger(__name__)

Context = commands.Context[commands.Bot]
COG_NAME = "Digest"
# Discord allows a group no more than 25 commands; `!gpu` is full.
_GROUP = "gpu incidents"
_TIMEOUT_S = 20.0
# The clocks of the machine may be set: nothing is slept away for longer.
_LONGEST_SLEEP_S = 600.0
_RETRY_S = 30.0
_LONGEST_FIELD = 1024
_CHART_ID = "danzar:digest:chart"


class Charts(Protocol):
    """The part of ``cogs.gpu_graph.Graphs`` that draws a day."""

    async def draw_day(self) -> discord.File:
        """The last 24 hours."""
        ...


@dataclass(frozen=True, slots=True)
class DigestParts:
    """What a digest is made of and goes by.

    Attributes:
        facts: Reads all that it tells.
        at: The time of day it is sent; ``None`` sends none.
        clock: Now, aware, in local time.
        local: What a naive local time is in truth.
    """

    store: IncidentStore
    facts: Callable[[], Awaitable[DigestFacts]]
    at: Callable[[], time | None]
    clock: Callable[[], datetime]
    local: Local
    charts: Charts


class DigestPoster:
    """Sends the digest when it is due; its owner runs ``run``."""

    def __init__(self, bot: commands.Bot, settings: DiscordSettings, parts: DigestParts) -> None:
        self._bot = bot
        self._settings = settings
        self._parts = parts

    async def run(self) -> None:
        """Look whenever a digest may be due, until cancelled."""
        while True:
            try:
                done = await self.look()
            except StoreFailed as exc:
                log.warning("the daily digest waits: %s", exc)
                done = False
            await asyncio.sleep(self._sleep_s() if done else _RETRY_S)

    async def look(self) -> bool:
        """Send the digest if it is due; False where it is, and could not be sent yet.

        Raises:
            danzar.errors.StoreFailed: The database can't be read or written.
        """
        parts, at = self._parts, self._parts.at()
        if at is None or self._settings.alert_channel is None:
            return True
        now, last = parts.clock(), await parts.store.last_digest()
        if last is None:
            # A new Danzar has no day behind it; the next time is the first.
            day = now.date()
            passed = parts.local(datetime.combine(day, at)) <= now
            await parts.store.save_digest(day if passed else day - timedelta(days=1), now)
            return True
        due = due_day(now, at, last, parts.local)
        if due is None:
            return True
        if not await self._send():
            return False
        await parts.store.save_digest(due, now)
        return True

    def _sleep_s(self) -> float:
        now, at = self._parts.clock(), self._parts.at()
        if at is None:
            return _LONGEST_SLEEP_S
        wait_s = (next_due(now, at, self._parts.local) - now).total_seconds()
        return min(_LONGEST_SLEEP_S, max(1.0, wait_s))

    async def _send(self) -> bool:
        """Whether it is done with: sent, or there is no channel for it."""
        if not self._bot.is_ready():
            return False
        channel = find_alert_channel(self._bot, self._settings.alert_channel)
        if channel is None:
            log.warning("no channel %r for the digest", self._settings.alert_channel)
            return True
        embed = digest_embed(await self._parts.facts())
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await channel.send(embed=embed, view=chart_button(), allowed_mentions=SAFE_MENTIONS)
        except discord.Forbidden as exc:
            log.warning("Danzar may not post the digest there: %s", exc)
        except (discord.HTTPException, aiohttp.ClientError, OSError, TimeoutError) as exc:
            log.warning("the digest waits, Discord did not take it: %s", exc)
            return False
        return True


class DigestCog(commands.Cog, name=COG_NAME):
    """Adds ``digest`` to ``!gpu incidents``, which another cog has made; draws what buttons ask."""

    def __init__(self, bot: commands.Bot, parts: DigestParts) -> None:
        self._bot = bot
        self._parts = parts
        self._drawing = asyncio.Lock()

    async def cog_load(self) -> None:
        add_to_group(self._bot, _GROUP, _command(self))
        self._bot.add_dynamic_items(ChartButton)

    async def cog_unload(self) -> None:
        remove_from_group(self._bot, _GROUP, "digest")
        self._bot.remove_dynamic_items(ChartButton)

    async def show(self, ctx: Context) -> None:
        """The last 24 hours, now."""
        embed = digest_embed(await self._parts.facts())
        await ctx.send(embed=embed, view=chart_button(), allowed_mentions=SAFE_MENTIONS)

    async def chart(self) -> discord.File:
        """The last 24 hours as a picture; one is drawn at a time.

        Raises:
            danzar.errors.DanzarError: It can't be drawn.
        """
        async with self._drawing:
            return await self._parts.charts.draw_day()


class ChartButton(discord.ui.DynamicItem[discord.ui.Button[Any]], template=_CHART_ID):
    """Draws the last 24 hours for the one who presses it."""

    def __init__(self) -> None:
        """Make the button; it works after a restart, too."""
        super().__init__(
            discord.ui.Button(
                label="Chart", style=discord.ButtonStyle.secondary, custom_id=_CHART_ID
            )
        )

    @classmethod
    async def from_custom_id(
        cls,
        _interaction: discord.Interaction[Any],
        _item: discord.ui.Item[Any],
        _match: re.Match[str],
        /,
    ) -> Self:
        """The button as it was sent, maybe by an earlier run."""
        return cls()

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Draw it; the answer is for the one who pressed alone."""
        cog = interaction.client.get_cog(COG_NAME)
        if not isinstance(cog, DigestCog):
            return
        await interaction.response.defer(ephemeral=True, thinking=True)
        try:
            picture = await cog.chart()
        except DanzarError as exc:
            await answer_error(interaction, exc)
        else:
            await interaction.followup.send(file=picture, ephemeral=True)


def chart_button() -> discord.ui.View:
    """The button under a digest."""
    return discord.ui.View(timeout=None).add_item(ChartButton())


def digest_embed(facts: DigestFacts) -> discord.Embed:
    """The digest as a message."""
    embed = discord.Embed(title=f"🗞️ The day until <t:{int(facts.now.timestamp())}:f>")
    for section in digest_sections(facts):
        embed.add_field(name=section.title, value=_cut(section.text), inline=False)
    return embed


def _cut(text: str) -> str:
    """As many whole lines as a field holds."""
    lines: Sequence[str] = text.split("\n")
    while len("\n".join(lines)) > _LONGEST_FIELD and len(lines) > 1:
        lines = lines[:-1]
    return "\n".join(lines)[:_LONGEST_FIELD]


def _command(cog: DigestCog) -> commands.HybridCommand[Any, ..., Any]:
    @commands.hybrid_command(name="digest", description="What happened in the last 24 hours")
    async def digest(ctx: Context) -> None:
        await cog.show(ctx)

    return digest
