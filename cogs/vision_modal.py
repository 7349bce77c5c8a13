"""The question that "Ask Danzar" asks back."""

from collections.abc import Awaitable, Callable

import discord

from cogs.common import answer_error

DEFAULT_QUESTION = "What do you see?"
_LONGEST = 1000


class AskModal(discord.ui.Modal, title="Ask Danzar"):
    """One line for the question; left empty, it is the default one."""

    question: discord.ui.TextInput["AskModal"] = discord.ui.TextInput(
        label="Your question",
        custom_id="question",
        placeholder=DEFAULT_QUESTION,
        required=False,
        max_length=_LONGEST,
    )

    def __init__(self, ask: Callable[[discord.Interaction, str], Awaitable[None]]) -> None:
        super().__init__()
        self._ask = ask

    async def on_submit(self, interaction: discord.Interaction) -> None:
        """Hand the question on."""
        await self._ask(interaction, self.question.value.strip() or DEFAULT_QUESTION)

    # discord.py calls a modal's on_error without the item that a view's has.
    async def on_error(  # type: ignore[override]
        self, interaction: discord.Interaction, error: Exception
    ) -> None:
        """Say what went wrong, where the person is."""
        await answer_error(interaction, error)
