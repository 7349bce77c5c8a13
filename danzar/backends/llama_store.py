"""Conversations in host RAM that have no sequence just now, at most so many bytes of them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from danzar.backends.llama_seats import common_prefix


class State(Protocol):
    """What llama.cpp wrote of one sequence."""

    @property
    def nbytes(self) -> int:
        """Its size."""
        ...


StateT = TypeVar("StateT", bound=State)


@dataclass(frozen=True, slots=True)
class Stored(Generic[StateT]):
    """One conversation: whose, its tokens, and what was computed for them."""

    conversation: str
    tokens: list[int]
    state: StateT


class ConversationStore(Generic[StateT]):
    """The last conversations; the one that was put away longest ago makes room for a new one.

    Attributes:
        limit_bytes: The most that all states take together.
        size_bytes: What they take now.
    """

    def __init__(self, limit_bytes: int) -> None:
        """Keep at most ``limit_bytes`` together; 0 keeps nothing."""
        self.limit_bytes = limit_bytes
        self.size_bytes = 0
        self._kept: dict[str, Stored[StateT]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def has_room(self, size_bytes: int) -> bool:
        """Whether so many bytes fit without anyone going."""
        return self.size_bytes + size_bytes <= self.limit_bytes

    def make_room(self, size_bytes: int) -> bool:
        """Let the oldest go until so many bytes fit; False where they never will."""
        if size_bytes > self.limit_bytes:
            return False
        while not self.has_room(size_bytes):
            self.take(next(iter(self._kept)))
        return True

    def put(self, stored: Stored[StateT]) -> None:
        """Keep a conversation, instead of what was known of it. ``make_room`` comes first."""
        self.take(stored.conversation)
        self._kept[stored.conversation] = stored
        self.size_bytes += stored.state.nbytes

    def take(self, conversation: str | None) -> Stored[StateT] | None:
        """A conversation, which is here no longer; ``None`` where it was not."""
        gone = self._kept.pop(conversation, None) if conversation is not None else None
        if gone is not None:
            self.size_bytes -= gone.state.nbytes
        return gone

    def best(self, prompt: Sequence[int]) -> tuple[Stored[StateT] | None, int]:
        """Which one has most of the prompt's beginning, and how many tokens of it."""
        found: Stored[StateT] | None = None
        most = 0
        for stored in self._kept.values():
            length = common_prefix(stored.tokens, prompt)
            if length > most:
                found, most = stored, length
        return found, most
