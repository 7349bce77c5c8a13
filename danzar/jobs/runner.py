"""One job, from its start on this machine to what became of it."""

import asyncio
import logging
import time
from contextlib import aclosing
from dataclasses import dataclass

from danzar.config.jobs import JobsConfig
from danzar.core.asker import Asker, RequestClass
from danzar.errors import Cancelled, DanzarError
from danzar.inference import Inference, Outcome, Placed
from danzar.jobs.board import Board
from danzar.jobs.contract import JobOutput, JobState
from danzar.jobs.order import GiveUp, Tries, TryAgain, after_failure, too_often
from danzar.jobs.parts import PartsOut
from danzar.jobs.record import Ending, Taken, pack
from danzar.request_id import request
from danzar.units import format_size
from danzar.workers.contract import Result, StepDone, TextDelta

log = logging.getLogger(__name__)

_NOTE_EVERY_S = 1.0


class _TooLarge(DanzarError):
    """The result is larger than the owner of the machine allows."""


@dataclass(slots=True)
class _Answer:
    """What has come of a job so far."""

    text: list[str]
    size_bytes: int = 0
    result: Result | None = None


class Runner:
    """Asks this machine's models for jobs."""

    def __init__(self, inference: Inference, board: Board, config: JobsConfig) -> None:
        self._inference = inference
        self._board = board
        self._config = config

    async def run(self, taken: Taken) -> Ending | TryAgain:
        """Compute the job. Cancelling this stops the computing, and decides nothing."""
        with request("j", taken.record.job_id):
            return await self._run(taken)

    async def _run(self, taken: Taken) -> Ending | TryAgain:
        reason = too_often(taken.attempt, taken.record.request.max_attempts)
        if reason is not None:
            return Ending(JobState.FAILED, reason)
        deadline_at = taken.record.deadline_at
        left_s = None if deadline_at is None else deadline_at - time.time()
        clock = asyncio.timeout(left_s)
        try:
            async with clock:
                return await self._answer(taken)
        except Cancelled as exc:
            return Ending(JobState.CANCELLED, str(exc))
        except Exception as exc:  # noqa: BLE001 - the outermost edge of a job; logged in _after
            if isinstance(exc, TimeoutError) and clock.expired():
                return late(taken.record.request.deadline_s)
            return self._after(exc, taken)

    def _after(self, error: Exception, taken: Taken) -> Ending | TryAgain:
        if not isinstance(error, DanzarError):
            log.error("job %s broke", taken.record.job_id, exc_info=error)
        tries = Tries(
            taken.attempt,
            taken.record.request.max_attempts,
            time.time() - taken.record.submitted_at,
            self._config.retry_delay_s,
            self._config.place_wait_s,
        )
        match after_failure(error, tries):
            case GiveUp(reason=reason):
                return Ending(JobState.FAILED, reason)
            case TryAgain() as again:
                log.info("job %s starts again later: %s", taken.record.job_id, error)
                return again

    async def _answer(self, taken: Taken) -> Ending:
        parts = PartsOut(self._board, taken)
        async with parts.sending():
            answer = await self._compute(taken, parts)
        if answer.result is None:
            return Ending(JobState.FAILED, "The model gave no result.", news=parts.left())
        if getattr(answer.result, "finish_reason", None) == "cancelled":
            text = "It was stopped while it ran."
            return Ending(JobState.CANCELLED, text, news=parts.left())
        output = pack(JobOutput("".join(answer.text), answer.result))
        self._check_size(len(output))
        return Ending(JobState.COMPLETED, output=output, news=parts.left())

    async def _compute(self, taken: Taken, parts: PartsOut) -> _Answer:
        request = taken.record.request
        asker = Asker(RequestClass.JOB, person=request.owner)
        answer = _Answer([])
        noted_s = 0.0
        async with aclosing(self._inference.stream(request.model, request.work, asker=asker)) as s:
            async for event in s:
                match event:
                    case Placed():
                        parts.note(_placed(event))
                    case Outcome():
                        answer.result = event.result
                    case _:
                        parts.add(event)
                        self._collect(answer, event)
                        now_s = time.monotonic()
                        if isinstance(event, StepDone) and now_s - noted_s > _NOTE_EVERY_S:
                            noted_s = now_s
                            parts.note({"progress": f"{event.step / event.steps:.3f}"})
        return answer

    def _collect(self, answer: _Answer, part: object) -> None:
        if isinstance(part, TextDelta):
            answer.text.append(part.text)
            answer.size_bytes += len(part.text)
            self._check_size(answer.size_bytes)

    def _check_size(self, size_bytes: int) -> None:
        limit = self._config.max_result
        if size_bytes > limit:
            text = f"Its result is larger than jobs.max_result ({format_size(limit)})."
            raise _TooLarge(text)


def late(deadline_s: float | None) -> Ending:
    """How a job ends whose deadline is over."""
    within = "" if deadline_s is None else f" of {deadline_s:g} s"
    return Ending(JobState.FAILED, f"It had not ended within its deadline{within}.")


def _placed(placed: Placed) -> dict[str, str]:
    facts = {"device": placed.device_text}
    return facts if placed.degraded is None else facts | {"degraded": placed.degraded}
