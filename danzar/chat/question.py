"""What is asked and what comes back."""

from dataclasses import dataclass, field

from danzar.inference import Placed
from danzar.workers.contract import TextDelta


@dataclass(frozen=True, slots=True)
class Quote:
    """The message that the question replies to."""

    author: str
    text: str


@dataclass(frozen=True, slots=True)
class TextFile:
    """A text file that came with the question."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Question:
    """What a person asks, with mentions and the like already written as names.

    Attributes:
        message_id: Identity of the turn: asking with the same id again replaces the earlier turn.
        author: Display name.
        facts: What the vision models measured, one short sentence each ("Health is 7, which is
            low", "An enemy is on the left, 93% sure"); the ones that answer the question first.
            Kept apart from what people wrote.
        notes: What the person should know beside the answer, one sentence each (a file that could
            not be read).
        person: Who asks, by an opaque identity; ``None`` unknown. Waiting goes by it.
    """

    channel_id: int
    message_id: int
    author: str
    text: str
    quote: Quote | None = None
    files: tuple[TextFile, ...] = ()
    facts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    person: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Answered:
    """The end of an answer.

    Attributes:
        seconds: From the worker's start on it until its end.
        waited_s: Waiting before that.
        finish_reason: ``stop``, ``length`` or ``cancelled``.
        notes: What the person should know, one sentence each (the question was cut, ...).
    """

    text: str
    placed: Placed
    seconds: float
    waited_s: float
    prompt_tokens: int
    completion_tokens: int
    finish_reason: str
    notes: tuple[str, ...] = ()


ChatEvent = Placed | TextDelta | Answered
