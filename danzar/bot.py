"""The bot: intents, cogs, and what happens to an error that a command did not handle."""

import asyncio
import itertools
import logging
from collections.abc import Sequence
from typing import Any

import aiohttp
import discord
from discord import app_commands
from discord.ext import commands

from cogs.common import SAFE_MENTIONS, render_error
from danzar.config.bot import DiscordSettings
from danzar.request_id import new_request_id, set_request_id

log = logging.getLogger(__name__)

_REMEMBERED_MESSAGES = 200
# Between two attempts to log in; the last one stays.
_RETRIES_S = (5.0, 10.0, 20.0, 40.0, 60.0)
_UNREACHABLE = (aiohttp.ClientConnectionError, discord.DiscordServerError, TimeoutError)
# What the gateway sends and a person did.
_REQUESTS = {"MESSAGE_CREATE": "m", "INTERACTION_CREATE": "i", "MESSAGE_REACTION_ADD": "r"}


def make_intents() -> discord.Intents:
    """What Danzar needs to hear: messages with their content, and who is in the server."""
    intents = discord.Intents.default()
    intents.message_content = True
    return intents


class DanzarBot(commands.Bot):
    """A bot that never pings anyone, and that answers errors in one line."""

    def __init__(self, settings: DiscordSettings) -> None:
        """Prepare; nothing is sent before ``start``."""
        # It never speaks: the libraries for that are not missed.
        discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False
        super().__init__(
            command_prefix=settings.command_prefix,
            intents=make_intents(),
            allowed_mentions=SAFE_MENTIONS,
            help_command=None,
            # They give names to those who wait in the queue; replies bring what they answer along.
            max_messages=_REMEMBERED_MESSAGES,
        )
        self.operator_role = settings.operator_role
        self._api_url = settings.api_url
        self.planned_cogs: Sequence[commands.Cog] = ()
        self.tree.error(self._tree_error)

    def dispatch(self, event: str, /, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as there
        """As in discord.py; what comes of a message or an interaction belongs to one request.

        discord.py says ``socket_event_type`` before it parses what the gateway sent, and starts
        the tasks for it from there: they inherit the request's id.
        """
        if event == "socket_event_type":
            kind = _REQUESTS.get(args[0])
            set_request_id(None if kind is None else new_request_id(kind))
        super().dispatch(event, *args, **kwargs)

    async def login(self, token: str) -> None:
        """Log in; while Discord can't be reached, try again: a PC may be up before its network.

        Raises:
            discord.LoginFailure: Discord refuses the token.
        """
        waits_s = itertools.chain(_RETRIES_S, itertools.repeat(_RETRIES_S[-1]))
        while not await self._logged_in(token):
            wait_s = next(waits_s)
            log.warning("the next attempt to log in is in %.0f s", wait_s)
            await asyncio.sleep(wait_s)

    async def _logged_in(self, token: str) -> bool:
        try:
            await super().login(token)
        except _UNREACHABLE as exc:
            log.warning(
                "Discord can't be reached at %s (%s); check the network, or discord.api_url in "
                "bot_config.yaml",
                self._api_url,
                exc,
            )
        else:
            return True
        await self.http.close()
        self.http.connector = discord.utils.MISSING  # discord.py makes one where there is none.
        return False

    async def setup_hook(self) -> None:
        """Add the cogs and tell Discord about the slash commands."""
        for cog in self.planned_cogs:
            if self.get_cog(cog.qualified_name) is None:  # An earlier login may have come so far.
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
