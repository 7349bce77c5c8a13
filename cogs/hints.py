"""Signs that somebody is about to ask: typing, a picture, a watch command, a voice channel.

Nothing is answered here, and nothing is kept about people: only that a sign was seen in a channel
where Danzar was asked lately.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import discord
from discord.ext import commands

from cogs.chat import speaks_to
from cogs.chat_message import is_picture
from danzar.config.models import RoleChoice
from danzar.core.prediction_hints import HintKind

# Somebody asked Danzar there this long ago, at most.
LATELY_S = 12 * 3600.0
_MOST_CHANNELS = 500
_WATCHING = ("watch", "watch start")


class Hinted(Protocol):
    """The part of ``danzar.broker.manager.ModelManager`` that hears of signs."""

    def hint(self, model: str, kind: HintKind) -> None:
        """Somebody is about to ask a model, it seems."""
        ...


class AskedChannels:
    """Where Danzar was asked lately; bounded."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        """Begin with none; ``now_s`` is any clock that does not jump."""
        self._now_s = now_s
        self._asked_s: OrderedDict[int, float] = OrderedDict()

    def note(self, channel_id: int) -> None:
        """Danzar was asked there now."""
        self._asked_s[channel_id] = self._now_s()
        self._asked_s.move_to_end(channel_id)
        while len(self._asked_s) > _MOST_CHANNELS:
            self._asked_s.popitem(last=False)

    def is_lately(self, channel_id: int) -> bool:
        """Whether it was asked there lately."""
        asked_s = self._asked_s.get(channel_id)
        return asked_s is not None and self._now_s() - asked_s <= LATELY_S


class HintsCog(commands.Cog, name="Hints"):
    """Tells the manager of signs; listens only."""

    def __init__(
        self,
        bot: commands.Bot,
        manager: Hinted,
        roles: Callable[[], RoleChoice],
        asked: AskedChannels | None = None,
    ) -> None:
        """Make the cog.

        Args:
            bot: Whose events are listened to.
            manager: Who is told.
            roles: Which model has which role now.
            asked: Where Danzar was asked; ``None`` begins with nowhere.
        """
        self._bot = bot
        self._manager = manager
        self._roles = roles
        self._asked = asked or AskedChannels()

    @commands.Cog.listener()
    async def on_raw_typing(self, payload: discord.RawTypingEvent) -> None:
        """Somebody types to Danzar, or where it was asked lately."""
        me = self._bot.user
        if me is None or payload.user_id == me.id or _is_bot(payload.user):
            return
        if payload.guild_id is None or self._asked.is_lately(payload.channel_id):
            self._hint((self._roles().chat,), HintKind.TYPING)

    @commands.Cog.listener()
    async def on_message(self, message: discord.Message) -> None:
        """Danzar is asked in a channel, or a picture is posted where it was asked lately."""
        me = self._bot.user
        if me is None or message.author.bot:
            return
        if _is_asked(message, me):
            self._asked.note(message.channel.id)
        elif self._asked.is_lately(message.channel.id) and any(
            is_picture(attachment) for attachment in message.attachments
        ):
            self._hint((*self._eyes(), self._roles().chat), HintKind.UPLOAD)

    @commands.Cog.listener()
    async def on_command(self, ctx: commands.Context[Any]) -> None:
        """A watch is asked for; any command says that Danzar is used in this channel."""
        self._asked.note(ctx.channel.id)
        if ctx.command is not None and ctx.command.qualified_name in _WATCHING:
            self._hint(self._eyes(), HintKind.WATCH)

    @commands.Cog.listener()
    async def on_voice_state_update(
        self, member: discord.Member, before: discord.VoiceState, after: discord.VoiceState
    ) -> None:
        """A person joins a voice channel."""
        if before.channel is None and after.channel is not None and not member.bot:
            self._hint((self._roles().chat,), HintKind.VOICE)

    def _eyes(self) -> tuple[str | None, ...]:
        roles = self._roles()
        return (roles.media, roles.detect, roles.rank, roles.read)

    def _hint(self, models: Iterable[str | None], kind: HintKind) -> None:
        for model in models:
            if model is not None:
                self._manager.hint(model, kind)


def _is_asked(message: discord.Message, me: discord.abc.User) -> bool:
    reference = message.reference.resolved if message.reference is not None else None
    replied = reference if isinstance(reference, discord.Message) else None
    return speaks_to(message, me, replied)


def _is_bot(user: discord.User | discord.Member | None) -> bool:
    return user is not None and user.bot
