"""The buttons under an answer."""

from collections.abc import Callable, Coroutine
from typing import Any

import discord

Press = Callable[[discord.Interaction[Any]], Coroutine[Any, Any, None]]


class AnswerButtons(discord.ui.View):
    """Stop while the answer grows, Regenerate after it; both grey when their time is over."""

    def __init__(
        self,
        *,
        may_press: Callable[[discord.abc.User], bool],
        on_stop: Press | None = None,
        on_regenerate: Press | None = None,
        on_expiry: Callable[[], Coroutine[Any, Any, None]] | None = None,
        timeout_s: float | None = None,
    ) -> None:
        """Make the buttons.

        Args:
            may_press: Who may use them.
            on_stop: ``None`` greys the button.
            on_regenerate: ``None`` greys the button.
            on_expiry: Called when the time is over.
            timeout_s: How long they work; ``None`` is without end.
        """
        super().__init__(timeout=timeout_s)
        self._may_press = may_press
        self._on_expiry = on_expiry
        self._add("Stop", discord.ButtonStyle.danger, on_stop)
        self._add("Regenerate", discord.ButtonStyle.secondary, on_regenerate)

    async def interaction_check(self, interaction: discord.Interaction[Any], /) -> bool:
        """Only the person who asked, or an operator."""
        if self._may_press(interaction.user):
            return True
        await interaction.response.send_message(
            "Only the person who asked, or an operator, can do that.", ephemeral=True
        )
        return False

    async def on_timeout(self) -> None:
        """See ``View.on_timeout``."""
        if self._on_expiry is not None:
            await self._on_expiry()

    def _add(self, label: str, style: discord.ButtonStyle, press: Press | None) -> None:
        button: discord.ui.Button[AnswerButtons] = discord.ui.Button(
            label=label, style=style, disabled=press is None
        )
        if press is not None:
            button.callback = press  # type: ignore[assignment, method-assign]
        self.add_item(button)
