"""Which conversation has which of the context's sequences, and who must leave. Pure.

A sequence is a seat: it keeps what was computed for the conversation that sat there last, until
somebody else needs it. Whoever left longest ago goes first. llama.cpp computes answers together
only where their sequences are neighbours, so requests are seated side by side.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Seat:
    """One sequence of the context.

    Attributes:
        number: llama.cpp's ``seq_id``.
        tokens: What its KV cache holds, by place.
        conversation: Whose they are; ``None`` where nobody comes back for them.
        taken: Whether a request is using it.
        left: Counts up with every request that ended, of all seats.
    """

    number: int
    tokens: list[int] = field(default_factory=list)
    conversation: str | None = None
    taken: bool = False
    left: int = 0


def own_seat(seats: Iterable[Seat], prompt: Sequence[int], conversation: str | None) -> Seat | None:
    """The free seat that has the conversation, and most of it; ``None`` where none has it."""
    if conversation is None:
        return None
    own = [seat for seat in seats if not seat.taken and seat.conversation == conversation]
    return max(own, key=lambda seat: common_prefix(seat.tokens, prompt), default=None)


def any_seat(seats: Sequence[Seat], prompt: Sequence[int]) -> Seat | None:
    """A free seat for somebody who has none; ``None`` while all are taken.

    Empty ones first, then those to which nobody comes back, then the one left longest ago. Of
    equals, one beside those that are taken; then the one that has most of the prompt.
    """

    def cost(seat: Seat) -> tuple[int, bool, int, int]:
        held = 0 if not seat.tokens else 1 if seat.conversation is None else 2
        common = common_prefix(seat.tokens, prompt)
        return held, not is_beside(seats, seat), -common if held == 1 else 0, seat.left

    return min((seat for seat in seats if not seat.taken), key=cost, default=None)


def better_place(seats: Sequence[Seat], seat: Seat) -> Seat | None:
    """The free seat with which to change places, so that those taken are side by side.

    ``None`` where the seat is beside another that is taken, or nothing else is.
    """
    if not any(s.taken for s in seats if s is not seat) or is_beside(seats, seat):
        return None
    beside = [s for s in seats if not s.taken and s is not seat and is_beside(seats, s)]
    return min(beside, key=lambda s: len(s.tokens), default=None)


def is_beside(seats: Sequence[Seat], seat: Seat) -> bool:
    """Whether a neighbour is taken."""
    return any(s.taken and abs(s.number - seat.number) == 1 for s in seats)


def best_neighbour(
    seats: Iterable[Seat], seat: Seat, prompt: Sequence[int]
) -> tuple[Seat | None, int]:
    """Which other seat has most of the prompt's beginning, and how many tokens of it."""
    found: Seat | None = None
    most = 0
    for other in seats:
        length = common_prefix(other.tokens, prompt) if other is not seat else 0
        if length > most:
            found, most = other, length
    return found, most


def common_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    """How many tokens from the beginning are the same."""
    most = min(len(left), len(right))
    if left[:most] == right[:most]:
        return most
    return next(place for place in range(most) if left[place] != right[place])
