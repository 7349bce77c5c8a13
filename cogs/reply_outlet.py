"""Where a reply goes: under a message, or as the answer to a slash command or menu."""

import logging
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import aiohttp
import discord
from discord.ext import commands

from cogs.common import SAFE_MENTIONS

log = logging.getLogger(__name__)

Target = discord.Message | commands.Context[Any] | discord.Interaction[Any]
# What Discord's side of things may raise; ``NotFound`` and ``Forbidden`` are ``HTTPException``s.
DISCORD_TROUBLE = (discord.HTTPException, aiohttp.ClientError, OSError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Extras:
    """What goes along with the first message (an annotated picture, what was seen)."""

    embed: discord.Embed | None = None
    files: tuple[discord.File, ...] = ()


class Outlet:
    """Sends the messages of one reply; none of them pings anyone."""

    def __init__(self, target: Target, extras: Extras) -> None:
        if isinstance(target, commands.Context):
            target = target.interaction or target.message
        self._target: discord.Message | discord.Interaction[Any] = target
        self._embed = extras.embed
        # Kept as bytes: discord.py closes a file after the first try to send it.
        self._files = [(file.filename, file.fp.read()) for file in extras.files]

    async def open(self) -> None:
        """Acknowledge a slash command: it expires after three seconds."""
        target = self._target
        if isinstance(target, discord.Interaction) and not target.response.is_done():
            await target.response.defer(thinking=True)

    async def type(self) -> None:
        """Show that something is being written; where that fails, don't."""
        if isinstance(self._target, discord.Interaction):
            return
        try:
            await self._target.channel.typing()
        except DISCORD_TROUBLE as exc:
            log.debug("typing could not be shown: %s", exc)

    async def send(
        self, content: str, view: discord.ui.View | None, *, first: bool
    ) -> discord.Message:
        """Send one message; the first one answers the target and carries the extras."""
        options: dict[str, Any] = {"allowed_mentions": SAFE_MENTIONS}
        if view is not None:
            options["view"] = view
        if first and self._embed is not None:
            options["embed"] = self._embed
        if first and self._files:
            options["files"] = [discord.File(BytesIO(data), name) for name, data in self._files]
        sent = await self._send(content, options, first=first)
        if first:
            self._files = []  # the buttons keep this reply for minutes, and it needs them no more
        return sent

    async def _send(self, content: str, options: dict[str, Any], *, first: bool) -> discord.Message:
        target = self._target
        if isinstance(target, discord.Interaction):
            sent: discord.Message = await target.followup.send(content, wait=True, **options)
            return sent
        if first:
            options["reference"] = target.to_reference(fail_if_not_exists=False)
            options["mention_author"] = False
        return await target.channel.send(content, **options)
