"""A reply that grows in the channel while the model writes."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Literal

import discord

from cogs.buttons import Button, ButtonRow
from cogs.common import SAFE_MENTIONS, is_operator, render_error
from cogs.reply_outlet import DISCORD_TROUBLE, Extras, Outlet, Target
from cogs.reply_text import Draft, Failed, Stopped, render_draft
from danzar.chat.question import Answered, ChatEvent
from danzar.inference import OnPosition, Placed, QueuePlace
from danzar.workers.contract import TextDelta

__all__ = ["Ask", "Extras", "ReplySettings", "StreamedReply", "Target"]

log = logging.getLogger(__name__)

Ask = Callable[[OnPosition], AsyncGenerator[ChatEvent]]
Buttons = Literal["running", "ended", "expired"]

_TYPING_EVERY_S = 8.0
_DISCORD_TIMEOUT_S = 60.0
_MAX_FAILURES = 5
# A place in the queue is worth a message only if the wait lasts: the first message can't be
# edited again for a second.
_POSITION_GRACE_S = 0.7


@dataclass(frozen=True, slots=True)
class ReplySettings:
    """Who may press the buttons, and how often a message is edited.

    Attributes:
        edit_interval_s: At least 1.
        operator_role: Name of the role that may stop others' answers.
        buttons_s: How long the buttons work after the answer.
    """

    edit_interval_s: float
    operator_role: str
    buttons_s: float = 600.0


@dataclass(slots=True)
class _Shown:
    """One message and what it shows now."""

    message: discord.Message
    content: str
    buttons: Buttons | None


class StreamedReply:
    """One answer in one channel: ``await StreamedReply(message, author, settings).run(ask)``.

    One task reads the answer, one shows it: the newest text at most once per
    ``edit_interval_s``, the first text at once.
    """

    def __init__(
        self,
        target: Target,
        asker: discord.abc.User,
        settings: ReplySettings,
        extras: Extras | None = None,
    ) -> None:
        self._outlet = Outlet(target, extras or Extras())
        self._asker = asker
        self._settings = settings
        self._draft = Draft()
        self._shown: list[_Shown] = []
        self._view: ButtonRow | None = None
        self._ask: Ask | None = None
        self._reader: asyncio.Task[None] | None = None
        self._painter: asyncio.Task[None] | None = None
        self._group: asyncio.TaskGroup | None = None
        self._dirty = False
        self._quiet_until_s = 0.0
        self._failures = 0
        self._abandoned = False

    async def run(self, ask: Ask) -> Answered | None:
        """Show the answer as it comes. Errors are shown to the person, and ``None`` comes back.

        Args:
            ask: Starts the answer, e.g. ``lambda on_position: service.answer(question,
                on_position=on_position)``; called again when the person presses Regenerate.
        """
        self._ask = ask
        try:
            await self._outlet.open()
        except DISCORD_TROUBLE as exc:
            log.warning("a command could not be acknowledged: %s", exc)
            return None
        return await self._round(ask)

    async def _round(self, ask: Ask) -> Answered | None:
        """One answer from its first token to its end."""
        self._draft = Draft()
        self._failures = 0
        async with asyncio.TaskGroup() as group:
            self._group = group
            typing = group.create_task(self._keep_typing())
            self._reader = group.create_task(self._read(ask))
            if self._shown:
                self._touch()
            await asyncio.wait({self._reader})
            typing.cancel()
            self._touch()
        # The buttons keep this object for minutes: not with it what ran, and the caller's task.
        self._group = self._reader = self._painter = None
        return self._draft.end if isinstance(self._draft.end, Answered) else None

    # --- reading ---------------------------------------------------------------------------

    async def _read(self, ask: Ask) -> None:
        """Follow the answer to its end, whatever that is."""
        try:
            async with aclosing(ask(self._on_position)) as events:
                async for event in events:
                    self._take(event)
            if self._draft.end is None:
                self._end(Failed("⚠️ The model ended without an answer."))
        except asyncio.CancelledError:
            if not isinstance(self._draft.end, Stopped):
                raise
        except Exception as exc:  # noqa: BLE001 (the task's outermost edge; render_error logs a bug)
            self._end(Failed(render_error(exc)))

    def _take(self, event: ChatEvent) -> None:
        match event:
            case Placed():
                self._draft = replace(self._draft, place=None)
                if self._shown:
                    self._touch()
            case TextDelta(text):
                self._draft = replace(self._draft, text=self._draft.text + text, place=None)
                self._touch()
            case Answered():
                self._end(event)

    def _end(self, end: Answered | Stopped | Failed) -> None:
        self._draft = replace(self._draft, end=end)

    def _on_position(self, place: QueuePlace) -> None:
        starts_waiting = self._draft.place is None
        self._draft = replace(self._draft, place=place)
        if not starts_waiting or self._shown:
            self._touch_if_waiting()
        else:
            asyncio.get_running_loop().call_later(_POSITION_GRACE_S, self._touch_if_waiting)

    def _touch_if_waiting(self) -> None:
        waits = self._draft.place is not None and self._draft.end is None
        if waits and self._reader is not None and not self._reader.done():
            self._touch()

    async def _keep_typing(self) -> None:
        while True:
            await self._outlet.type()
            await asyncio.sleep(_TYPING_EVERY_S)

    # --- showing ---------------------------------------------------------------------------

    def _touch(self) -> None:
        """There is something new to show."""
        self._dirty = True
        if self._group is not None and (self._painter is None or self._painter.done()):
            self._painter = self._group.create_task(self._paint())

    async def _paint(self) -> None:
        loop = asyncio.get_running_loop()
        while self._dirty and not self._abandoned:
            await asyncio.sleep(self._quiet_until_s - loop.time())
            self._dirty = False
            await self._show()
            self._quiet_until_s = loop.time() + self._settings.edit_interval_s

    async def _show(self, buttons: Buttons | None = None) -> None:
        """Bring the channel up to date; a failed try is made again, a few times."""
        wanted = buttons or ("running" if self._draft.end is None else "ended")
        try:
            async with asyncio.timeout(_DISCORD_TIMEOUT_S):
                await self._sync(render_draft(self._draft), wanted)
            self._failures = 0
        except (discord.NotFound, discord.Forbidden) as exc:
            # The answer or its channel was deleted, or the bot was muted: nobody wants it.
            log.info("an answer is given up: %s", exc)
            self._abandon()
        except DISCORD_TROUBLE as exc:
            self._failures += 1
            log.warning("an answer could not be shown, try %d: %s", self._failures, exc)
            self._dirty = self._failures < _MAX_FAILURES

    async def _sync(self, contents: list[str], buttons: Buttons) -> None:
        """Edit what differs, send what is missing, delete what is too much."""
        last = len(contents) - 1
        for number, content in enumerate(contents):
            wanted = buttons if number == last else None
            if number < len(self._shown):
                await self._edit(self._shown[number], content, wanted)
            else:
                await self._send(content, wanted)
        while len(self._shown) > len(contents):
            await self._shown.pop().message.delete()

    async def _edit(self, shown: _Shown, content: str, buttons: Buttons | None) -> None:
        if (shown.content, shown.buttons) == (content, buttons):
            return
        view = self._fresh_view(buttons) if buttons != shown.buttons else self._view
        await shown.message.edit(
            content=content, view=view if buttons else None, allowed_mentions=SAFE_MENTIONS
        )
        shown.content, shown.buttons = content, buttons

    async def _send(self, content: str, buttons: Buttons | None) -> None:
        view = self._fresh_view(buttons) if buttons else None
        message = await self._outlet.send(content, view, first=not self._shown)
        self._shown.append(_Shown(message, content, buttons))

    # --- buttons ---------------------------------------------------------------------------

    def _fresh_view(self, buttons: Buttons | None) -> ButtonRow | None:
        """The buttons for a state, in place of those before."""
        if self._view is not None:
            self._view.stop()
        self._view = None if buttons is None else self._make_view(buttons)
        return self._view

    def _make_view(self, buttons: Buttons) -> ButtonRow:
        """Stop while the answer grows, Regenerate after it; both grey when their time is over."""
        stop = self._on_stop if buttons == "running" else None
        again = self._on_regenerate if buttons == "ended" else None
        lasting_s: dict[Buttons, float | None] = {
            "running": None,
            "ended": self._settings.buttons_s,
            "expired": 1.0,
        }
        return ButtonRow(
            [
                Button("Stop", stop, discord.ButtonStyle.danger),
                Button("Regenerate", again),
            ],
            may_press=self._may_press,
            on_expiry=self._on_expiry if buttons == "ended" else None,
            timeout_s=lasting_s[buttons],
        )

    def _may_press(self, user: discord.abc.User) -> bool:
        return user.id == self._asker.id or is_operator(user, self._settings.operator_role)

    async def _on_stop(self, interaction: discord.Interaction[Any]) -> None:
        self._stop()
        await interaction.response.defer()

    async def _on_regenerate(self, interaction: discord.Interaction[Any]) -> None:
        await interaction.response.defer()
        if self._ask is not None and self._reader is None:
            await self._round(self._ask)

    async def _on_expiry(self) -> None:
        if self._reader is None:
            await self._show("expired")

    def _stop(self) -> None:
        """End the answer here; closing the generator stops the computing."""
        if self._reader is not None and not self._reader.done() and self._draft.end is None:
            self._end(Stopped())
            self._reader.cancel()

    def _abandon(self) -> None:
        self._abandoned = True
        self._stop()
