"""The bot: intents, cogs, and what happens to an error that a command did not handle."""

import logging
from collections.abc import Sequence
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from cogs.common import SAFE_MENTIONS, render_error
from danzar.config.bot import DiscordSettings

log = logging.getLogger(__name__)


def make_intents() -> discord.Intents:
    """What Danzar needs to hear: messages with their content, and who is in the server."""
    intents = discord.Intents.default()
    intents.message_content = True
    return intents


class DanzarBot(commands.Bot):
    """A bot that never pings anyone, and that answers errors in one line."""

    def __init__(self, settings: DiscordSettings) -> None:
        """Prepare; nothing is sent before ``start``."""
        super().__init__(
            command_prefix=settings.command_prefix,
            intents=make_intents(),
            allowed_mentions=SAFE_MENTIONS,
            help_command=None,
            # Bounded: what is remembered of messages is only needed while they are answered.
            max_messages=500,
        )
        self.operator_role = settings.operator_role
        self.planned_cogs: Sequence[commands.Cog] = ()
        self.tree.error(self._tree_error)

    async def setup_hook(self) -> None:
        """Add the cogs and tell Discord about the slash commands."""
        for cog in self.planned_cogs:
            await self.add_cog(cog)
        await self.tree.sync()

    async def on_ready(self) -> None:
        """Say so in the log."""
        if self.user is not None:
            log.info("connected as %s to %d servers", self.user.name, len(self.guilds))

    async def on_command_error(
        self, ctx: commands.Context[Any], error: commands.CommandError, /
    ) -> None:
        """Say what went wrong where the person is. Unknown commands are left alone."""
        if isinstance(error, commands.CommandNotFound):
            return
        try:
            await ctx.send(render_error(error))
        except discord.HTTPException as exc:
            log.warning("an error could not be told: %s", exc)

    async def _tree_error(
        self, interaction: discord.Interaction, error: app_commands.AppCommandError
    ) -> None:
        text = render_error(error)
        try:
            if interaction.response.is_done():
                await interaction.followup.send(text, ephemeral=True)
            else:
                await interaction.response.send_message(text, ephemeral=True)
        except discord.HTTPException as exc:
            log.warning("an error could not be told: %s", exc)
