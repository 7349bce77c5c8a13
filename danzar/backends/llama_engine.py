"""Computes the answers of several people together: one thread owns llama.cpp's context.

Each step is one ``llama_decode`` with the next word of every running answer and, as far as the pace
allows it, a piece of the prompts of those that have just come. A request joins at the next step.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import llama_cpp

from danzar.backends.llama_answer import Answer, FinishReason
from danzar.backends.llama_batch import Batch, PromptPace, shares
from danzar.backends.llama_memory import KvMemory
from danzar.backends.llama_native import NativeModel
from danzar.errors import BackendFailed, OutOfMemory

log = logging.getLogger(__name__)

# A step that takes longer than this is asked within whether anybody still waits for it.
_SLOW_STEP_S: Final = 0.05
_DONE, _NO_PLACE, _ABORTED, _NO_MEMORY = 0, 1, 2, -2


class Engine:
    """The thread, and the answers on their way."""

    def __init__(self, native: NativeModel, memory: KvMemory) -> None:
        """Start the thread. ``native`` and ``memory`` belong to it from now on."""
        self._native = native
        self._memory = memory
        self._endings = native.ending_tokens()
        self._batch = Batch(native.n_batch)
        self._pace = PromptPace(native.n_batch)
        self._abort = _AbortSwitch(native.context, self._nobody_waits)
        self._incoming: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()
        self._waiting: list[Answer] = []
        self._running: list[Answer] = []
        self._step_s = 0.0
        self._closed = False
        self._thread = threading.Thread(target=self._live, name="llama-engine", daemon=True)
        self._thread.start()

    def submit(self, answer: Answer) -> None:
        """Compute an answer; it hears of its end in any case. For any thread."""
        self._incoming.put(answer)

    @property
    def cached_bytes(self) -> int:
        """Host RAM of the conversations that wait. For any thread."""
        return self._memory.store.size_bytes

    def close(self) -> None:
        """End what runs, and the thread."""
        self._incoming.put(None)
        self._thread.join()
        self._abort.disarm()
        self._batch.close()

    # --- the thread ----------------------------------------------------------------------------

    def _live(self) -> None:
        while True:
            self._hear()
            if self._closed:
                break
            try:
                self._step()
            except Exception as exc:
                log.exception("a step of the chat model failed")
                self._fail_all(BackendFailed(f"The chat model could not go on: {exc}"))
        self._fail_all(BackendFailed("The chat model was unloaded."))

    def _hear(self) -> None:
        """Take in what has come; wait where there is nothing to do."""
        while not self._closed:
            idle = not (self._running or self._waiting)
            if not idle and self._incoming.empty():
                return
            answer = self._incoming.get()
            if answer is None:
                self._closed = True
            else:
                self._waiting.append(answer)

    def _step(self) -> None:
        self._drop_cancelled()
        self._seat_waiting()
        if not self._running:
            return
        wanted, prompt_tokens = self._compose()
        started_s = time.monotonic()
        code = self._decode(prompt_tokens)
        now_s = time.monotonic()
        self._step_s = now_s - started_s
        if code != _DONE:
            self._recover(code)
            return
        self._pace.note(prompt_tokens, self._step_s)
        for answer, place in wanted:
            self._choose(answer, place, now_s)

    def _drop_cancelled(self) -> None:
        for answer in [*self._running, *self._waiting]:
            if answer.is_cancelled():
                self._end(answer, "cancelled")

    def _seat_waiting(self) -> None:
        while self._waiting:
            answer = self._waiting[0]
            seat = self._memory.take(answer.prompt, answer.conversation)
            if seat is None:
                return
            answer.seat, answer.reused = seat, len(seat.tokens)
            self._running.append(self._waiting.pop(0))

    def _compose(self) -> tuple[list[tuple[Answer, int]], int]:
        """Fill the batch; whose next word is asked for at which place, and tokens of prompts."""
        self._batch.clear()
        # llama.cpp puts sequences into one computation that come in rising order.
        running = sorted(self._running, key=_sequence)
        left = [answer.prompt_left for answer in running]
        answering = left.count(0)
        room = min(self._pace.tokens(others_answer=answering > 0), self._native.n_batch - answering)
        wanted: list[tuple[Answer, int]] = []
        given = shares(left, room) if answering < len(running) else left
        for answer, count in zip(running, given, strict=True):
            place = self._add(answer, count)
            if place is not None:
                wanted.append((answer, place))
        return wanted, sum(given)

    def _add(self, answer: Answer, prompt_tokens: int) -> int | None:
        """An answer's part of the batch; where its next word will be, if it comes to that."""
        seat, batch = answer.seat, self._batch
        if seat is None:
            raise AssertionError("an answer without a seat runs")
        if answer.next_token is not None:
            place = batch.add(answer.next_token, len(seat.tokens), seat.number, wanted=True)
            seat.tokens.append(answer.next_token)
            return place
        first = len(seat.tokens)
        piece = answer.prompt[first : first + prompt_tokens]
        ends = prompt_tokens > 0 and first + prompt_tokens == len(answer.prompt)
        for at, token in enumerate(piece, start=first):
            batch.add(token, at, seat.number, wanted=ends and at == len(answer.prompt) - 1)
        seat.tokens += piece
        return batch.count - 1 if ends else None

    def _decode(self, prompt_tokens: int) -> int:
        slow = self._step_s > _SLOW_STEP_S or prompt_tokens > 0
        self._abort.set(armed=slow)
        batch = self._batch.native
        batch.n_tokens = self._batch.count
        code: int = llama_cpp.llama_decode(self._native.context, batch)
        if code == _DONE:
            llama_cpp.llama_synchronize(self._native.context)
        return code

    def _choose(self, answer: Answer, place: int, now_s: float) -> None:
        """The next word of one answer."""
        token = answer.sampler.sample(place)
        if token in self._endings:
            self._end(answer, "stop")
            return
        reason = answer.say(token, self._native.piece(token), now_s, len(self._running))
        if reason is not None:
            self._end(answer, reason)

    def _nobody_waits(self) -> bool:
        """What llama.cpp asks within a slow step. All are asked: it is their sign of progress."""
        cancelled = [answer.is_cancelled() for answer in self._running]
        return all(cancelled)

    def _recover(self, code: int) -> None:
        """A step broke off: nobody is left, or nobody can go on."""
        for answer in self._running:
            if answer.seat is not None:
                self._memory.note_computed(answer.seat)
        if code != _ABORTED:
            self._fail_all(_explain(code))
            return
        for answer in list(self._running):
            self._end(answer, "cancelled")

    def _end(self, answer: Answer, reason: FinishReason) -> None:
        self._let_go(answer)
        answer.finish(reason)

    def _fail_all(self, error: Exception) -> None:
        """End everything, and forget what may be half computed."""
        for answer in [*self._running, *self._waiting]:
            if answer.seat is not None:
                self._memory.clear(answer.seat)
            self._let_go(answer)
            answer.fail(error)
        while not self._incoming.empty():
            late = self._incoming.get()
            if late is not None:
                late.fail(error)

    def _let_go(self, answer: Answer) -> None:
        """Take an answer out of the round; its seat is free."""
        if answer in self._waiting:
            self._waiting.remove(answer)
            return
        self._running.remove(answer)
        if answer.seat is not None:
            self._memory.leave(answer.seat)


