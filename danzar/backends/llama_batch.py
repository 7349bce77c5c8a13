"""What one ``llama_decode`` is given, and how much of long prompts goes into it."""

from collections.abc import Sequence
from typing import Any, Final

import llama_cpp

# A prompt beside running answers may hold up their next words for this long; alone, it is cut
# only so that somebody who comes meanwhile is heard.
_BESIDE_S: Final = 0.1
_ALONE_S: Final = 1.0
_LEAST_TOKENS: Final = 32
_UNKNOWN_SPEED: Final = 500.0
_SMOOTHING: Final = 0.3


class Batch:
    """Tokens with their places and sequences, in llama.cpp's own memory; used again each time."""

    def __init__(self, size: int) -> None:
        """Make room for ``size`` tokens."""
        self.native: Any = llama_cpp.llama_batch_init(size, 0, 1)
        batch = self.native
        # Fields of a ctypes structure are looked up anew at each access: keep the arrays.
        self._tokens, self._places = batch.token, batch.pos
        self._sequences = [batch.seq_id[place] for place in range(size)]
        self._wanted = batch.logits
        self.count = 0
        for place in range(size):
            batch.n_seq_id[place] = 1

    def clear(self) -> None:
        """Begin a new one."""
        self.count = 0

    def add(self, token: int, place: int, sequence: int, *, wanted: bool) -> int:
        """Append a token; ``wanted``: its next word is asked for. Returns where it is."""
        at = self.count
        self._tokens[at] = token
        self._places[at] = place
        self._sequences[at][0] = sequence
        self._wanted[at] = wanted
        self.count = at + 1
        return at

    def close(self) -> None:
        """Free the memory."""
        llama_cpp.llama_batch_free(self.native)


class PromptPace:
    """How many tokens of prompts are computed at once, by how fast they have been."""

    def __init__(self, most_tokens: int) -> None:
        """At most ``most_tokens``, whatever the speed."""
        self._most_tokens = most_tokens
        self._tokens_per_s = _UNKNOWN_SPEED

    def note(self, tokens: int, seconds: float) -> None:
        """What a computation with so many tokens of prompts took."""
        if tokens >= _LEAST_TOKENS and seconds > 0:
            self._tokens_per_s += _SMOOTHING * (tokens / seconds - self._tokens_per_s)

    def tokens(self, *, others_answer: bool) -> int:
        """How many go into the next computation."""
        fitting = int(self._tokens_per_s * (_BESIDE_S if others_answer else _ALONE_S))
        return min(self._most_tokens, max(_LEAST_TOKENS, fitting))


def shares(wanted: Sequence[int], total: int) -> list[int]:
    """Divide ``total`` tokens: equal shares, and what one does not need goes to the others."""
    given = [0] * len(wanted)
    left = total
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    for number, place in enumerate(order):
        given[place] = min(wanted[place], left // (len(order) - number))
        left -= given[place]
    return given
