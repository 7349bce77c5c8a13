"""What the model is shown: persona, earlier turns, the question and what belongs to it. Pure.

The shape was chosen by trying shapes on the shipped model, which is tiny. It answers from facts far
better in the question's own message than in the system message, and better still behind one worked
example and without the talk before (right answers to 4 questions: 4 instead of 0 to 1). The fixed
beginning lets the worker keep its cache from turn to turn.

    [The picture shows: Health is 7, which is low. An enemy is on the left, 93% sure.]

    Bob wrote:
    > look out

    File notes.txt: (in a code block)

    is my health low?

Only measured facts stand behind the first mark: in everything else it is broken on sight.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from danzar.chat.history import Turn, choose_turns
from danzar.chat.question import Question, Quote, TextFile
from danzar.chat.text import FACTS_OPENING, neutral, one_line
from danzar.chat.tokens import MESSAGE_OVERHEAD, cut_to_tokens, estimate_tokens
from danzar.workers.contract import ChatMessage

_NAME_LIMIT = 32
_FACT_LIMIT = 300
_QUOTE_TOKENS = 300
FACTS_EXAMPLE = (
    ChatMessage(
        "user",
        f"{FACTS_OPENING} Health is 45, which is not low. A door is seen middle, 80% sure.]\n\n"
        "what do you see?",
    ),
    ChatMessage("assistant", "A door is seen in the middle. Health is 45, which is not low."),
)
# Room for marks, names and notices around what is measured.
_FRAME_TOKENS = 48
_MIN_FILE_TOKENS = 24
_CUT = " […]"


@dataclass(frozen=True, slots=True)
class PromptBudget:
    """Tokens for a whole prompt, and how many of them earlier turns may take."""

    prompt_tokens: int
    history_tokens: int


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model is asked.

    Attributes:
        notes: What had to be left out, one sentence each for the person.
        since: The earlier turn with which it begins; ``None`` where it has none.
    """

    messages: tuple[ChatMessage, ...]
    notes: tuple[str, ...]
    since: int | None = None


@dataclass(frozen=True, slots=True)
class _Parts:
    """The question's message in pieces, each within its share of the budget."""

    facts: str
    quote: str
    files: tuple[str, ...]
    text: str
    notes: tuple[str, ...]

    def joined(self, name: str) -> str:
        text = f"{name}: {self.text}" if name else self.text
        return "\n\n".join(part for part in (self.facts, self.quote, *self.files, text) if part)


def build_prompt(
    question: Question,
    turns: Sequence[Turn],
    persona: str,
    budget: PromptBudget,
    since: int | None = None,
) -> Prompt:
    """The prompt for a question: always the persona and the question, then what turns fit.

    A question about a picture goes without earlier turns, behind a worked example. ``since`` is
    what the conversation's prompt before began with: what changes stands at the end, so that the
    worker need not compute the beginning again.
    """
    example = FACTS_EXAMPLE if question.facts else ()
    first = (ChatMessage("system", persona), *example)
    room = budget.prompt_tokens - sum(map(_tokens, first)) - MESSAGE_OVERHEAD - _FRAME_TOKENS
    parts = _fit(question, max(room, _FRAME_TOKENS))
    left = room - estimate_tokens(parts.joined(""))
    chosen = () if example else choose_turns(turns, min(left, budget.history_tokens), since)
    parts = _without_repeated_quote(parts, question.quote, chosen)
    names_matter = len({turn.author for turn in chosen} | {question.author}) > 1
    name = one_line(question.author, _NAME_LIMIT) if names_matter else ""
    messages = (
        *first,
        *_earlier(chosen, names_matter=names_matter),
        ChatMessage("user", parts.joined(name)),
    )
    begins = chosen[0].turn_id if chosen else None
    return Prompt(messages, (*question.notes, *parts.notes), begins)


def _tokens(message: ChatMessage) -> int:
    return estimate_tokens(message.content) + MESSAGE_OVERHEAD


def remembered(question: Question) -> str:
    """The question's words as history keeps them: files by their names only."""
    names = ", ".join(one_line(file.name, _NAME_LIMIT) for file in question.files)
    words = question.text.strip() or _unspoken(question)
    return f"(With the file {names})\n{words}" if names else words


