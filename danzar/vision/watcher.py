"""One watch: read frames, look at those that changed, and raise the profile's alerts."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace

from danzar.config.settings import Config
from danzar.core.asker import Asker
from danzar.errors import DanzarError
from danzar.inference import Inference, Outcome
from danzar.request_id import new_request_id, set_request_id
from danzar.vision.change import ChangeGate
from danzar.vision.newest import Arrived, NewestFrame
from danzar.vision.observations import Observation
from danzar.vision.rules import Evidence, RuleState, advance, is_undecided, judge
from danzar.vision.service import VisionService
from danzar.workers.contract import Capture, CaptureEnded, Frame

log = logging.getLogger(__name__)

# Even a still picture is looked at this often.
_FORCE_S = 5.0
# A source may first have to wait for its worker, and a slow one sends less than a frame a second.
_FIRST_FRAME_S = 120.0
_SILENCE_S = 30.0
_ERRORS_IN_A_ROW = 10
_DELIVERY_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Alert:
    """A rule that came true.

    Attributes:
        source: What is watched, without credentials.
        reading: What was measured (``health 34, below 40``).
        at_s: Seconds since the source's start.
        observation: What people are told of the frame.
        frame_jpeg: The annotated frame; ``None`` where drawing failed.
    """

    watch_id: int
    source: str
    rule: str
    message: str
    reading: str
    at_s: float
    observation: Observation
    frame_jpeg: bytes | None


@dataclass(frozen=True, slots=True)
class Ended:
    """A watch that ended by itself, and why. One that a person stopped sends none."""

    watch_id: int
    source: str
    reason: str


Listener = Callable[[Alert | Ended], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Starter:
    """Who started a watch: hears what it finds, and its frames wait in that person's turn."""

    listener: Listener
    asker: Asker


@dataclass(frozen=True, slots=True)
class WatchStatus:
    """One watch at one instant.

    Attributes:
        source: What is watched, without credentials.
        ended: Why it is over, or ``None`` while it runs.
        started_s: When it began, in the event loop's seconds.
        seen: Frames that came.
        skipped: Unchanged frames, not looked at.
        dropped: Frames replaced by a newer one while the models were busy.
        processed: Frames looked at.
        errors: Frames that no model could look at, and alerts that could not be posted.
        lag_s: Age of the last frame when its observation was ready; ``None`` before the first.
        last: What people are told of the last frame that was looked at.
    """

    id: int
    source: str
    started_s: float
    ended: str | None = None
    seen: int = 0
    skipped: int = 0
    dropped: int = 0
    processed: int = 0
    alerts: int = 0
    errors: int = 0
    last_error: str | None = None
    lag_s: float | None = None
    last: Observation | None = None


