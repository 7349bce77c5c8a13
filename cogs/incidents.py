"""Incidents of the cards in the alert channel: one message each, edited until it is over."""

import asyncio
import logging

import aiohttp
import discord
from discord.ext import commands

from danzar.config.bot import DiscordSettings
from danzar.core.incident import Change
from danzar.core.pressure import Level
from danzar.monitor import Alert

log = logging.getLogger(__name__)

_TIMEOUT_S = 20.0
_MOST_PENDING = 50
_MARKS = {Level.NORMAL: "✅", Level.WARNING: "⚠️", Level.CRITICAL: "🚨", Level.OOM: "🚨"}
COLOURS = {
    Level.NORMAL: discord.Colour.green(),
    Level.WARNING: discord.Colour.orange(),
    Level.CRITICAL: discord.Colour.red(),
    Level.OOM: discord.Colour.red(),
}


class AlertsPoster:
    """Posts what ``MemoryMonitor`` finds: ``monitor.add_listener(poster.post)``.

    What can't be delivered, because Discord is away, waits for the next alert or connection.
    """

    def __init__(self, bot: commands.Bot, settings: DiscordSettings) -> None:
        self._bot = bot
        self._settings = settings
        # Messages of incidents that last; an entry goes when its incident is closed.
        self._messages: dict[int, discord.Message] = {}
        self._pending: dict[int, Alert] = {}
        self._one_at_a_time = asyncio.Lock()
        bot.add_listener(self.deliver, "on_ready")
        bot.add_listener(self.deliver, "on_resumed")

    async def post(self, alert: Alert) -> None:
        """Post a new incident, or edit its message. Trouble with Discord is logged, not raised."""
        if self._settings.alert_channel is None:
            return
        self._pending.pop(alert.incident.number, None)
        self._pending[alert.incident.number] = alert
        while len(self._pending) > _MOST_PENDING:
            del self._pending[next(iter(self._pending))]
        await self.deliver()

    async def deliver(self) -> None:
        """Send what waits, the newest state of each incident, if the bot is online."""
        async with self._one_at_a_time:
            for number in tuple(self._pending):
                if self._bot.is_ready():
                    await self._deliver(number)

    async def _deliver(self, number: int) -> None:
        alert = self._pending.pop(number)
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await self._show(alert)
        except discord.Forbidden as exc:
            log.warning("Danzar may not post alerts there (%s): %s", exc, alert.text)
        except (discord.HTTPException, aiohttp.ClientError, OSError, TimeoutError) as exc:
            log.warning("an alert waits, Discord did not take it (%s): %s", exc, alert.text)
            self._pending.setdefault(number, alert)

    async def _show(self, alert: Alert) -> None:
        number = alert.incident.number
        message = self._messages.get(number)
        if message is None or not await _edited(message, alert):
            message = await self._send(alert)
        if alert.change is Change.CLOSED or message is None:
            self._messages.pop(number, None)
        else:
            self._messages[number] = message

    async def _send(self, alert: Alert) -> discord.Message | None:
        channel = find_alert_channel(self._bot, self._settings.alert_channel)
        if channel is None:
            log.warning("there is no channel %r for alerts", self._settings.alert_channel)
            return None
        role = find_alert_role(channel.guild, self._settings.alert_role)
        if role is None or alert.change is Change.CLOSED:
            mentions = discord.AllowedMentions.none()
            return await channel.send(embed=alert_embed(alert), allowed_mentions=mentions)
        mentions = discord.AllowedMentions(
            everyone=False, users=False, roles=[role], replied_user=False
        )
        return await channel.send(role.mention, embed=alert_embed(alert), allowed_mentions=mentions)


def alert_embed(alert: Alert) -> discord.Embed:
    """The incident as it stands: open in its level's colour, closed in green."""
    level = alert.incident.level
    embed = discord.Embed(
        description=f"{_MARKS[level]} {alert.text}"[:4096],
        colour=COLOURS[level],
        timestamp=alert.at,
    )
    return embed.set_footer(text=f"Incident {alert.incident.number} · {alert.change}")


def find_alert_channel(bot: commands.Bot, wanted: str | None) -> discord.TextChannel | None:
    """The first text channel of that id or name (with or without ``#``)."""
    if wanted is None:
        return None
    name = wanted.removeprefix("#")
    channels = (c for guild in bot.guilds for c in guild.text_channels)
    return next((c for c in channels if name in (str(c.id), c.name)), None)


def find_alert_role(guild: discord.Guild, wanted: str | None) -> discord.Role | None:
    """The role of that id or name, which alerts mention; never ``@everyone``."""
    if wanted is None:
        return None
    name = wanted.removeprefix("@")
    roles = (r for r in guild.roles if not r.is_default())
    return next((r for r in roles if name in (str(r.id), r.name)), None)


async def _edited(message: discord.Message, alert: Alert) -> bool:
    """Whether the message could be brought up to date; a person may have deleted it."""
    try:
        await message.edit(embed=alert_embed(alert))
    except discord.NotFound:
        return False
    return True
