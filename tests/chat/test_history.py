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
