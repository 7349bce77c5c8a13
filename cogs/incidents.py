"""Incidents in the alert channel: one message each, edited until it is over."""

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Callable
from datetime import timedelta

import aiohttp
import discord
from discord.ext import commands

from cogs.incidents_buttons import incident_buttons
from cogs.incidents_render import incident_embed, is_about
from danzar.config.bot import DiscordSettings
from danzar.incidents.book import IncidentBook
from danzar.incidents.record import IncidentRecord, Place

log = logging.getLogger(__name__)

_TIMEOUT_S = 20.0
_RETRY_S = 30.0
_MOST_PENDING = 50
_SHOWN_BYTES = 12
# Where a message is looked for that nobody noted: so many, from so long before its incident on.
_LOOKED_THROUGH = 25
_CLOCKS_APART = timedelta(minutes=1)


class AlertsPoster:
    """Shows what ``IncidentBook`` tells; its owner runs ``run``.

    What can't be delivered, because Discord is away, waits for the next attempt or connection.
    """

    def __init__(
        self,
        bot: commands.Bot,
        settings: DiscordSettings,
        book: IncidentBook,
        edit_interval_s: Callable[[], float],
        *,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Listen to the book; ``edit_interval_s`` is the least time between edits of a message."""
        self._bot = bot
        self._settings = settings
        self._book = book
        self._edit_interval_s = edit_interval_s
        self._now_s = now_s
        self._pending: dict[int, IncidentRecord] = {}
        self._not_before_s: dict[int, float] = {}
        # Muted before they had a message: they get none when they end, either.
        self._silenced: set[int] = set()
        self._wake = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        book.add_listener(self.note)
        bot.add_listener(self.catch_up, "on_ready")
        bot.add_listener(self.catch_up, "on_resumed")

    async def note(self, record: IncidentRecord) -> None:
        """Remember that an incident should be shown as it is now."""
        if self._settings.alert_channel is None or not record.told:
            return
        self._pending.pop(record.number, None)
        self._pending[record.number] = record
        while len(self._pending) > _MOST_PENDING:
            self._drop(next(iter(self._pending)))
        self._wake.set()

    async def catch_up(self) -> None:
        """Bring all messages up to date: Discord is there, maybe after a restart."""
        self._not_before_s.clear()
        await self._book.tell_all()
        await self.deliver()

    async def run(self) -> None:
        """Deliver what is due, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(self._wait_s()):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                await self.deliver()
            except Exception:
                log.exception("incidents could not be shown")

    async def deliver(self) -> None:
        """Show the newest state of each incident that waits and may be shown, if online."""
        async with self._one_at_a_time:
            for number in tuple(self._pending):
                due = self._now_s() >= self._not_before_s.get(number, 0.0)
                if self._bot.is_ready() and due:
                    await self._deliver(number)

    def _wait_s(self) -> float | None:
        """Until something may be shown; ``None``: until something happens."""
        if not self._pending or not self._bot.is_ready():
            return None
        first_s = min(self._not_before_s.get(n, 0.0) for n in self._pending)
        return max(0.0, first_s - self._now_s())

    async def _deliver(self, number: int) -> None:
        record = self._pending.pop(number)
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await self._show(record)
        except discord.Forbidden as exc:
            log.warning("Danzar may not post alerts there (%s): %s", exc, record.text)
        except (discord.HTTPException, aiohttp.ClientError, OSError, TimeoutError) as exc:
            log.warning("an alert waits, Discord did not take it (%s): %s", exc, record.text)
            self._pending.setdefault(number, record)
            self._not_before_s[number] = self._now_s() + _RETRY_S

    async def _show(self, record: IncidentRecord) -> None:
        place, embed = self._book.place(record.number), incident_embed(record)
        if place is None and self._is_silent(record):
            return
        shown = _digest(embed)
        if place is not None and place.shown == shown:
            return
        embed.timestamp = self._book.now()
        there = None if place is None else await self._edit(place, record, embed)
        where = there or await self._send(record, embed, mention=place is None)
        if where is None:
            return
        await self._book.set_place(record.number, Place(*where, shown))
        if record.is_open:
            self._not_before_s[record.number] = self._now_s() + self._edit_interval_s()
        else:
            self._not_before_s.pop(record.number, None)

    def _is_silent(self, record: IncidentRecord) -> bool:
        """Whether an incident without a message gets none."""
        if record.muted:
            self._silenced.add(record.number)
        elif not record.is_open and record.number in self._silenced:
            self._silenced.discard(record.number)
            return True
        return record.muted

    async def _edit(
        self, place: Place, record: IncidentRecord, embed: discord.Embed
    ) -> tuple[int, int] | None:
        """Where the message is that was brought up to date; a person may have deleted it."""
        channel = self._bot.get_channel(place.channel_id)
        if not isinstance(channel, discord.TextChannel):
            return None
        message = channel.get_partial_message(place.message_id)
        try:
            await message.edit(embed=embed, view=incident_buttons(record))
        except discord.NotFound:
            return None
        return place.channel_id, place.message_id

    async def _send(
        self, record: IncidentRecord, embed: discord.Embed, *, mention: bool
    ) -> tuple[int, int] | None:
        """Post it anew; the role is mentioned once, while the incident lasts."""
        channel = find_alert_channel(self._bot, self._settings.alert_channel)
        if channel is None:
            log.warning("there is no channel %r for alerts", self._settings.alert_channel)
            return None
        earlier = await self._unnoted(channel, record)
        if earlier is not None:
            await earlier.edit(embed=embed, view=incident_buttons(record))
            return channel.id, earlier.id
        role = find_alert_role(channel.guild, self._settings.alert_role)
        mentioned = role if mention and record.is_open else None
        mentions = discord.AllowedMentions(
            everyone=False, users=False, roles=[mentioned] if mentioned else False
        )
        sent = await channel.send(
            mentioned.mention if mentioned else None,
            embed=embed,
            view=incident_buttons(record),
            allowed_mentions=mentions,
        )
        return channel.id, sent.id

    async def _unnoted(
        self, channel: discord.TextChannel, record: IncidentRecord
    ) -> discord.Message | None:
        """Its message, where one was sent and not noted: Danzar ended, or no answer came."""
        since = record.opened_at - _CLOCKS_APART
        try:
            async for message in channel.history(limit=_LOOKED_THROUGH, after=since):
                if message.author == self._bot.user and is_about(message, record.number):
                    return message
        except discord.Forbidden:
            log.debug("the alert channel's history may not be read")
        return None

    def _drop(self, number: int) -> None:
        del self._pending[number]
        self._not_before_s.pop(number, None)


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


def _digest(embed: discord.Embed) -> str:
    """Tells what a message shows from what it should show."""
    data = json.dumps(embed.to_dict(), sort_keys=True).encode()
    return hashlib.blake2b(data, digest_size=_SHOWN_BYTES).hexdigest()
