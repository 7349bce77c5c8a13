"""Pictures in the channel: ``see``, "Ask Danzar", and pictures that come with a question.

mypy can't infer the types of discord.py's hybrid decorators, hence the ``arg-type`` ignores.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import PurePath
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from cogs.admission import Admission
from cogs.chat_message import is_picture, names_in, replied_to
from cogs.common import SAFE_MENTIONS, describe_error
from cogs.reply import ReplySettings, StreamedReply, Target
from cogs.reply_outlet import DISCORD_TROUBLE, Extras, Outlet
from cogs.reply_text import FOOTER_MARK
from cogs.vision_modal import AskModal
from cogs.vision_render import (
    Look,
    Looked,
    Wording,
    inert,
    refusal,
    render_embed,
    render_facts,
    render_failures,
)
from danzar.chat.question import ChatEvent, Question
from danzar.chat.service import ChatService
from danzar.chat.text import with_names
from danzar.config.settings import Config
from danzar.core.asker import Asker, RequestClass
from danzar.errors import DanzarError
from danzar.inference import OnPosition, Placed
from danzar.units import format_size
from danzar.vision.facts import measured_answer
from danzar.vision.gate import FairGate
from danzar.vision.service import Seen, VisionService
from danzar.workers.contract import TextDelta

log = logging.getLogger(__name__)

_DOWNLOAD_TIMEOUT_S = 30.0
_TYPING_EVERY_S = 8.0
# Each holds a file of up to max_bytes in the bot's process.
_PICTURES_AT_ONCE = 4
_NO_PICTURE = (
    "There is no picture to look at. Attach one, or reply to a message that has one; "
    "with the slash command, choose it as `image`."
)


@dataclass(frozen=True, slots=True)
class _Result:
    """What became of one picture; ``file`` is the annotated one."""

    look: Look
    file: discord.File | None = None


class VisionCog(commands.Cog, name="Vision"):
    """Looks at pictures and answers about them."""

    def __init__(
        self,
        bot: commands.Bot,
        vision: VisionService,
        chat: ChatService,
        config: Config,
    ) -> None:
        self._bot = bot
        self._vision = vision
        self._chat = chat
        self._config = config
        self._wording = Wording.of(config.active_profile)
        self._admission = Admission()
        self._downloads = FairGate(_PICTURES_AT_ONCE)
        self._menu = app_commands.ContextMenu(name="Ask Danzar", callback=self._on_menu)
        self._reply_settings = ReplySettings(
            edit_interval_s=config.bot.chat.edit_interval_s,
            operator_role=config.bot.discord.operator_role,
        )

    async def cog_load(self) -> None:
        self._bot.tree.add_command(self._menu)

    async def cog_unload(self) -> None:
        self._bot.tree.remove_command(self._menu.name, type=self._menu.type)

    @commands.hybrid_command(description="Look at a picture and answer about it")  # type: ignore[arg-type]
    @app_commands.describe(image="The picture", question="What you want to know")
    async def see(
        self,
        ctx: commands.Context[Any],
        image: discord.Attachment | None = None,
        *,
        question: str = "",
    ) -> None:
        pictures = await _pictures_of(ctx, image)
        if not pictures:
            await ctx.send(_NO_PICTURE, ephemeral=True, allowed_mentions=SAFE_MENTIONS)
            return
        source = ctx.interaction or ctx.message
        text = with_names(question, names_in(ctx.message)).strip()
        asked = _question(ctx.channel.id, source.id, ctx.author, text)
        with self._admission.enter(ctx.author.id, ctx.channel.id):
            await self.ask_about_pictures(ctx, ctx.author, pictures, asked)

    async def ask_about_pictures(
        self,
        target: Target,
        asker: discord.abc.User,
        pictures: Sequence[discord.Attachment],
        question: Question,
    ) -> None:
        """Look at the pictures and answer ``target`` in the channel; errors are shown there too.

        ``question`` is what a chat without pictures would ask; its facts are filled in here. An
        empty text asks what is to be seen.
        """
        outlet = Outlet(target, Extras())
        await outlet.open()
        limit = self._config.bot.pictures.max_per_message
        left_out = [picture.filename for picture in pictures[limit:]]
        async with _typing(outlet):
            results = await self._look_at_all(pictures[:limit], question.person)
        looks = [result.look for result in results]
        if not any(isinstance(look, Looked) for look in looks):
            await outlet.send(render_failures(looks), None, first=True)
            return
        embed = render_embed(looks, self._wording, left_out)
        files = tuple(result.file for result in results if result.file is not None)
        if len(files) == 1:
            embed.set_image(url=f"attachment://{files[0].filename}")
        seen = replace(question, facts=render_facts(looks, self._wording, question.text))
        await self._answer(target, asker, Extras(embed, files), seen)

    async def _answer(
        self, target: Target, asker: discord.abc.User, extras: Extras, question: Question
    ) -> None:
        if self._config.models.use.chat is None:
            note = f"{FOOTER_MARK}No chat model is chosen, so this is what was measured."
            await Outlet(target, extras).send(note, None, first=True)
            return
        measured = measured_answer(question.facts, question.text)
        lead = f"📏 {inert(measured)}\n\n" if measured else None

        def ask(on_position: OnPosition) -> AsyncGenerator[ChatEvent]:
            return _after(lead, self._chat.answer(question, on_position=on_position))

        await StreamedReply(target, asker, self._reply_settings, extras).run(ask)

    async def _look_at_all(
        self, pictures: Sequence[discord.Attachment], person: str | None
    ) -> list[_Result]:
        """Look at them at once, so that the models get them in one batch."""
        asker = Asker(RequestClass.VISION, person)
        async with asyncio.TaskGroup() as group:
            looking = [group.create_task(self._look_at(picture, asker)) for picture in pictures]
        return [task.result() for task in looking]

    async def _look_at(self, picture: discord.Attachment, asker: Asker) -> _Result:
        """Look at one picture; whatever is wrong with it stays its own."""
        name = picture.filename
        limit = self._config.bot.pictures.max_bytes
        if picture.size > limit:
            size = f"it has {format_size(picture.size)}, and I look at {format_size(limit)} at most"
            return _Result(refusal(name, f"{size}."))
        try:
            async with self._downloads.enter(asker):
                async with asyncio.timeout(_DOWNLOAD_TIMEOUT_S):
                    data = await picture.read()
                seen = await self._vision.observe(data, asker)
        except DISCORD_TROUBLE as error:
            log.info("a picture could not be downloaded: %s", error)
            return _Result(refusal(name, "I could not download it. Post it again."))
        except DanzarError as error:
            return _Result(refusal(name, str(error)))
        except Exception as error:
            log.exception("looking at a picture failed")
            return _Result(refusal(name, describe_error(error) or "something went wrong."))
        return _Result(Looked(name, seen.observation), _annotated(name, seen))

    async def _on_menu(self, interaction: discord.Interaction, message: discord.Message) -> None:
        """Ask back what the person wants to know of a message's pictures."""
        pictures = [attached for attached in message.attachments if is_picture(attached)]
        if not pictures:
            text = "That message has no picture that I could look at."
            await interaction.response.send_message(text, ephemeral=True)
            return

        async def ask(submitted: discord.Interaction, text: str) -> None:
            await self._on_question(submitted, pictures, text)

        await interaction.response.send_modal(AskModal(ask))

    async def _on_question(
        self, interaction: discord.Interaction, pictures: Sequence[discord.Attachment], text: str
    ) -> None:
        user, channel_id = interaction.user, interaction.channel_id or 0
        question = _question(channel_id, interaction.id, user, text)
        with self._admission.enter(user.id, channel_id):
            await self.ask_about_pictures(interaction, user, pictures, question)


