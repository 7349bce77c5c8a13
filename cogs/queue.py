"""``queue``: what runs, what waits, and taking a waiting request back.

mypy can't infer the types of discord.py's hybrid decorators, hence the ``arg-type`` ignores.
"""

import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol

import discord
from discord import app_commands
from discord.ext import commands

from cogs.common import SAFE_MENTIONS, NotOperator, actor_of, is_operator
from cogs.queue_render import QUEUE_TITLE, NameOf, render_cancelled, render_queues
from cogs.vision_render import inert
from danzar.broker.queue_view import QueueView, WaitingView, owned_by
from danzar.errors import BadInput

_BUTTON_S = 120.0
_TAKEN_BACK = "You took this request back."
_STOPPED = "An operator took this request out of the queue."
_SOMEONE = "someone"

Context = commands.Context[Any]
Audit = Callable[[str, str, str], Awaitable[None]]


class Queues(Protocol):
    """The part of ``danzar.broker.manager.ModelManager`` that knows who waits."""

    def queues(self) -> tuple[QueueView, ...]:
        """Who runs and who waits, for every model."""
        ...

    def cancel(self, number: int, reason: str) -> bool:
        """Take a waiting request back; whether it waited."""
        ...


class QueueCog(commands.Cog, name="Queue"):
    """Shows the queue; people take back what is theirs, operators anything."""

    def __init__(self, bot: commands.Bot, queues: Queues, audit: Audit) -> None:
        self._bot = bot
        self._queues = queues
        self._audit = audit

    @commands.hybrid_group(name="queue", fallback="show", description="Who is served, who waits")  # type: ignore[arg-type]
    async def queue(self, ctx: Context) -> None:
        """The queue as it is now, with a button for what is one's own."""
        views = self._queues.queues()
        own = owned_by(views, str(ctx.author.id))
        buttons = CancelButton(ctx.author.id, self._take_back) if own else None
        embed = self._embed(ctx.author, ctx.guild)
        sent = await ctx.send(embed=embed, view=buttons, allowed_mentions=SAFE_MENTIONS)  # type: ignore[arg-type]
        if buttons is not None:
            buttons.message = sent

    @queue.command(name="cancel", description="Take back what you asked and what still waits")  # type: ignore[arg-type]
    @app_commands.describe(number="Which request, as `queue` shows it; without it, all of yours")
    async def cancel(self, ctx: Context, number: int | None = None) -> None:
        if number is None:
            numbers = self._take_back(ctx.author)
        else:
            await self._cancel_one(ctx, number)
            numbers = [number]
        await ctx.send(render_cancelled(numbers), allowed_mentions=SAFE_MENTIONS)

    def _take_back(self, user: discord.abc.User) -> list[int]:
        """Everything of theirs that waits; returns the numbers."""
        own = owned_by(self._queues.queues(), str(user.id))
        return [row.number for row in own if self._queues.cancel(row.number, _TAKEN_BACK)]

    async def _cancel_one(self, ctx: Context, number: int) -> None:
        model, row = self._find(number)
        is_own = row.person == str(ctx.author.id)
        if not is_own and not is_operator(ctx.author, ctx.bot.operator_role):
            raise NotOperator(
                f"Request #{number} is not yours. Taking back another's needs the role "
                f"“{ctx.bot.operator_role}”."
            )
        if not self._queues.cancel(number, _TAKEN_BACK if is_own else _STOPPED):
            raise BadInput(f"request #{number} has just begun; press Stop under its answer")
        if not is_own:
            actor = actor_of(ctx)
            await self._audit(actor, "queue.cancel", f"request {number} of {model}")

    def _find(self, number: int) -> tuple[str, WaitingView]:
        views = self._queues.queues()
        for view in views:
            for row in view.waiting:
                if row.number == number:
                    return view.model, row
        waiting = ", ".join(f"#{row.number}" for view in views for row in view.waiting)
        raise BadInput(f"no request #{number} waits; waiting: {waiting or 'none'}")

    def _embed(self, viewer: discord.abc.User, guild: discord.Guild | None) -> discord.Embed:
        text = render_queues(
            self._queues.queues(), names_for(viewer, guild, self._bot.cached_messages)
        )
        return discord.Embed(title=QUEUE_TITLE, description=text, colour=discord.Colour.blurple())


class CancelButton(discord.ui.View):
    """One button: take back all that is one's own.

    Attributes:
        message: Where it stands; set once it is sent.
    """

    def __init__(
        self, asker_id: int, take_back: Callable[[discord.abc.User], Sequence[int]]
    ) -> None:
        super().__init__(timeout=_BUTTON_S)
        self.message: discord.Message | None = None
        self._asker_id = asker_id
        self._take_back = take_back
        self._button: discord.ui.Button[CancelButton] = discord.ui.Button(
            label="Cancel mine", style=discord.ButtonStyle.danger
        )
        self._button.callback = self._press  # type: ignore[method-assign]
        self.add_item(self._button)

    async def interaction_check(self, interaction: discord.Interaction[Any], /) -> bool:
        """Only the one who looked."""
        if interaction.user.id == self._asker_id:
            return True
        await interaction.response.send_message(
            "Only the person who asked for this list can press that.", ephemeral=True
        )
        return False

    async def on_timeout(self) -> None:
        """Its time is over: grey it."""
        self._button.disabled = True
        if self.message is not None:
            with contextlib.suppress(discord.HTTPException):
                await self.message.edit(view=self)

    async def _press(self, interaction: discord.Interaction[Any]) -> None:
        self.stop()
        self._button.disabled = True
        text = render_cancelled(self._take_back(interaction.user))
        await interaction.response.edit_message(content=text, view=self)


def names_for(
    viewer: discord.abc.User, guild: discord.Guild | None, messages: Iterable[discord.Message]
) -> NameOf:
    """Display names of this server's members, as far as they are known; nobody else is named.

    Discord tells the bot of members only by what they write: ``messages`` are the latest.
    """
    names = {
        str(message.author.id): message.author.display_name
        for message in messages
        if guild is not None and message.guild is not None and message.guild.id == guild.id
    }

    def name_of(person: str | None) -> str:
        if person == str(viewer.id):
            return "you"
        name = names.get(person) if person is not None else None
        return inert(name) if name is not None else _SOMEONE

    return name_of
