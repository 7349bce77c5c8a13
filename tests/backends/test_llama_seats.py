"""Who sits where, what is stored, and how prompts are cut: pure."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from danzar.backends.llama_batch import PromptPace, shares
from danzar.backends.llama_seats import (
    Seat,
    any_seat,
    best_neighbour,
    better_place,
    common_prefix,
    own_seat,
)
from danzar.backends.llama_store import ConversationStore, Stored


def seats(*described):
    """``key:tokens`` of each seat, with a star where it is taken; the first was left first."""
    made = []
    for number, text in enumerate(described):
        key, _, tokens = text.strip("*").partition(":")
        made.append(Seat(number, [*map(ord, tokens)], key or None, text.endswith("*"), number))
    return made


@pytest.mark.parametrize(
    ("described", "expected"),
    [
        pytest.param(("a:ab", ":", "c:xy"), 1, id="an empty one first"),
        pytest.param(("a:ab", ":xy", "c:xy"), 1, id="then one to which nobody comes back"),
        pytest.param((":ab", ":hello", "c:xy"), 1, id="of those, what has most of the prompt"),
        pytest.param(("a:ab", "b:cd", "c:xy"), 0, id="then the one left longest ago"),
        pytest.param(("a:ab", "b:cd", "c:xy*"), 1, id="but beside those that are taken"),
        pytest.param(("a:ab*", "b:cd*"), None, id="none while all are taken"),
    ],
)
def test_a_newcomer_gets(described, expected):
    seat = any_seat(seats(*described), [*map(ord, "hello")])
    assert (seat.number if seat else None) == expected


def test_a_conversation_finds_its_own_seat_unless_it_is_taken():
    prompt = [*map(ord, "hello")]
    assert own_seat(seats("a:ab", "b:cd"), prompt, "b").number == 1
    assert own_seat(seats("a:ab", "b:cd*"), prompt, "b") is None
    assert own_seat(seats(":ab"), prompt, None) is None
    assert own_seat(seats("b:he", "b:hell", "b:cd"), prompt, "b").number == 1


@pytest.mark.parametrize(
    ("described", "mine", "expected"),
    [
        pytest.param(("a:ab*", "b:cd", "c:xyz"), 2, 1, id="beside the one that is taken"),
        pytest.param(("a:ab*", "b:cd", "c:xyz"), 1, None, id="it is beside it already"),
        pytest.param(("a:ab", "b:cd", "c:xyz"), 2, None, id="nobody else is there"),
        pytest.param(("a:abcd", "b:*", "c:x", "d:z"), 3, 2, id="with whom least must be moved"),
    ],
)
def test_a_conversation_moves_up(described, mine, expected):
    found = seats(*described)
    place = better_place(found, found[mine])
    assert (place.number if place else None) == expected


def test_the_neighbour_with_most_of_the_beginning_is_found():
    found = seats("a:hello world", "b:hello you", "c:bye")
    other, length = best_neighbour(found, found[2], [*map(ord, "hello you two")])
    assert (other.number, length) == (1, 9)


@given(st.lists(st.integers(0, 3)), st.lists(st.integers(0, 3)))
def test_a_common_prefix_is_the_longest_one(left, right):
    length = common_prefix(left, right)
    assert left[:length] == right[:length]
    assert left[: length + 1] != right[: length + 1] or length == min(len(left), len(right))


@dataclass
class State:
    nbytes: int


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 40))), st.integers(0, 100))
def test_the_store_never_holds_more_than_its_bytes(puts, limit_bytes):
    store = ConversationStore(limit_bytes)
    for key, size_bytes in puts:
        if store.make_room(size_bytes):
            store.put(Stored(f"{key}", [key], State(size_bytes)))
            assert store.best([key])[1] == 1
        assert store.size_bytes <= limit_bytes


def test_the_oldest_makes_room_and_the_best_beginning_is_found():
    store = ConversationStore(100)
    for key, tokens in (("a", [1, 2, 3]), ("b", [1, 2, 4]), ("c", [5])):
        assert store.make_room(40)
        store.put(Stored(key, tokens, State(40)))
    assert store.best([1, 2, 3, 4])[0].conversation == "b"
    assert store.best([9]) == (None, 0)
    assert store.take("b").tokens == [1, 2, 4]
    assert store.take("b") is None
    assert (len(store), store.size_bytes) == (1, 40)


@given(st.lists(st.integers(0, 500), min_size=1, max_size=9), st.integers(0, 1000))
def test_prompts_share_a_step_fairly(wanted, total):
    given_tokens = shares(wanted, total)
    assert sum(given_tokens) == min(total, sum(wanted))
    assert all(0 <= mine <= most for mine, most in zip(given_tokens, wanted, strict=True))
    short = [mine for mine, most in zip(given_tokens, wanted, strict=True) if mine < most]
    assert not short or max(given_tokens) <= min(short) + 1


def test_a_long_prompt_beside_running_answers_comes_in_small_pieces():
    pace = PromptPace(512)
    for _ in range(50):
        pace.note(512, 1.0)
    assert pace.tokens(others_answer=False) == pytest.approx(512, abs=2)
    assert pace.tokens(others_answer=True) == pytest.approx(51, abs=2)
    for _ in range(50):
        pace.note(512, 0.01)
    assert pace.tokens(others_answer=True) == 512
