"""What the chat model is shown of an API client's messages. Pure.

Text goes through as it is. A picture is replaced by what the vision models measured, behind the
mark that only measured facts have (``danzar.chat.prompt``): in what people wrote beside a picture
that mark is broken.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from danzar.chat.prompt import FACTS_EXAMPLE, facts_block
from danzar.chat.text import without_facts_mark
from danzar.http.api_errors import ApiError
from danzar.http.openai_chat_body import ImagePart, Message, TextPart
from danzar.workers.contract import ChatMessage

_UNSPOKEN = "What do you see?"
_SYSTEM = ("system", "developer")


@dataclass(frozen=True, slots=True)
class PicturePlace:
    """Where a picture stands: in which message, as which part."""

    message: int
    part: int

    @property
    def param(self) -> str:
        """The path of its URL, for errors."""
        return f"messages.{self.message}.content.{self.part}.image_url.url"


def pictures_in(messages: Sequence[Message], most: int) -> dict[PicturePlace, str]:
    """The URLs of all pictures.

    Raises:
        ApiError: 400; a picture stands where none may, or a message has more than ``most``.
    """
    found: dict[PicturePlace, str] = {}
    for number, message in enumerate(messages):
        here = {
            PicturePlace(number, place): part.image_url.url
            for place, part in enumerate(_parts(message))
            if isinstance(part, ImagePart)
        }
        if here and message.role != "user":
            where = next(iter(here)).param
            raise ApiError(400, f"a {message.role} message can't hold a picture", param=where)
        if len(here) > most:
            raise ApiError(
                400,
                f"a message has {len(here)} pictures, and at most {most} may be in one "
                "(pictures.max_per_message)",
                param=f"messages.{number}.content",
            )
        found |= here
    return found


def text_of(message: Message) -> str:
    """The words of a message."""
    if isinstance(message.content, str):
        return message.content
    return "\n".join(part.text for part in _parts(message) if isinstance(part, TextPart))


def chat_messages(
    messages: Sequence[Message], seen: Mapping[int, Sequence[str]], facts_tokens: int
) -> tuple[ChatMessage, ...]:
    """The conversation for the chat template.

    Args:
        messages: As the client sent them.
        seen: What the pictures of a message show, by the message's number.
        facts_tokens: What the facts of all messages may take together.
    """
    share = facts_tokens // max(1, len(seen))
    turns = [_turn(message, seen.get(n), share) for n, message in enumerate(messages)]
    if not seen:
        return tuple(turns)
    first = next((n for n, message in enumerate(messages) if message.role not in _SYSTEM), 0)
    # A small model answers from facts far better behind one worked example.
    return (*turns[:first], *FACTS_EXAMPLE, *turns[first:])


def conversation_of(
    owner: str | None, user: str | None, key: str | None, messages: Sequence[ChatMessage]
) -> str:
    """Whose turn it is, so that what was computed for its earlier turns is found again.

    Args:
        owner: Whose API key it is: nobody shares a conversation with another key.
        user: Which of its users, as the client says.
        key: Which conversation, as the client says; without it, the one that began so.
        messages: The prompt, whose beginning tells conversations apart.
    """
    first = next((n for n, message in enumerate(messages) if message.role == "user"), 0)
    digest = hashlib.sha256()
    words = [key] if key else [part for m in messages[: first + 1] for part in (m.role, m.content)]
    for word in (owner or "", user or "", "key" if key else "begins", *words):
        data = word.encode(errors="replace")
        digest.update(len(data).to_bytes(8))
        digest.update(data)
    return f"api:{digest.hexdigest()[:32]}"


def _turn(message: Message, facts: Sequence[str] | None, facts_tokens: int) -> ChatMessage:
    text = text_of(message)
    if message.role in _SYSTEM:
        return ChatMessage("system", text)
    if message.role == "assistant":
        return ChatMessage("assistant", text)
    if facts is None:
        return ChatMessage("user", text)
    asked = without_facts_mark(text).strip() or _UNSPOKEN
    return ChatMessage("user", f"{facts_block(facts, facts_tokens)}\n\n{asked}".strip())


def _parts(message: Message) -> list[TextPart | ImagePart]:
    return [] if message.content is None or isinstance(message.content, str) else message.content
