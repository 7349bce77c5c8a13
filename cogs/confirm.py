"""A button between a wish and its consequences: shows them, and asks the one who wished.

Only the asker may press, once, within the time. What is shown is worked out again at the click: if
it has changed, the person is asked again.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import discord
from discord.ext import commands

from cogs.common import SAFE_MENTIONS, is_operator, render_error
from danzar.errors import DanzarError
from danzar.explain.outlook import Outlook

log = logging.getLogger(__name__)

CONFIRM_S = 60.0
# Interaction tokens live for 15 minutes; what takes longer goes on, and `!gpu models` shows it.
_ACT_TIMEOUT_S = 600.0
_LONGEST_TEXT = 4000
_ASKING, _DONE, _REFUSED = (
    discord.Colour.gold(),
    discord.Colour.green(),
    discord.Colour.red(),
)


@dataclass(frozen=True, slots=True)
class Wish:
    """Something disruptive that a person asked for.

    Attributes:
        title: ``Load qwen2.5-7b-instruct?``
        button: What the button says.
        outlook: What would happen now; called again at the click.
        act: Does it, and returns what came of it as one line.
    """

    title: str
    button: str
    outlook: Callable[[], Awaitable[Outlook]]
    act: Callable[[], Awaitable[str]]


async def ask_first(ctx: commands.Context[Any], wish: Wish, timeout_s: float = CONFIRM_S) -> None:
    """Show what the wish would do, with a button that does it."""
    outlook = await wish.outlook()
    if outlook.refusal is not None:
        await ctx.send(embed=_embed(wish.title, [outlook.refusal], _REFUSED))
        return
    view = Confirmation(ctx.author.id, ctx.bot.operator_role, wish, outlook, timeout_s)
    embed = _embed(wish.title, outlook.lines, _ASKING)
    view.message = await ctx.send(embed=embed, view=view, allowed_mentions=SAFE_MENTIONS)


class Confirmation(discord.ui.View):
    """The two buttons.

    Attributes:
        message: Where they stand; set once it is sent.
    """

    def __init__(
        self, asker_id: int, operator_role: str, wish: Wish, outlook: Outlook, timeout_s: float
    ) -> None:
        super().__init__(timeout=timeout_s)
        self.message: discord.Message | None = None
        self._asker_id = asker_id
        self._operator_role = operator_role
        self._wish = wish
        self._shown = outlook
        self._add(wish.button, discord.ButtonStyle.danger, self._confirm)
        self._add("Cancel", discord.ButtonStyle.secondary, self._cancel)

    async def interaction_check(self, interaction: discord.Interaction[Any], /) -> bool:
        """Only the asker, and only while they are an operator."""
        if interaction.user.id == self._asker_id and is_operator(
            interaction.user, self._operator_role
        ):
            return True
        await interaction.response.send_message(
            "Only the person who asked can press that.", ephemeral=True
        )
        return False

    async def on_timeout(self) -> None:
        """Nobody pressed."""
        if self.message is not None:
            with contextlib.suppress(discord.HTTPException):
                await self._end(self.message.edit, ["Nobody confirmed it; nothing was done."], None)

    async def on_error(
        self,
        interaction: discord.Interaction[Any],
        error: Exception,
        _item: discord.ui.Item[Any],
        /,
    ) -> None:
        """Say so where the person is; the log has the rest."""
        embed = _embed(self._wish.title, [render_error(error)], _REFUSED)
        if interaction.response.is_done():
            await interaction.edit_original_response(embed=embed, view=self)
        else:
            await interaction.response.edit_message(embed=embed, view=self)

    async def _confirm(self, interaction: discord.Interaction[Any]) -> None:
        outlook = await self._wish.outlook()
        edit = interaction.response.edit_message
        if outlook.refusal is not None:
            await self._end(edit, [outlook.refusal], _REFUSED)
        elif outlook.facts != self._shown.facts:
            self._shown = outlook
            lines = ["This has changed meanwhile; press again if it is still what you want:"]
            await edit(embed=_embed(self._wish.title, [*lines, *outlook.lines], _ASKING))
        else:
            await self._end(edit, ["⏳ Under way…"], _ASKING)
            await self._act(interaction)

    async def _act(self, interaction: discord.Interaction[Any]) -> None:
        colour = _DONE
        try:
            async with asyncio.timeout(_ACT_TIMEOUT_S):
                line = await self._wish.act()
        except TimeoutError:
            line, colour = (
                "It takes longer than 10 minutes; `gpu models` shows how it goes.",
                _ASKING,
            )
        except DanzarError as exc:
            line, colour = render_error(exc), _REFUSED
        embed = _embed(self._wish.title, [line], colour)
        await interaction.edit_original_response(embed=embed, view=self)

    async def _cancel(self, interaction: discord.Interaction[Any]) -> None:
        await self._end(interaction.response.edit_message, ["Cancelled; nothing was done."], None)

    async def _end(
        self,
        edit: Callable[..., Awaitable[Any]],
        lines: list[str],
        colour: discord.Colour | None,
    ) -> None:
        """No button works from now on."""
        self.stop()
        for button in self.children:
            if isinstance(button, discord.ui.Button):
                button.disabled = True
        await edit(embed=_embed(self._wish.title, lines, colour), view=self)

    def _add(
        self,
        label: str,
        style: discord.ButtonStyle,
        press: Callable[[discord.Interaction[Any]], Awaitable[None]],
    ) -> None:
        button: discord.ui.Button[Confirmation] = discord.ui.Button(label=label, style=style)
        button.callback = press  # type: ignore[assignment, method-assign]
        self.add_item(button)


def _embed(
    title: str, lines: list[str] | tuple[str, ...], colour: discord.Colour | None
) -> discord.Embed:
    text = "\n".join(lines)
    return discord.Embed(title=title, description=text[:_LONGEST_TEXT], colour=colour)