class Watcher:
    """One watch; ``run`` is its whole life. ``status`` may be read at any time."""

    def __init__(
        self,
        status: WatchStatus,
        capture: Capture,
        inference: Inference,
        vision: VisionService,
        config: Config,
        starter: Starter,
    ) -> None:
        self.status = status
        self.capture = capture
        self._inference = inference
        self._vision = vision
        self._media_model = config.models.use.media
        self._rules = config.active_profile.rules
        self._states = [RuleState() for _ in self._rules]
        self._listener = starter.listener
        self._asker = starter.asker
        self._newest = NewestFrame()
        self._errors_in_a_row = 0
        regions = tuple(field.region for field in config.active_profile.hud.values())
        self._gate = ChangeGate(config.bot.watch.unchanged_threshold, _FORCE_S, regions)

    async def run(self) -> None:
        """Watch until the source ends or this is cancelled; then say why."""
        try:
            async with self._vision.regular():
                reason = await self._watch()
        except asyncio.CancelledError:
            self._note(ended="stopped")
            raise
        except Exception:
            log.exception("watch failed id=%d source=%s", self.status.id, self.status.source)
            reason = "an error in Danzar itself; its log has the details"
        self._note(ended=reason)
        await self._deliver(Ended(self.status.id, self.status.source, reason))

    async def _watch(self) -> str:
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(self._read_frames(), name="watch-read")
            looking = group.create_task(self._look_at_frames(), name="watch-look")
            await asyncio.wait({reading, looking}, return_when=asyncio.FIRST_COMPLETED)
            if looking.done():
                reading.cancel()
            self._newest.close()
        gave_up = looking.result()
        return gave_up if gave_up is not None else reading.result()

    async def _read_frames(self) -> str:
        """Hand over frames until the source ends; returns why it did."""
        progress = self._inference.stream(self._media_model, self.capture, asker=self._asker)
        silence_s = _SILENCE_S + 3 / self.capture.processing_fps
        loop = asyncio.get_running_loop()
        try:
            async with (
                aclosing(progress),
                asyncio.timeout(_FIRST_FRAME_S + silence_s) as limit,
            ):
                async for item in progress:
                    limit.reschedule(loop.time() + silence_s)
                    if isinstance(item, Frame):
                        self._receive(item)
                    elif isinstance(item, Outcome):
                        return _why_ended(item)
        except TimeoutError:
            return f"no frame came for {silence_s:.0f} s"
        except DanzarError as error:
            return str(error)
        return "the source gave no reason"

    def _receive(self, frame: Frame) -> None:
        now_s = asyncio.get_running_loop().time()
        self._note(seen=self.status.seen + 1)
        # A rule that has begun to count wants the next frame, changed or not.
        undecided = any(map(is_undecided, self._states, self._rules))
        if not self._gate.admits(frame.picture, now_s) and not undecided:
            self._note(skipped=self.status.skipped + 1)
        elif self._newest.put(Arrived(frame, now_s)):
            self._note(dropped=self.status.dropped + 1)

    async def _look_at_frames(self) -> str | None:
        """Look at the newest frame again and again; returns why it gave up, if it did."""
        async with asyncio.TaskGroup() as deliveries:
            while (arrived := await self._newest.take()) is not None:
                try:
                    await self._look_at(arrived, deliveries)
                except DanzarError as error:
                    self._errors_in_a_row += 1
                    self._note(errors=self.status.errors + 1, last_error=str(error))
                    if self._errors_in_a_row >= _ERRORS_IN_A_ROW:
                        return f"{_ERRORS_IN_A_ROW} frames in a row failed, the last one: {error}"
                else:
                    self._errors_in_a_row = 0
        return None

    async def _look_at(self, arrived: Arrived, deliveries: asyncio.TaskGroup) -> None:
        set_request_id(new_request_id("w"))
        raw = await self._vision.observe_frame(arrived.frame.picture, self._asker)
        now_s = asyncio.get_running_loop().time()
        told = self._vision.tell(raw)
        self._note(processed=self.status.processed + 1, lag_s=now_s - arrived.arrived_s, last=told)
        for number, rule in enumerate(self._rules):
            evidence = judge(rule.when, raw)
            self._states[number], due = advance(self._states[number], rule, evidence.holds, now_s)
            if due:
                alert = await self._alert(number, evidence, arrived.frame, told)
                self._note(alerts=self.status.alerts + 1)
                deliveries.create_task(self._deliver(alert), name="watch-alert")

    async def _alert(
        self, number: int, evidence: Evidence, frame: Frame, told: Observation
    ) -> Alert:
        rule = self._rules[number]
        jpeg, _ = await self._vision.annotate(frame.picture, told, self._asker)
        return Alert(
            watch_id=self.status.id,
            source=self.status.source,
            rule=rule.name,
            message=rule.message,
            reading=evidence.reading,
            at_s=frame.at_s,
            observation=told,
            frame_jpeg=jpeg,
        )

    async def _deliver(self, event: Alert | Ended) -> None:
        try:
            async with asyncio.timeout(_DELIVERY_TIMEOUT_S):
                await self._listener(event)
        except Exception as error:
            log.exception("event not delivered watch=%d", self.status.id)
            self._note(errors=self.status.errors + 1, last_error=f"not posted: {error}")

    def _note(self, **changes: object) -> None:
        self.status = replace(self.status, **changes)  # type: ignore[arg-type]


def _why_ended(outcome: Outcome) -> str:
    if not isinstance(outcome.result, CaptureEnded):
        return f"the reader answered {type(outcome.result).__name__}"
    reason = outcome.result.reason
    return "the source has come to its end" if reason == "end" else f"the source failed: {reason}"
