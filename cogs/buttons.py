"""Buttons under a message, for those who may press them."""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import discord

from cogs.common import answer_error

Press = Callable[[discord.Interaction[Any]], Coroutine[Any, Any, None]]
MayPress = Callable[[discord.abc.User], bool]


@dataclass(frozen=True, slots=True)
class Button:
    """One button; without ``press`` it is grey."""

    label: str
    press: Press | None
    style: discord.ButtonStyle = discord.ButtonStyle.secondary


class ButtonRow(discord.ui.View):
    """Some buttons beside one another."""

    def __init__(
        self,
        buttons: Sequence[Button],
        *,
        may_press: MayPress | None = None,
        on_expiry: Callable[[], Coroutine[Any, Any, None]] | None = None,
        timeout_s: float | None = None,
    ) -> None:
        """Make the view.

        Args:
            buttons: From left to right.
            may_press: Who may; ``None``: everyone who sees them.
            on_expiry: Called when the time is over.
            timeout_s: How long they work; ``None`` is without end.
        """
        super().__init__(timeout=timeout_s)
        self._may_press = may_press
        self._on_expiry = on_expiry
        for button in buttons:
            self._add(button)

    async def interaction_check(self, interaction: discord.Interaction[Any], /) -> bool:
        """Only those who may."""
        if self._may_press is None or self._may_press(interaction.user):
            return True
        await interaction.response.send_message(
            "Only the person who asked, or an operator, can do that.", ephemeral=True
        )
        return False

    async def on_timeout(self) -> None:
        """See ``View.on_timeout``."""
        if self._on_expiry is not None:
            await self._on_expiry()

    async def on_error(
        self, interaction: discord.Interaction[Any], error: Exception, _: discord.ui.Item[Any], /
    ) -> None:
        """Say so to the one who pressed; the log has the rest."""
        await answer_error(interaction, error)

    def _add(self, button: Button) -> None:
        item: discord.ui.Button[ButtonRow] = discord.ui.Button(
            label=button.label, style=button.style, disabled=button.press is None
        )
        if button.press is not None:
            item.callback = button.press  # type: ignore[assignment, method-assign]
        self.add_item(item)
