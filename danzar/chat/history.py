"""Which earlier turns a prompt takes along. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from danzar.chat.tokens import MESSAGE_OVERHEAD, estimate_tokens


@dataclass(frozen=True, slots=True)
class Turn:
    """One earlier question with its answer."""

    author: str
    question: str
    answer: str
    facts: tuple[str, ...] = ()

    @property
    def tokens(self) -> int:
        """What the turn takes in a prompt, estimated."""
        names = estimate_tokens(self.author) + 1
        texts = sum(map(estimate_tokens, (self.question, self.answer, *self.facts)))
        facts_mark = MESSAGE_OVERHEAD + len(self.facts) if self.facts else 0
        return names + texts + facts_mark + 2 * MESSAGE_OVERHEAD


def choose_turns(turns: Sequence[Turn], token_budget: int) -> tuple[Turn, ...]:
    """The newest turns that fit together, whole and without a gap; oldest first, as given."""
    chosen: list[Turn] = []
    left = token_budget
    for turn in reversed(turns):
        left -= turn.tokens
        if left < 0:
            break
        chosen.append(turn)
    return tuple(reversed(chosen))
