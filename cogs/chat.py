"""Talking: mentions, replies and direct messages; ``reset`` and ``help``.

mypy can't infer the types of discord.py's hybrid decorators, hence the ``arg-type`` ignores.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Protocol

import discord
from discord.ext import commands

from cogs.admission import Admission
from cogs.chat_message import bot_roles, is_answer, is_picture, question_of, replied_to
from cogs.common import SAFE_MENTIONS, render_error
from cogs.reply import ReplySettings, StreamedReply, Target
from cogs.reply_outlet import DISCORD_TROUBLE
from danzar.chat.question import Question
from danzar.chat.service import ChatService
from danzar.chat.split import MESSAGE_LIMIT
from danzar.config.settings import Config

log = logging.getLogger(__name__)

_NO_VISION = "I can't look at pictures here: vision is switched off."
_CONVERSATION = (discord.MessageType.default, discord.MessageType.reply)


class PictureAsker(Protocol):
    """Whoever looks at pictures and answers about them (the vision cog)."""

    async def ask_about_pictures(
        self,
        target: Target,
        asker: discord.abc.User,
        pictures: Sequence[discord.Attachment],
        question: Question,
    ) -> None:
        """Answer ``target`` in the channel; errors are shown there too."""
        ...


class ChatCog(commands.Cog, name="Chat"):
    """Answers who speaks to the bot."""

    def __init__(
        self,
        bot: commands.Bot,
        chat: ChatService,
        config: Config,
        pictures: PictureAsker | None = None,
    ) -> None:
        """Make the cog; ``pictures`` is ``None`` where vision is switched off."""
        self._bot = bot
        self._chat = chat
        self._config = config.bot
        self._pictures = pictures
        self._admission = Admission()
        self._reply_settings = ReplySettings(
            edit_interval_s=config.bot.chat.edit_interval_s,
            operator_role=config.bot.discord.operator_role,
        )

    @commands.Cog.listener()
    async def on_message(self, message: discord.Message) -> None:
        me = self._bot.user
        if me is None or message.author.bot or message.type not in _CONVERSATION:
            return
        if await self._is_command(message):
            return
        replied = await replied_to(message)
        if not speaks_to(message, me, replied):
            return
        try:
            with self._admission.enter(message.author.id, message.channel.id):
                await self._answer(message, me, replied)
        except DISCORD_TROUBLE as exc:
            log.warning("a message was not answered: %s", exc)
        except Exception as exc:  # noqa: BLE001 (outermost edge; render_error logs a bug)
            await _say(message, render_error(exc))

    @commands.hybrid_command(description="Forget what was said in this channel")  # type: ignore[arg-type]
    async def reset(self, ctx: commands.Context[Any]) -> None:
        count = await self._chat.reset(ctx.channel.id, actor=str(ctx.author))
        await ctx.send(render_reset(count), allowed_mentions=SAFE_MENTIONS)

    @commands.hybrid_command(description="What I can do")  # type: ignore[arg-type]
    async def help(self, ctx: commands.Context[Any]) -> None:
        text = render_help(self._bot.commands, self._config.discord.command_prefix)
        await ctx.send(text, ephemeral=True, allowed_mentions=SAFE_MENTIONS)

    async def _is_command(self, message: discord.Message) -> bool:
        """Whether the words are for a command, be it a misspelt one."""
        if message.content.startswith(self._config.discord.command_prefix):
            return True
        return (await self._bot.get_context(message)).valid

    async def _answer(
        self, message: discord.Message, me: discord.ClientUser, replied: discord.Message | None
    ) -> None:
        pictures = pictures_of(message, me, replied)
        question = await question_of(
            message, me, replied, max_file_bytes=self._config.chat.text_attachment_max
        )
        if pictures and self._pictures is not None:
            await self._pictures.ask_about_pictures(message, message.author, pictures, question)
            return
        if pictures:
            question = replace(question, notes=(*question.notes, _NO_VISION))
        if not (question.text or question.files or question.quote):
            await _say(message, render_greeting(question, self._config.discord.command_prefix))
        else:
            reply = StreamedReply(message, message.author, self._reply_settings)
            await reply.run(
                lambda on_position: self._chat.answer(question, on_position=on_position)
            )


def speaks_to(
    message: discord.Message, me: discord.abc.User, replied: discord.Message | None
) -> bool:
    """Whether a message is meant for the bot: a DM, a mention, or a reply to it."""
    if message.guild is None:
        return True
    if any(user.id == me.id for user in message.mentions) or bot_roles(message, me):
        return True
    return replied is not None and replied.author.id == me.id


def pictures_of(
    message: discord.Message, me: discord.abc.User, replied: discord.Message | None
) -> list[discord.Attachment]:
    """The pictures that a message is about: its own, else those of what it replies to.

    A reply to an answer goes on with the conversation, which knows what was seen already.
    """
    own = [attachment for attachment in message.attachments if is_picture(attachment)]
    if own or replied is None or (replied.author.id == me.id and is_answer(replied)):
        return own
    return [attachment for attachment in replied.attachments if is_picture(attachment)]


def render_greeting(question: Question, prefix: str) -> str:
    """What to say to a message without a question."""
    if question.notes:
        return "\n".join(question.notes)
    return (
        "👋 Ask me something after my name, post a picture with a question, or reply to a message. "
        f"`{prefix}help` shows what else I can do."
    )


def render_reset(count: int) -> str:
    """What to say after forgetting ``count`` messages."""
    if count == 0:
        return "There was nothing to forget in this channel."
    return f"Forgotten: {count} messages of this channel. We start afresh."


def render_help(available: Iterable[commands.Command[Any, ..., Any]], prefix: str) -> str:
    """The commands, one short line each."""
    lines = [
        f"`{prefix}{command.qualified_name}` {command.description or command.short_doc}".rstrip()
        for command in _leaves(available)
        if not command.hidden
    ]
    intro = (
        "**Talk to me**: mention me, reply to me, or write me directly. "
        "Post a picture to ask about it.\n"
        f"**Commands** (with `{prefix}` or `/`):\n"
    )
    return (intro + "\n".join(sorted(lines)))[:MESSAGE_LIMIT]


def _leaves(
    available: Iterable[commands.Command[Any, ..., Any]],
) -> Iterable[commands.Command[Any, ..., Any]]:
    for command in available:
        if isinstance(command, commands.Group):
            yield from _leaves(command.commands)
        else:
            yield command


async def _say(message: discord.Message, text: str) -> None:
    """Answer with one plain message."""
    try:
        await message.channel.send(
            text,
            reference=message.to_reference(fail_if_not_exists=False),
            mention_author=False,
            allowed_mentions=SAFE_MENTIONS,
        )
    except DISCORD_TROUBLE as exc:
        log.warning("a message could not be sent: %s", exc)
