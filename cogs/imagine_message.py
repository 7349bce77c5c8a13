"""The message that shows how a picture comes on: few edits, none lost, none after the end."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import discord

from cogs.common import SAFE_MENTIONS
from cogs.imagine_buttons import PictureButtons
from cogs.reply_outlet import DISCORD_TROUBLE, Extras, Outlet, Target

log = logging.getLogger(__name__)

_DISCORD_TIMEOUT_S = 60.0
_LAST_TRIES = 3
_TRY_AGAIN_S = 2.0
_LONGEST_ALT = 1000
# What one message may carry, whatever the channel's limit for one file is.
_MESSAGE_BYTES = 25 * 1024 * 1024

# A file's name and its bytes.
NamedBytes = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class Look:
    """What the message shall show.

    Attributes:
        view: Stays the same object as long as the buttons stay.
        files: Instead of those that are there; ``None`` leaves them.
        alt: What the files show, for those who can't see them.
    """

    content: str
    view: PictureButtons
    files: Sequence[NamedBytes] | None = None
    alt: str = ""


class PictureMessage:
    """One message: ``await send(look)``, then ``touch()`` whenever ``newest`` has changed.

    Edits are at least ``interval_s`` apart; the newest look is the one that is shown.
    """

    def __init__(
        self,
        target: Target,
        newest: Callable[[], Look],
        *,
        interval_s: float,
        on_gone: Callable[[], None],
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            target: What it answers.
            newest: What it shall show now.
            interval_s: Between edits.
            on_gone: Called when the message was deleted, or may not be edited any more.
        """
        self._target = target
        self._outlet = Outlet(target, Extras())
        self._newest = newest
        self._interval_s = interval_s
        self._on_gone = on_gone
        self._message: discord.Message | discord.PartialMessage | None = None
        self._shown: Look | None = None
        self._painter: asyncio.Task[None] | None = None
        self._dirty = False
        self._quiet_until_s = 0.0

    @property
    def message_id(self) -> int | None:
        """``None`` before it is sent."""
        return None if self._message is None else self._message.id

    async def send(self) -> bool:
        """Send it; whether that worked."""
        look = self._newest()
        try:
            await self._outlet.open()
            self._message = self._lasting(
                await self._outlet.send(look.content, look.view, first=True)
            )
        except DISCORD_TROUBLE as exc:
            log.warning("a picture was not begun, its message could not be sent: %s", exc)
            return False
        self._shown = look
        return True

    def touch(self, group: asyncio.TaskGroup) -> None:
        """There is something new to show."""
        self._dirty = True
        if self._painter is None or self._painter.done():
            self._painter = group.create_task(self._paint())

    async def end(self) -> None:
        """Show the last look, which must not be lost."""
        if self._painter is not None:
            self._painter.cancel()
            await asyncio.wait({self._painter})
        for attempt in range(1, _LAST_TRIES + 1):
            try:
                await self._edit()
            except (discord.NotFound, discord.Forbidden) as exc:
                log.info("a picture's message is gone: %s", exc)
                return
            except DISCORD_TROUBLE as exc:
                log.warning("a picture could not be shown, try %d: %s", attempt, exc)
                await asyncio.sleep(_TRY_AGAIN_S)
            else:
                return

    async def replace_buttons(self, view: PictureButtons) -> None:
        """Put other buttons under the last look; where that fails, don't."""
        try:
            if self._message is not None:
                await self._message.edit(view=view)
        except DISCORD_TROUBLE as exc:
            log.info("a picture's buttons could not be changed: %s", exc)

    def most_bytes(self) -> tuple[int, int]:
        """What one file, and all of them together, may have in this channel."""
        guild = self._target.guild
        one = guild.filesize_limit if guild else discord.utils.DEFAULT_FILE_SIZE_LIMIT_BYTES
        return one, max(one, _MESSAGE_BYTES)

    async def _paint(self) -> None:
        loop = asyncio.get_running_loop()
        while self._dirty:
            await asyncio.sleep(self._quiet_until_s - loop.time())
            self._dirty = False
            await self._show()
            self._quiet_until_s = loop.time() + self._interval_s

    async def _show(self) -> None:
        try:
            await self._edit()
        except (discord.NotFound, discord.Forbidden) as exc:
            # The message or its channel was deleted, or the bot was muted: nobody wants it.
            log.info("a picture is given up: %s", exc)
            self._on_gone()
        except DISCORD_TROUBLE as exc:
            log.warning("a picture's progress could not be shown: %s", exc)
            self._dirty = True

    async def _edit(self) -> None:
        look, shown = self._newest(), self._shown
        if self._message is None or shown is None:
            return
        changes: dict[str, Any] = {}
        if look.content != shown.content:
            changes["content"] = look.content
        if look.view is not shown.view:
            changes["view"] = look.view
        if look.files is not None:
            changes["attachments"] = [_file(name, data, look.alt) for name, data in look.files]
        if not changes:
            return
        async with asyncio.timeout(_DISCORD_TIMEOUT_S):
            await self._message.edit(allowed_mentions=SAFE_MENTIONS, **changes)
        if look.view is not shown.view:
            shown.view.stop()
        self._shown = look

    def _lasting(self, sent: discord.Message) -> discord.Message | discord.PartialMessage:
        """The message as the bot itself edits it: an interaction may for 15 minutes only."""
        target = self._target
        if isinstance(target, discord.Interaction) and target.is_guild_integration():
            channel = target.channel
            if isinstance(channel, discord.TextChannel | discord.Thread | discord.VoiceChannel):
                return channel.get_partial_message(sent.id)
        return sent


def _file(name: str, data: bytes, alt: str) -> discord.File:
    return discord.File(BytesIO(data), name, description=alt[:_LONGEST_ALT] or None)
