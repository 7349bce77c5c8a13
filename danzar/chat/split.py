"""Cut a long answer into messages, without breaking its code blocks. Pure.

A cut depends only on the text before it, so the messages of a growing text stay as they are: each
new piece changes the last one only, or adds one after it.
"""

import re
from dataclasses import dataclass

MESSAGE_LIMIT = 2000
# Leaves room for the cursor and for the line that says where and how fast the answer was made.
BODY_LIMIT = 1850
# A code block's opening must leave room for content, so a longer "language" is taken as text.
_FENCE = re.compile(r"`{3,}(?P<language>[\w+#.-]{0,30})(?P<newline>\n?)")
_CLOSING = "\n```"
_SENTENCE_END = re.compile(r"[.!?…]['\")\]]?\s+")
# A border in the first third of a message is not worth a message that short.
_EARLIEST_BORDER = 1 / 3


@dataclass(frozen=True, slots=True)
class _Fence:
    """A code block's opening or closing mark, which must not be torn.

    Attributes:
        opening: What opens a block like it again.
    """

    start: int
    end: int
    opening: str


def split_message(text: str, limit: int = BODY_LIMIT) -> list[str]:
    """The messages that show ``text``, each at most ``limit`` characters.

    Every code block is closed at the end of a message and opened again, with its language, at the
    start of the next one. No message is blank; other than blanks at the cuts nothing is lost.

    Args:
        text: Markdown, as far as it is known.
        limit: At least 64.
    """
    messages: list[str] = []
    opening = ""
    rest = text
    while rest:
        piece = rest[: _cut(rest, opening, limit)]
        rest = rest[len(piece) :]
        reopened, opening = opening, _open_at_end(piece, opening)
        if piece.strip():
            messages.append(_dressed(piece, reopened, opening))
    return messages


def _dressed(piece: str, reopened: str, opening: str) -> str:
    closing = _CLOSING if opening else ""
    return f"{reopened}{piece}{closing}"


def _cut(rest: str, opening: str, limit: int) -> int:
    """How much of ``rest`` goes into the next message, whose code block ``opening`` is open."""
    if len(opening) + len(rest) + len(_CLOSING) <= limit:
        return len(rest)
    room = limit - len(opening) - len(_CLOSING)
    fences = _fences(rest[: limit + 64], opening)
    room = _outside_fence(room, fences)
    for border in _borders(rest[:room]):
        cut = _outside_fence(border, fences)
        if cut >= room * _EARLIEST_BORDER:
            return cut
    return room


def _borders(window: str) -> list[int]:
    """The last place to cut of each kind, best kind first: paragraph, line, sentence, word."""
    sentences = [match.end() for match in _SENTENCE_END.finditer(window)]
    return [
        window.rfind("\n\n") + 2 if "\n\n" in window else 0,
        window.rfind("\n") + 1,
        sentences[-1] if sentences else 0,
        window.rfind(" ") + 1,
    ]


def _fences(text: str, opening: str) -> list[_Fence]:
    fences: list[_Fence] = []
    is_open = bool(opening)
    for match in _FENCE.finditer(text):
        language = match["language"] if match["newline"] else ""
        fences.append(_Fence(match.start(), match.end("language"), f"```{language}\n"))
        is_open = not is_open
    return fences


def _outside_fence(cut: int, fences: list[_Fence]) -> int:
    """The cut, moved in front of a mark that it would tear (or behind one at the very start)."""
    for fence in fences:
        if fence.start < cut <= fence.end:
            return fence.start or fence.end
    return cut


def _open_at_end(piece: str, opening: str) -> str:
    """What opens again the code block that ``piece`` leaves open; empty where it leaves none."""
    for fence in _fences(piece, opening):
        opening = "" if opening else fence.opening
    return opening
