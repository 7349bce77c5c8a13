"""One request for a picture: asked about room, followed to the file, with buttons all the way."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Literal

import discord
import msgspec

from cogs.buttons import Button, Press
from cogs.common import actor_name, is_operator, render_error
from cogs.imagine_buttons import PictureButtons
from cogs.imagine_message import Look, NamedBytes, PictureMessage
from cogs.imagine_render import (
    Ended,
    Failed,
    Looking,
    Phase,
    Queued,
    Stopped,
    WaitingForRoom,
    Working,
    render,
)
from cogs.reply_outlet import Target
from danzar.core.asker import Asker, RequestClass
from danzar.inference import Placed, QueuePlace
from danzar.pictures.limits import PictureRequest
from danzar.pictures.made import File, Made
from danzar.pictures.png import as_file
from danzar.pictures.progress import Steps, after
from danzar.pictures.room import NoRoom, Run, Smaller
from danzar.pictures.service import PictureService
from danzar.pictures.sizes import Size, larger, smaller
from danzar.workers.contract import GenerateImages, Picture, StepDone

Answer = Literal["smaller", "wait", "cancel"]
Again = Callable[[discord.Interaction[Any], PictureRequest], Awaitable[None]]
Audit = Callable[[str, str, str], Awaitable[None]]

_ANSWER_S = 120.0
_BUTTONS_S = 900.0


@dataclass(frozen=True, slots=True)
class ReplyRules:
    """How a picture's message behaves.

    Attributes:
        progress_interval_s: Between edits.
        preview_interval_s: Between previews; ``None`` shows none.
        wait_for_room_s: How long Wait waits.
        max_side: The longest side that the buttons ask for.
        max_count: The most variations that they ask for.
        operator_role: Name of the role that may stop others' pictures.
        again: Starts another request, for whoever pressed a button.
        audit: Notes what operators do.
        max_pixels: The most that the model has room for; ``None`` unknown.
    """

    progress_interval_s: float
    preview_interval_s: float | None
    wait_for_room_s: float
    max_side: int
    max_count: int
    operator_role: str
    again: Again
    audit: Audit
    max_pixels: int | None


class PictureReply:
    """One request in one message: ``await PictureReply(...).run()``."""

    def __init__(
        self,
        target: Target,
        asker: discord.abc.User,
        service: PictureService,
        rules: ReplyRules,
        request: PictureRequest,
    ) -> None:
        self._asker = asker
        self._service = service
        self._rules = rules
        self._request = request
        self._phase: Phase = Looking()
        self._view = self._stop_button()
        self._message = PictureMessage(
            target,
            self._look,
            interval_s=rules.progress_interval_s,
            on_gone=lambda: self.stop("given up"),
        )
        self._steps: Steps | None = None
        self._preview: Picture | None = None
        self._preview_at_s = -math.inf
        self._answer: Answer = "cancel"
        self._group: asyncio.TaskGroup | None = None
        self._work: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Make it and show it. Errors are shown to the person."""
        if not await self._message.send():
            return
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._work = group.create_task(self._follow())
            await asyncio.wait({self._work})
            if isinstance(self._phase, Ended):
                self._phase = self._within_limits(self._phase.made)
            self._view = self._end_buttons()
            await self._message.end()

    @property
    def message_id(self) -> int | None:
        """Of the message that shows it; ``None`` before it is sent."""
        return self._message.message_id

    def stop(self, why: str) -> None:
        """End it here; closing the generator stops the computing."""
        if self._work is not None and not self._work.done():
            self._turn(Stopped(why))
            self._work.cancel()

    # --- following -------------------------------------------------------------------------

    async def _follow(self) -> None:
        """From the question for room to the file, or whatever else the end is."""
        try:
            run = await self._find_room()
            if run is not None:
                await self._make(run)
        except asyncio.CancelledError:
            if not isinstance(self._phase, Stopped):
                raise
        except Exception as exc:  # noqa: BLE001 (the task's outermost edge; render_error logs a bug)
            self._turn(Failed(render_error(exc)))

    async def _find_room(self) -> Run | None:
        """What may run; ``None``: nothing, and the message says why."""
        decision = await self._service.decide(self._request)
        if isinstance(decision, Run):
            return decision
        match await self._ask(decision):
            case "smaller" if isinstance(decision, Smaller):
                return decision.run
            case "wait":
                return await self._wait()
            case _:
                self._turn(Stopped("nothing was made"))
                return None

    async def _ask(self, decision: Smaller | NoRoom) -> Answer:
        """Let the person choose; no answer is an answer, too."""
        question = self._question(decision)
        self._view = question
        self._turn(decision)
        await question.wait()
        self._view = self._stop_button()
        return self._answer

    async def _wait(self) -> Run | None:
        self._turn(WaitingForRoom(self._rules.wait_for_room_s))
        run = await self._service.wait_for_room(self._request)
        if run is None:
            self._turn(Stopped("there was no room in all that time; nothing was made"))
        return run

    async def _make(self, run: Run) -> None:
        self._request = run.request
        self._turn(Queued())
        asker = Asker(RequestClass.PICTURE, str(self._asker.id))
        async with aclosing(self._service.make(run, asker, self._on_position)) as events:
            async for event in events:
                match event:
                    case Placed():
                        self._steps = None
                        self._turn(Working(event))
                    case StepDone():
                        self._on_step(event)
                    case Made():
                        self._turn(Ended(event))

    def _on_position(self, place: QueuePlace) -> None:
        if isinstance(self._phase, Queued):
            self._turn(Queued(place))

    def _on_step(self, step: StepDone) -> None:
        if not isinstance(self._phase, Working):
            return
        now_s = asyncio.get_running_loop().time()
        self._steps = after(self._steps, step.step, step.steps, now_s)
        self._preview = step.preview or self._preview
        self._turn(Working(self._phase.placed, self._steps))

    def _turn(self, phase: Phase) -> None:
        """From now on it stands like this; an end stays the end."""
        if isinstance(self._phase, Stopped | Failed | Ended):
            return
        self._phase = phase
        if self._group is not None and not isinstance(phase, Stopped | Failed | Ended):
            self._message.touch(self._group)

    # --- showing ---------------------------------------------------------------------------

    def _look(self) -> Look:
        content = render(self._request, self._phase)
        if isinstance(self._phase, Stopped | Failed | Ended):
            return Look(content, self._view, self._files(), self._request.prompt)
        return Look(content, self._view, self._next_preview())

    def _next_preview(self) -> list[NamedBytes] | None:
        """The newest preview, where it is time for one."""
        interval_s, now_s = self._rules.preview_interval_s, asyncio.get_running_loop().time()
        if interval_s is None or self._preview is None or now_s - self._preview_at_s < interval_s:
            return None
        data, ending = as_file(self._preview)
        self._preview, self._preview_at_s = None, now_s
        return [(f"preview.{ending}", data)]

    def _files(self) -> list[NamedBytes]:
        if not isinstance(self._phase, Ended):
            return []
        left_out = self._phase.left_out
        return [(file.name, file.data) for file in self._phase.made.files if file not in left_out]

    def _within_limits(self, made: Made) -> Ended:
        """Without the files that the channel does not take."""
        one, room = self._message.most_bytes()
        left_out: list[File] = []
        for file in made.files:
            if len(file.data) > min(one, room):
                left_out.append(file)
            else:
                room -= len(file.data)
        return Ended(made, tuple(left_out))

    # --- buttons ---------------------------------------------------------------------------

    def _stop_button(self) -> PictureButtons:
        stop = Button("Stop", self._on_stop, discord.ButtonStyle.danger)
        return PictureButtons([stop], may_press=self._may_press)

    def _question(self, decision: Smaller | NoRoom) -> PictureButtons:
        buttons = [Button("Cancel", self._answers("cancel"))]
        if isinstance(decision, NoRoom) or decision.for_now:
            buttons.insert(0, Button("Wait", self._answers("wait")))
        if isinstance(decision, Smaller):
            style = discord.ButtonStyle.primary
            buttons.insert(0, Button("Make it smaller", self._answers("smaller"), style))
        return PictureButtons(buttons, may_press=self._may_press, timeout_s=_ANSWER_S)

    def _end_buttons(self) -> PictureButtons:
        view = PictureButtons(
            [Button(label, self._asks(request)) for label, request in self._next_requests()],
            on_expiry=self._on_expiry,
            timeout_s=_BUTTONS_S,
        )
        if self._is_made and isinstance(self._request_made, GenerateImages):
            view.add_counts(self._rules.max_count, self._on_variations)
        return view

    def _next_requests(self) -> list[tuple[str, PictureRequest | None]]:
        """What the buttons at the end ask for; ``None`` is not possible."""
        request = self._request_made
        again: tuple[str, PictureRequest] = ("Again", msgspec.structs.replace(request, seed=None))
        if not self._is_made:
            return [again]
        size, rules = Size(request.width, request.height), self._rules
        return [
            again,
            ("Same seed, larger", _sized(request, larger(size, rules.max_side, rules.max_pixels))),
            ("Same seed, smaller", _sized(request, smaller(size))),
        ]

    @property
    def _is_made(self) -> bool:
        return isinstance(self._phase, Ended) and bool(self._phase.made.files)

    @property
    def _request_made(self) -> PictureRequest:
        """As it was carried out, seed included; as it was asked, where it was not."""
        return self._phase.made.request if isinstance(self._phase, Ended) else self._request

    def _asks(self, request: PictureRequest | None) -> Press | None:
        if request is None:
            return None

        async def press(interaction: discord.Interaction[Any]) -> None:
            await self._rules.again(interaction, request)

        return press

    def _answers(self, answer: Answer) -> Press:
        async def press(interaction: discord.Interaction[Any]) -> None:
            self._answer = answer
            question = self._view
            await interaction.response.defer()
            question.stop()

        return press

    async def _on_variations(self, interaction: discord.Interaction[Any], count: int) -> None:
        wanted = msgspec.structs.replace(self._request_made, seed=None, count=count)
        await self._rules.again(interaction, wanted)

    async def _on_stop(self, interaction: discord.Interaction[Any]) -> None:
        self.stop("stopped")
        await interaction.response.defer()
        if interaction.user.id != self._asker.id:
            actor, whose = actor_name(interaction.user), actor_name(self._asker)
            await self._rules.audit(actor, "imagine stop", f"of {whose}")

    async def _on_expiry(self) -> None:
        labels = [label for label, _ in self._next_requests()]
        await self._message.replace_buttons(
            PictureButtons([Button(label, None) for label in labels], timeout_s=1.0)
        )

    def _may_press(self, user: discord.abc.User) -> bool:
        return user.id == self._asker.id or is_operator(user, self._rules.operator_role)


def _sized(request: PictureRequest, size: Size | None) -> PictureRequest | None:
    if size is None:
        return None
    return msgspec.structs.replace(request, width=size.width, height=size.height)
