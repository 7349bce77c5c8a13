"""The KV cache of all conversations: who sits where, what is kept, and what comes back."""

import ctypes
import mmap
import sys
from typing import Any, Final

import llama_cpp
import numpy as np
import numpy.typing as npt

from danzar.backends.llama_native import NativeModel
from danzar.backends.llama_seats import (
    Seat,
    any_seat,
    best_neighbour,
    better_place,
    common_prefix,
    own_seat,
)
from danzar.backends.llama_store import ConversationStore, Stored

State = npt.NDArray[np.uint8]

# Fewer tokens than these are computed sooner than they are copied.
_WORTH_COPYING: Final = 8
_BYTES = ctypes.POINTER(ctypes.c_uint8)


class KvMemory:
    """The sequences of one context and the store in host RAM. Only for the context's thread.

    Attributes:
        seats: One for each sequence.
        store: Conversations that have no seat.
    """

    def __init__(self, native: NativeModel, store_bytes: int) -> None:
        """Begin with empty seats, and a store of at most ``store_bytes``."""
        self.seats = [Seat(number) for number in range(native.n_seq)]
        self.store: ConversationStore[State] = ConversationStore(store_bytes)
        self._context = native.context
        self._memory: Any = llama_cpp.llama_get_memory(native.context)
        self._leavings = 0

    def take(self, prompt: list[int], conversation: str | None) -> Seat | None:
        """A seat that already has as much of the prompt's beginning as was kept anywhere.

        Its ``tokens`` say how much: always less than the whole prompt, whose last token must be
        computed for its odds. ``None`` while all seats are taken.
        """
        own = own_seat(self.seats, prompt, conversation)
        seat = any_seat(self.seats, prompt) if own is None else self._move_up(own)
        if seat is None:
            return None
        # Taken out first: who makes way must not push out whoever comes back.
        stored = self.store.take(conversation)
        if own is None:
            self._put_away(seat)
        self._fill(seat, prompt[:-1], stored)
        seat.conversation, seat.taken = conversation, True
        return seat

    def leave(self, seat: Seat) -> None:
        """Let somebody else sit there; what was computed stays until then."""
        self._leavings += 1
        seat.taken, seat.left = False, self._leavings

    def clear(self, seat: Seat) -> None:
        """Forget what a seat has."""
        llama_cpp.llama_memory_seq_rm(self._memory, seat.number, -1, -1)
        seat.tokens = []

    def note_computed(self, seat: Seat) -> None:
        """After a computation that broke off: only what the cache really has counts."""
        count = llama_cpp.llama_memory_seq_pos_max(self._memory, seat.number) + 1
        del seat.tokens[count:]

    def _fill(self, seat: Seat, wanted: list[int], own: Stored[State] | None) -> None:
        """Bring what is kept of the wanted tokens, from where most of them are."""
        here = common_prefix(seat.tokens, wanted)
        stored, in_store = self.store.best(wanted)
        if own is not None and (in_own := common_prefix(own.tokens, wanted)) >= in_store:
            stored, in_store = own, in_own
        neighbour, beside = best_neighbour(self.seats, seat, wanted)
        worth = here + _WORTH_COPYING
        if stored is not None and in_store >= max(worth, beside + _WORTH_COPYING):
            self._bring_back(seat, stored)
        elif neighbour is not None and beside >= worth:
            self._copy(neighbour, seat)
        self._cut(seat, common_prefix(seat.tokens, wanted))

    def _cut(self, seat: Seat, length: int) -> None:
        """Keep the first tokens only, or none where the cache can't be cut."""
        if length == len(seat.tokens):
            return
        # Recurrent caches can't be cut.
        if length and llama_cpp.llama_memory_seq_rm(self._memory, seat.number, length, -1):
            del seat.tokens[length:]
        else:
            self.clear(seat)

    def _copy(self, source: Seat, seat: Seat) -> None:
        self.clear(seat)
        llama_cpp.llama_memory_seq_cp(self._memory, source.number, seat.number, -1, -1)
        seat.tokens = list(source.tokens)

    def _put_away(self, seat: Seat) -> None:
        """Move a seat's conversation to the store, as far as there is room."""
        if seat.conversation is None or len(seat.tokens) < _WORTH_COPYING:
            return
        size_bytes = self._size_bytes(seat)
        if self.store.make_room(size_bytes):
            state = self._state(seat, size_bytes)
            self.store.put(Stored(seat.conversation, list(seat.tokens), state))
        seat.conversation = None

    def _state(self, seat: Seat, size_bytes: int) -> State:
        state = _pages(size_bytes)
        data = state.ctypes.data_as(_BYTES)
        llama_cpp.llama_state_seq_get_data(self._context, data, size_bytes, seat.number)
        return state

    def _bring_back(self, seat: Seat, stored: Stored[State]) -> None:
        self.clear(seat)
        if self._restore(seat, stored.state):
            seat.tokens = list(stored.tokens)

    def _restore(self, seat: Seat, state: State) -> bool:
        data = state.ctypes.data_as(_BYTES)
        done = llama_cpp.llama_state_seq_set_data(self._context, data, state.nbytes, seat.number)
        return bool(done == state.nbytes)

    def _move_up(self, seat: Seat) -> Seat:
        """Change places so that requests under way sit side by side; where the request sits now.

        Only where both contents fit beside the store, whose bytes are booked.
        """
        place = better_place(self.seats, seat)
        if place is None or not self.store.has_room(self._size_bytes(seat, place)):
            return seat
        mine, others = self._whole(seat), self._whole(place)
        self._refill(place, mine)
        self._refill(seat, others)
        place.conversation, seat.conversation = seat.conversation, place.conversation
        place.left, seat.left = seat.left, place.left
        return place

    def _size_bytes(self, *seats: Seat) -> int:
        sizes = (llama_cpp.llama_state_seq_get_size(self._context, s.number) for s in seats)
        return sum(sizes)

    def _whole(self, seat: Seat) -> tuple[list[int], State]:
        return seat.tokens, self._state(seat, self._size_bytes(seat))

    def _refill(self, seat: Seat, content: tuple[list[int], State]) -> None:
        tokens, state = content
        self.clear(seat)
        if tokens and self._restore(seat, state):
            seat.tokens = tokens


def _pages(size_bytes: int) -> State:
    """Memory that goes back as soon as it is let go: glibc's heap would keep holes of megabytes."""
    if sys.platform == "win32":
        return np.empty(size_bytes, np.uint8)  # its heap gives large blocks back by itself
    # Private: it is this process's own memory, and counts as that.
    return np.frombuffer(mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE), np.uint8)
