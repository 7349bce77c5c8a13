"""The buttons under a picture, while it is made, when there is no room, and after it."""

from collections.abc import Callable, Coroutine
from typing import Any

import discord

from cogs.buttons import ButtonRow

Choose = Callable[[discord.Interaction[Any], int], Coroutine[Any, Any, None]]
_PLACEHOLDER = "Variations…"


class PictureButtons(ButtonRow):
    """Some buttons, and where there are counts to choose from, a list of them."""

    def add_counts(self, most: int, choose: Choose | None) -> None:
        """Let people choose how many variations they want, 1 to ``most``."""
        options = [
            discord.SelectOption(label=f"{n} variation{'s' if n > 1 else ''}", value=str(n))
            for n in range(1, most + 1)
        ]
        select: discord.ui.Select[PictureButtons] = discord.ui.Select(
            placeholder=_PLACEHOLDER, options=options, disabled=choose is None
        )
        if choose is not None:

            async def chosen(interaction: discord.Interaction[Any]) -> None:
                await choose(interaction, int(select.values[0]))

            select.callback = chosen  # type: ignore[method-assign]
        self.add_item(select)
