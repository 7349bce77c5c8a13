"""One answer on its way: its prompt, its words so far, and whoever waits for them."""

import queue
from collections.abc import Callable, Iterator
from typing import Final, Literal

from danzar.backends.llama_sampling import Sampler
from danzar.backends.llama_seats import Seat
from danzar.backends.streaming import TextStream
from danzar.workers.contract import Generate, Generated, TextDelta

# Later pieces are gathered: each message costs the computing threads a little. With several
# answers at once each of them is gathered for longer, so that messages do not become more.
_PAUSE_S: Final = 0.03
_LONGEST_PAUSE_S: Final = 0.24
FinishReason = Literal["stop", "length", "cancelled"]


class Answer:
    """A request as the engine sees it; ``items`` is for the thread that asked.

    Attributes:
        prompt: All its tokens.
        conversation: Whose turn it is.
        seat: Where it is computed; ``None`` while it waits for a seat.
        next_token: The word chosen last, which must be computed next; ``None`` within the prompt.
        reused: Tokens of the prompt that were known.
    """

    def __init__(
        self,
        request: Generate,
        prompt: list[int],
        limit: int,
        sampler: Sampler,
        is_cancelled: Callable[[], bool],
    ) -> None:
        """Ask for at most ``limit`` words; ``sampler`` is closed at the end."""
        self.prompt = prompt
        self.conversation = request.conversation
        self.sampler = sampler
        self.seat: Seat | None = None
        self.next_token: int | None = None
        self.reused = 0
        self._limit = limit
        self._count = 0
        self._stream = TextStream(request.stop, _PAUSE_S)
        self._is_cancelled = is_cancelled
        self._abandoned = False
        self._out: queue.SimpleQueue[TextDelta | Generated | Exception] = queue.SimpleQueue()

    def items(self) -> Iterator[TextDelta | Generated]:
        """The pieces as they come, then the result. Blocks.

        Raises:
            Exception: What the engine failed with.
        """
        try:
            while True:
                item = self._out.get()
                if isinstance(item, Exception):
                    raise item
                yield item
                if isinstance(item, Generated):
                    return
        finally:
            self._abandoned = True

    def is_cancelled(self) -> bool:
        """Whether nobody waits any more; asking is the sign that it is still computed."""
        return self._abandoned or self._is_cancelled()

    @property
    def prompt_left(self) -> int:
        """Tokens of the prompt that are not computed yet."""
        done = len(self.seat.tokens) if self.seat is not None else 0
        return max(0, len(self.prompt) - done)

    def say(self, token: int, data: bytes, now_s: float, answers: int) -> FinishReason | None:
        """Hand over a word's bytes, one of so many answers; why it is over with it, if it is."""
        self._stream.pause_s = min(_LONGEST_PAUSE_S, _PAUSE_S * answers)
        self.next_token = token
        self._count += 1
        text = self._stream.add(data, now_s)
        if text:
            self._out.put(TextDelta(text))
        if self._stream.stopped:
            return "stop"
        return "length" if self._count >= self._limit else None

    def finish(self, reason: FinishReason) -> None:
        """End with the result."""
        rest = self._stream.finish()
        if rest:
            self._out.put(TextDelta(rest))
        self.sampler.close()
        self._out.put(Generated(reason, len(self.prompt), self._count, self.reused))

    def fail(self, error: Exception) -> None:
        """End with an error."""
        self.sampler.close()
        self._out.put(error)
