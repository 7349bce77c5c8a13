"""Pictures and videos from words: ``imagine`` and ``animate``.

mypy can't infer the types of discord.py's hybrid decorators, hence the ``arg-type`` ignores.
"""

import asyncio
import re
from dataclasses import replace
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from cogs.admission import Admission
from cogs.chat_message import names_in
from cogs.imagine_reply import Audit, PictureReply, ReplyRules
from cogs.imagine_rules import check_files, check_place
from cogs.reply_outlet import Target
from danzar.chat.text import with_names
from danzar.config.settings import Config
from danzar.pictures.asked import Asked, images, read_asked, video
from danzar.pictures.limits import PictureRequest
from danzar.pictures.service import Kind, PictureService
from danzar.pictures.sizes import Size, shapes
from danzar.workers.contract import GenerateImages

Context = commands.Context[Any]
_MOST_CHOICES = 25
_LEAVING_S = 5.0
# `!imagine video: a dragon`; without the colon it is a picture of a video game.
_VIDEO = re.compile(r"\s*video\s*:\s*", re.IGNORECASE)


class ImagineCog(commands.Cog, name="Imagine"):
    """Makes what people describe. Only people can ask: no model's words reach it."""

    def __init__(
        self, bot: commands.Bot, pictures: PictureService, config: Config, audit: Audit
    ) -> None:
        self._bot = bot
        self._pictures = pictures
        self._running: dict[PictureReply, asyncio.Task[None]] = {}
        rules = config.bot.imagine
        self._rules = rules
        self._admission = Admission(
            per_person=rules.per_person, per_channel=rules.per_channel, what="pictures"
        )
        self._reply_rules = ReplyRules(
            progress_interval_s=rules.progress_interval_s,
            preview_interval_s=rules.preview_interval_s,
            wait_for_room_s=rules.wait_for_room_s,
            max_side=rules.max_side,
            max_count=rules.max_count,
            operator_role=config.bot.discord.operator_role,
            again=self._press,
            audit=audit,
            max_pixels=None,
        )

    async def cog_unload(self) -> None:
        """Say under every picture that is being made that it will not come."""
        for reply in self._running:
            reply.stop("Danzar was stopped; ask again when it is back")
        if self._running:
            await asyncio.wait(self._running.values(), timeout=_LEAVING_S)

    @commands.hybrid_command(description="Make a picture from words")  # type: ignore[arg-type]
    @app_commands.describe(
        prompt="What shall be on it",
        size="768x512, 512, or a shape",
        seed="The same one makes the same picture again",
        steps="More take longer and look finer",
        negative="What shall not be on it",
        count="How many",
    )
    async def imagine(  # noqa: PLR0913 (the options of the slash command)
        self,
        ctx: Context,
        *,
        prompt: str,
        size: str | None = None,
        seed: int | None = None,
        steps: int | None = None,
        negative: str = "",
        count: int | None = None,
    ) -> None:
        match = _VIDEO.match(prompt) if ctx.interaction is None else None
        text = with_names(prompt[match.end() if match else 0 :], names_in(ctx.message))
        asked = read_asked(text, Asked("", negative, size, seed, steps, count))
        request: PictureRequest
        if match:
            sizes = await self._pictures.sizes("video")
            request = video(asked, sizes.base, sizes.max_frames)
        else:
            request = images(asked, (await self._pictures.sizes("imagine")).base)
        await self._start(ctx, ctx.author, request)

    @commands.hybrid_command(description="Make a short video from words")  # type: ignore[arg-type]
    @app_commands.describe(
        prompt="What shall happen in it",
        seconds="How long it is",
        size="832x480, or a shape",
        seed="The same one makes the same video again",
        steps="More take longer and look finer",
        negative="What shall not be in it",
    )
    async def animate(  # noqa: PLR0913 (the options of the slash command)
        self,
        ctx: Context,
        *,
        prompt: str,
        seconds: float | None = None,
        size: str | None = None,
        seed: int | None = None,
        steps: int | None = None,
        negative: str = "",
    ) -> None:
        text = with_names(prompt, names_in(ctx.message))
        asked = read_asked(text, Asked("", negative, size, seed, steps, seconds=seconds))
        sizes = await self._pictures.sizes("video")
        await self._start(ctx, ctx.author, video(asked, sizes.base, sizes.max_frames))

    @imagine.autocomplete("size")
    async def _sizes(self, _: discord.Interaction, current: str) -> list[app_commands.Choice[str]]:
        return size_choices((await self._pictures.sizes("imagine")).base, current)

    @animate.autocomplete("size")
    async def _video_sizes(
        self, _: discord.Interaction, current: str
    ) -> list[app_commands.Choice[str]]:
        return size_choices((await self._pictures.sizes("video")).base, current)

    @commands.Cog.listener()
    async def on_raw_message_delete(self, event: discord.RawMessageDeleteEvent) -> None:
        """Whoever deletes a picture that is being made does not want it: the worker is free."""
        for reply in self._running:
            if reply.message_id == event.message_id:
                reply.stop("given up")

    async def _press(self, interaction: discord.Interaction[Any], request: PictureRequest) -> None:
        """A button under a picture asks for another one, for whoever pressed it."""
        await self._start(interaction, interaction.user, request)

    async def _start(self, target: Target, user: discord.abc.User, request: PictureRequest) -> None:
        """Refuse what may not be, else make it.

        Raises:
            danzar.errors.DanzarError: It may not be asked for, here or at all, or too much is.
        """
        channel: Any = target.channel
        check_place(channel, user, self._rules)
        check_files(channel)
        self._pictures.check(request)
        with self._admission.enter(user.id, channel.id if channel is not None else 0):
            kind: Kind = "imagine" if isinstance(request, GenerateImages) else "video"
            most = (await self._pictures.sizes(kind)).max_pixels
            rules = replace(self._reply_rules, max_pixels=most)
            reply = PictureReply(target, user, self._pictures, rules, request)
            self._running[reply] = asyncio.create_task(reply.run())
            try:
                await self._running[reply]
            finally:
                del self._running[reply]


def size_choices(base: Size, current: str) -> list[app_commands.Choice[str]]:
    """Shapes of the model's own size that go with what was typed."""
    found: dict[str, str] = {}
    for name, size in shapes(base).items():
        found.setdefault(str(size), f"{name} {size}")
    typed = current.casefold().strip()
    return [
        app_commands.Choice(name=label, value=value)
        for value, label in found.items()
        if typed in label
    ][:_MOST_CHOICES]
