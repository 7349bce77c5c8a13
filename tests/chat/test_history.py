from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from danzar.chat.history import Turn, choose_turns
from danzar.chat.tokens import cut_to_tokens, estimate_tokens

_FACTS = st.lists(st.text(max_size=50), max_size=3).map(tuple)
_TURNS = st.lists(
    st.builds(Turn, st.just("Alice"), st.text(max_size=200), st.text(max_size=200), _FACTS),
    max_size=12,
)


@given(_TURNS, st.integers(-10, 500))
def test_the_window_is_the_newest_turns_within_the_budget(turns, budget):
    chosen = choose_turns(turns, budget)
    assert list(chosen) == turns[len(turns) - len(chosen) :]
    assert sum(turn.tokens for turn in chosen) <= max(budget, 0)


@given(_TURNS, st.integers(0, 500))
def test_the_window_is_as_long_as_the_budget_allows(turns, budget):
    chosen = choose_turns(turns, budget)
    if len(chosen) < len(turns):
        one_more = turns[len(turns) - len(chosen) - 1 :]
        assert sum(turn.tokens for turn in one_more) > budget


def talk(count):
    return [Turn("Alice", f"question {n}", f"answer {n}", turn_id=n) for n in range(count)]


def test_a_prompt_begins_as_the_one_before_for_as_long_as_it_fits():
    turns = talk(8)
    assert choose_turns(turns, 10_000, since=3) == tuple(turns[3:])


def test_when_the_first_turn_fell_out_half_of_the_history_goes_at_once():
    turns = talk(8)
    assert choose_turns(turns, 10_000, since=-1) == tuple(turns[4:])


def test_over_a_long_talk_the_beginning_changes_once_in_several_turns():
    turns, since, changes = talk(60), None, 0
    for end in range(1, len(turns)):
        window = turns[max(0, end - 6) : end]
        chosen = choose_turns(window, 10_000, since)
        assert chosen[-1] == window[-1]
        changes += chosen[0].turn_id != since
        since = chosen[0].turn_id
    assert changes <= 60 / 4 + 1


@given(_TURNS, st.integers(-10, 500), st.integers(-2, 14))
def test_also_a_kept_beginning_stays_within_the_budget(turns, budget, since):
    named = [replace(turn, turn_id=n) for n, turn in enumerate(turns)]
    chosen = choose_turns(named, budget, since)
    assert list(chosen) == named[len(named) - len(chosen) :]
    assert sum(turn.tokens for turn in chosen) <= max(budget, 0)


@given(st.text(), st.integers(-5, 100))
def test_a_text_is_cut_to_its_longest_start_within_the_budget(text, budget):
    kept = cut_to_tokens(text, budget)
    assert text.startswith(kept)
    assert estimate_tokens(kept) <= max(budget, 0)
    if estimate_tokens(text) <= budget:
        assert kept == text


@given(st.text(), st.text())
def test_a_longer_text_never_takes_fewer_tokens(first, second):
    assert estimate_tokens(first + second) >= estimate_tokens(first)
