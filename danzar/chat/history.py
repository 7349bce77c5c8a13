"""Which earlier turns a prompt takes along. Pure.

A model that has computed a prompt need not do so again for its beginning. So a conversation's
prompts begin with the same turn for as long as all fits; then half of it goes at once, instead of
one turn each time.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from danzar.chat.tokens import MESSAGE_OVERHEAD, estimate_tokens

# What stays of a history that is cut.
_KEPT = 0.5


@dataclass(frozen=True, slots=True)
class Turn:
    """One earlier question with its answer; ``turn_id`` tells it from others of its channel."""

    author: str
    question: str
    answer: str
    facts: tuple[str, ...] = ()
    turn_id: int = 0

    @property
    def tokens(self) -> int:
        """What the turn takes in a prompt, estimated."""
        names = estimate_tokens(self.author) + 1
        texts = sum(map(estimate_tokens, (self.question, self.answer, *self.facts)))
        facts_mark = MESSAGE_OVERHEAD + len(self.facts) if self.facts else 0
        return names + texts + facts_mark + 2 * MESSAGE_OVERHEAD


def choose_turns(
    turns: Sequence[Turn], token_budget: int, since: int | None = None
) -> tuple[Turn, ...]:
    """The newest turns that fit together, whole and without a gap; oldest first, as given.

    Args:
        turns: Those that are known, oldest first.
        token_budget: What they may take.
        since: With which one the prompt before began. Where it fits no more, the newest half of
            the turns and of the budget stays; ``None`` takes all that fit.
    """
    fitting = _newest(turns, token_budget)
    if since is None:
        return fitting
    start = next((n for n, turn in enumerate(fitting) if turn.turn_id == since), None)
    if start is not None:
        return fitting[start:]
    count = math.ceil(len(fitting) * _KEPT)
    return _newest(fitting[len(fitting) - count :], int(token_budget * _KEPT))


def _newest(turns: Sequence[Turn], token_budget: int) -> tuple[Turn, ...]:
    chosen: list[Turn] = []
    left = token_budget
    for turn in reversed(turns):
        left -= turn.tokens
        if left < 0:
            break
        chosen.append(turn)
    return tuple(reversed(chosen))
