"""What a growing answer looks like in the channel. Pure."""

from dataclasses import dataclass

from cogs.queue_text import waiting_line
from danzar.chat.question import Answered
from danzar.chat.split import MESSAGE_LIMIT, split_message
from danzar.inference import QueuePlace

CURSOR = " ▌"
FOOTER_MARK = "-# "
_WORTH_SAYING_S = 1.0


@dataclass(frozen=True, slots=True)
class Stopped:
    """A person pressed Stop, or deleted the answer."""


@dataclass(frozen=True, slots=True)
class Failed:
    """It broke off; ``line`` says why."""

    line: str


@dataclass(frozen=True, slots=True)
class Draft:
    """An answer so far.

    Attributes:
        place: In the queue while it waits; ``None`` when it doesn't.
        end: How it ended; ``None`` while it grows.
    """

    text: str = ""
    place: QueuePlace | None = None
    end: Answered | Stopped | Failed | None = None


def render_draft(draft: Draft) -> list[str]:
    """The messages that show the draft; at least one."""
    bodies = split_message(draft.text)
    tail = _tail(draft)
    if not bodies:
        return [tail.strip()]
    if len(bodies[-1]) + len(tail) <= MESSAGE_LIMIT:
        bodies[-1] += tail
    else:
        bodies.append(tail.strip())
    return bodies


def without_footer(content: str) -> str:
    """An answer's own text, without what was put under it."""
    lines = [line for line in content.splitlines() if not line.startswith(FOOTER_MARK)]
    return "\n".join(lines).removesuffix(CURSOR).strip()


def _tail(draft: Draft) -> str:
    match draft.end:
        case None if draft.text.strip():
            return CURSOR
        case None if draft.place is not None:
            return waiting_line(draft.place)
        case None:
            return "⏳ Thinking…"
        case Stopped():
            return f"\n{FOOTER_MARK}stopped"
        case Failed(line):
            retry = "\nPress **Regenerate** to try again." if draft.text.strip() else ""
            return f"\n\n{line}{retry}"
        case Answered() as answered:
            silence = "" if draft.text.strip() else "I have nothing to say to that."
            return f"{silence}\n{render_footer(answered)}"


def render_footer(answered: Answered) -> str:
    """Where the answer was made and how long it took; one small line for each thing to know."""
    facts = [answered.placed.device_text, f"{answered.seconds:.1f} s"]
    if answered.waited_s >= _WORTH_SAYING_S:
        facts.append(f"waited {answered.waited_s:.0f} s")
    if answered.finish_reason == "length":
        facts.append("cut at the longest length allowed")
    lines = [" · ".join(facts), answered.placed.degraded, *answered.notes]
    return "\n".join(FOOTER_MARK + " ".join(line.split()) for line in lines if line)