def _fit(question: Question, room: int) -> _Parts:
    facts = facts_block(question.facts, room // 2)
    left = room - estimate_tokens(facts)
    text, text_notes = _fit_text(question, left)
    left -= estimate_tokens(text)
    quote = _fit_quote(question.quote, min(left, _QUOTE_TOKENS))
    left -= estimate_tokens(quote)
    files, file_notes = _fit_files(question.files, left)
    return _Parts(facts, quote, files, text, (*text_notes, *file_notes))


def facts_block(facts: Sequence[str], budget: int) -> str:
    """The facts behind their mark, as many as fit the tokens; empty where there are none."""
    chosen: list[str] = []
    for sentence in _sentences(facts):
        budget -= estimate_tokens(sentence)
        if budget < 0:
            break
        chosen.append(sentence)
    return f"{FACTS_OPENING} {' '.join(chosen)}]" if chosen else ""


def _sentences(facts: Iterable[str]) -> list[str]:
    """Each fact as one sentence that can't close its own mark (OCR reads what anyone wrote)."""
    lines = [one_line(fact, _FACT_LIMIT).translate({91: "(", 93: ")"}) for fact in facts]
    return [line if line.endswith((".", "!", "?")) else f"{line}." for line in lines if line]


def _fit_text(question: Question, budget: int) -> tuple[str, tuple[str, ...]]:
    text = neutral(question.text).strip()
    if not text:
        text = _unspoken(question)
    kept = cut_to_tokens(text, budget)
    if kept == text:
        return text, ()
    note = f"Your message is longer than the model can take: I read its first {len(kept)} letters."
    return kept + _CUT, (note,)


def _unspoken(question: Question) -> str:
    """What is meant by a message without words."""
    if question.files:
        return "What is in the file?"
    if question.quote is not None and not question.facts:
        return "What do you say to that?"
    return "What do you see?"


def _fit_quote(quote: Quote | None, budget: int) -> str:
    if quote is None or budget < _MIN_FILE_TOKENS:
        return ""
    lines = neutral(quote.text).strip().splitlines()
    text = "\n".join(f"> {line}" for line in lines)
    kept = cut_to_tokens(text, budget)
    cut = "" if kept == text else _CUT
    return f"{one_line(quote.author, _NAME_LIMIT)} wrote:\n{kept}{cut}" if text else ""


def _fit_files(files: Sequence[TextFile], budget: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The files in turn, each with an equal share of what the ones before it left."""
    blocks: list[str] = []
    notes: list[str] = []
    for number, file in enumerate(files):
        block, note = _fit_file(file, budget // (len(files) - number) - _MIN_FILE_TOKENS)
        budget -= estimate_tokens(block)
        blocks.append(block)
        notes.append(note)
    return tuple(filter(None, blocks)), tuple(filter(None, notes))


def _fit_file(file: TextFile, budget: int) -> tuple[str, str]:
    name = one_line(file.name, _NAME_LIMIT)
    text = neutral(file.text).replace("```", "'''").strip()
    kept = cut_to_tokens(text, budget)
    if not kept:
        return "", f"There was no room left for {name}." if text else f"{name} is empty."
    block = f"File {name}:\n```\n{kept}\n```"
    return block, "" if kept == text else f"I read only the first {len(kept)} letters of {name}."


def _without_repeated_quote(parts: _Parts, quote: Quote | None, turns: Sequence[Turn]) -> _Parts:
    """A reply to an answer that the prompt holds anyway needs no copy of it."""
    text = quote.text.strip() if quote is not None else ""
    repeated = bool(text) and any(text in turn.answer for turn in turns)
    return replace(parts, quote="") if repeated else parts


def _earlier(turns: Sequence[Turn], *, names_matter: bool) -> list[ChatMessage]:
    messages: list[ChatMessage] = []
    for turn in turns:
        name = f"{one_line(turn.author, _NAME_LIMIT)}: " if names_matter else ""
        facts = facts_block(turn.facts, turn.tokens)
        asked = "\n\n".join(filter(None, (facts, name + neutral(turn.question))))
        messages.append(ChatMessage("user", asked))
        messages.append(ChatMessage("assistant", turn.answer))
    return messages