async def _after(lead: str | None, answer: AsyncGenerator[ChatEvent]) -> AsyncGenerator[ChatEvent]:
    """The model's answer with what was measured before it, shown as soon as the model begins.

    A request that is asked again is placed again: the lead comes once.
    """
    async with aclosing(answer) as events:
        async for event in events:
            yield event
            if lead is not None and isinstance(event, Placed):
                yield TextDelta(lead)
                lead = None


def _question(channel_id: int, message_id: int, user: discord.abc.User, text: str) -> Question:
    return Question(channel_id, message_id, user.display_name, text, person=str(user.id))


@asynccontextmanager
async def _typing(outlet: Outlet) -> AsyncIterator[None]:
    """Inside, the channel shows that the bot is typing."""

    async def keep_typing() -> None:
        while True:
            await outlet.type()
            await asyncio.sleep(_TYPING_EVERY_S)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(keep_typing())
        try:
            yield
        finally:
            task.cancel()


async def _pictures_of(
    ctx: commands.Context[Any], image: discord.Attachment | None
) -> list[discord.Attachment]:
    """What is to be looked at: the option, the message's own pictures, or the replied-to one's."""
    if ctx.interaction is not None:
        return [image] if image is not None else []
    if ctx.message.attachments:
        return list(ctx.message.attachments)
    replied = await replied_to(ctx.message)
    attached = replied.attachments if replied is not None else []
    return [attachment for attachment in attached if is_picture(attachment)]


def _annotated(name: str, seen: Seen) -> discord.File | None:
    if seen.annotated_jpeg is None:
        return None
    stem = "".join(char for char in PurePath(name).stem if char.isalnum() or char in "-_")
    return discord.File(BytesIO(seen.annotated_jpeg), f"seen-{stem[:40] or 'picture'}.jpg")
