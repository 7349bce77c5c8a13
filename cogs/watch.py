"""Watching games in the background: ``watch start``, ``status``, ``stop``, and ``stopwatch``.

mypy can't infer the types of discord.py's hybrid decorators, hence the ``arg-type`` ignores.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from cogs.common import SAFE_MENTIONS, actor_of, operators_only
from cogs.vision_render import Wording
from cogs.watch_render import (
    FRAME_NAME,
    render_alert,
    render_ended,
    render_started,
    render_status,
    render_stopped,
)
from danzar.config.settings import Config
from danzar.vision.watch import Alert, Ended, WatchService

log = logging.getLogger(__name__)

Audit = Callable[[str, str, str], Awaitable[None]]
"""Who, what kind of action, and the details: as ``danzar.store.Store.audit``."""
_OTHER_SOURCES = ("screen:1", "camera:0")
_MOST_CHOICES = 25


@dataclass(frozen=True, slots=True)
class _AlertPlace:
    """Where a watch's alerts go; ``note`` is what the person must know about that."""

    channel: discord.abc.Messageable
    guild: discord.Guild | None
    mention: str
    note: str | None = None


class WatchCog(commands.Cog, name="Watch"):
    """Starts and stops watches, and posts what they find."""

    def __init__(
        self, bot: commands.Bot, watches: WatchService, config: Config, audit: Audit
    ) -> None:
        self._bot = bot
        self._audit = audit
        self._watches = watches
        self._config = config
        self._wording = Wording.of(config.active_profile)

    @commands.hybrid_group(name="watch", fallback="help", description="Watch a game")  # type: ignore[arg-type]
    async def watch(self, ctx: commands.Context[Any]) -> None:
        """The subcommands."""
        prefix = self._config.bot.discord.command_prefix
        names = ", ".join(f"`{name}`" for name in sorted(self._config.bot.watch.sources))
        await self._say(
            ctx,
            f"`{prefix}watch start SOURCE` begins to watch ({names or 'no source has a name'}, "
            f"`screen:1`, `camera:0`, or an address that the owner allows), "
            f"`{prefix}watch status` shows the watches, `{prefix}watch stop [number]` ends one "
            f"or all.",
        )

    @watch.command(name="start", description="Watch a source and raise alerts")  # type: ignore[arg-type]
    @app_commands.describe(source="A name from the config, a file, a URL, screen:N or camera:N")
    @operators_only()
    async def start(self, ctx: commands.Context[Any], *, source: str) -> None:
        await ctx.defer()
        place = self._alert_place(ctx)

        async def listen(event: Alert | Ended) -> None:
            await self._post(place, event)

        status = await self._watches.start(source, listen, person=str(ctx.author.id))
        await self._audit(actor_of(ctx), "watch.start", f"{status.id} {status.source}")
        rules = len(self._config.active_profile.rules)
        await self._say(ctx, render_started(status, rules, place.mention, place.note))

    @start.autocomplete("source")
    async def complete_source(
        self, interaction: discord.Interaction, current: str
    ) -> list[app_commands.Choice[str]]:
        """Names of sources that hold what was typed so far."""
        names = (*sorted(self._config.bot.watch.sources), *_OTHER_SOURCES)
        fitting = [name for name in names if current.casefold() in name.casefold()]
        return [app_commands.Choice(name=name, value=name) for name in fitting[:_MOST_CHOICES]]

    @watch.command(name="status", description="What is being watched, and how it goes")  # type: ignore[arg-type]
    async def status(self, ctx: commands.Context[Any]) -> None:
        now_s = asyncio.get_running_loop().time()
        embed = render_status(self._watches.status(), self._wording, now_s)
        await ctx.send(embed=embed, allowed_mentions=SAFE_MENTIONS)

    @watch.command(name="stop", description="Stop one watch, or all")  # type: ignore[arg-type]
    @app_commands.describe(number="Which watch; without it, all are stopped")
    @operators_only()
    async def stop(self, ctx: commands.Context[Any], number: int | None = None) -> None:
        await self._stop(ctx, number)

    @commands.hybrid_command(name="stopwatch", description="Stop all watches")  # type: ignore[arg-type]
    @operators_only()
    async def stopwatch(self, ctx: commands.Context[Any]) -> None:
        await self._stop(ctx, None)

    async def _stop(self, ctx: commands.Context[Any], number: int | None) -> None:
        await ctx.defer()
        stopped = await self._watches.stop(number)
        await self._audit(actor_of(ctx), "watch.stop", "all" if number is None else str(number))
        await self._say(ctx, render_stopped(stopped, number))

    def _alert_place(self, ctx: commands.Context[Any]) -> _AlertPlace:
        """The configured channel, else the command's own."""
        here, wanted = ctx.channel, self._config.bot.discord.alert_channel
        own = _AlertPlace(here, ctx.guild, f"<#{here.id}>")
        if ctx.guild is None or wanted is None:
            return own
        name = wanted.removeprefix("#")
        found = next((c for c in ctx.guild.text_channels if name in (str(c.id), c.name)), None)
        if found is None:
            note = f"There is no channel “{name}” here, so alerts come to this one."
            return replace(own, note=note)
        if not _may_post(found, ctx.guild.me):
            note = f"I may not post in {found.mention}, so alerts come to this channel."
            return replace(own, note=note)
        return _AlertPlace(found, ctx.guild, found.mention)

    async def _post(self, place: _AlertPlace, event: Alert | Ended) -> None:
        if isinstance(event, Ended):
            await place.channel.send(render_ended(event), allowed_mentions=SAFE_MENTIONS)
            return
        role = self._alert_role(place.guild)
        options: dict[str, Any] = {}
        if event.frame_jpeg is not None:
            options["file"] = discord.File(BytesIO(event.frame_jpeg), FRAME_NAME)
        await place.channel.send(
            content=role.mention if role is not None else None,
            embed=render_alert(event, self._wording),
            allowed_mentions=_only(role),
            **options,
        )

    def _alert_role(self, guild: discord.Guild | None) -> discord.Role | None:
        wanted = self._config.bot.discord.alert_role
        if wanted is None or guild is None:
            return None
        role = next((r for r in guild.roles if wanted in (str(r.id), r.name)), None)
        if role is None:
            log.warning("alert_role is not a role of the server: %s", wanted)
        return role

    async def _say(self, ctx: commands.Context[Any], text: str) -> None:
        await ctx.send(text, allowed_mentions=SAFE_MENTIONS)


def _may_post(channel: discord.TextChannel, me: discord.Member) -> bool:
    may = channel.permissions_for(me)
    return may.view_channel and may.send_messages and may.embed_links and may.attach_files


def _only(role: discord.Role | None) -> discord.AllowedMentions:
    """Mentions of this role and of no one else."""
    if role is None:
        return SAFE_MENTIONS
    return discord.AllowedMentions(everyone=False, users=False, roles=[role], replied_user=False)