def _sequence(answer: Answer) -> int:
    return answer.seat.number if answer.seat is not None else 0


def _explain(code: int) -> Exception:
    if code == _NO_MEMORY:
        return OutOfMemory("llama.cpp found no memory to go on (llama_decode returned -2).")
    if code == _NO_PLACE:
        return BackendFailed("llama.cpp found no place in its cache (llama_decode returned 1).")
    return BackendFailed(f"llama.cpp could not go on: llama_decode returned {code}.")


class _AbortSwitch:
    """Lets llama.cpp ask, between two operations of the CPU, whether to go on.

    Only while needed: the question costs some 600 calls into Python a step.
    """

    def __init__(self, context: Any, nobody_waits: Callable[[], bool]) -> None:  # noqa: ANN401
        self._context = context
        self._ask = llama_cpp.ggml_abort_callback(lambda _: nobody_waits())
        self._nothing = llama_cpp.ggml_abort_callback()
        self._armed = False

    def set(self, *, armed: bool) -> None:
        """Ask from now on, or compute without asking."""
        if armed != self._armed:
            ask = self._ask if armed else self._nothing
            llama_cpp.llama_set_abort_callback(self._context, ask, None)
            self._armed = armed

    def disarm(self) -> None:
        """Compute without asking."""
        self.set(armed=False)
