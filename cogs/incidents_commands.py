"""``!gpu incidents``: the incidents by command, and muting them.

mypy can't infer the types of discord.py's hybrid decorators, hence the ``arg-type`` ignores.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Literal

import discord
from discord import app_commands
from discord.ext import commands

from cogs.common import (
    SAFE_MENTIONS,
    actor_of,
    add_to_group,
    operators_only,
    remove_from_group,
)
from cogs.incidents_buttons import COG_NAME, MUTES, UNMUTE, IncidentButton
from cogs.incidents_render import muted_text, render_incidents
from danzar.errors import BadInput
from danzar.incidents.book import IncidentBook

Context = commands.Context[commands.Bot]
Audit = Callable[[str, str, str], Awaitable[None]]
_GROUP = "incidents"
_TITLE = "🔔 Incidents"
_LONGEST_TEXT = 4000


class IncidentsCog(commands.Cog, name=COG_NAME):
    """Adds its commands to the group ``!gpu``, which another cog has made."""

    def __init__(self, bot: commands.Bot, book: IncidentBook, audit: Audit) -> None:
        self._bot = bot
        self._book = book
        self._audit = audit

    async def cog_load(self) -> None:
        add_to_group(self._bot, "gpu", _incidents(self))
        self._bot.add_dynamic_items(IncidentButton)

    async def cog_unload(self) -> None:
        remove_from_group(self._bot, "gpu", _GROUP)
        self._bot.remove_dynamic_items(IncidentButton)

    async def change_mute(self, number: int, act: str, actor: str) -> str:
        """Mute or unmute; what came of it, in words.

        Raises:
            danzar.errors.DanzarError: It is over, or it can't be kept.
        """
        if act == UNMUTE:
            record = await self._book.unmute(number)
        else:
            record = await self._book.mute(number, seconds=MUTES[act][1], actor=actor)
        action = f"incident.{'unmute' if act == UNMUTE else 'mute'}"
        await self._audit(actor, action, f"{number} {record.key} {act}")
        return muted_text(record)

    def overview(self) -> discord.Embed:
        """Those that last, and the last ones that are over."""
        book = self._book
        text = render_incidents(book.open_incidents, book.recent_incidents, book.mutes, book.now())
        return discord.Embed(title=_TITLE, description=text[:_LONGEST_TEXT])

    def only_one(self) -> int:
        """The number of the one incident that is open.

        Raises:
            BadInput: There is none, or there are several.
        """
        numbers = [record.number for record in self._book.open_incidents]
        if len(numbers) == 1:
            return numbers[0]
        known = ", ".join(map(str, numbers)) or "none"
        raise BadInput(f"say which incident; open now: {known}")


def _incidents(cog: IncidentsCog) -> commands.HybridGroup[Any, ..., Any]:
    @commands.hybrid_group(
        name=_GROUP, fallback="list", description="Troubles: open ones and the last ones"
    )
    async def incidents(ctx: Context) -> None:
        await ctx.send(embed=cog.overview(), allowed_mentions=SAFE_MENTIONS)

    @incidents.command(name="mute", description="Send no new messages about an incident")  # type: ignore[arg-type]
    @app_commands.describe(number="Of the incident", time="How long; end: until it is over")
    @operators_only()
    async def mute(
        ctx: Context, number: int | None = None, time: Literal["1h", "8h", "end"] = "1h"
    ) -> None:
        await _change(ctx, number, time)

    @incidents.command(name="unmute", description="Send messages about an incident again")  # type: ignore[arg-type]
    @app_commands.describe(number="Of the incident")
    @operators_only()
    async def unmute(ctx: Context, number: int | None = None) -> None:
        await _change(ctx, number, UNMUTE)

    async def _change(ctx: Context, number: int | None, act: str) -> None:
        chosen = cog.only_one() if number is None else number
        text = await cog.change_mute(chosen, act, actor_of(ctx))
        await ctx.send(text, allowed_mentions=SAFE_MENTIONS, ephemeral=True)

    return incidents
