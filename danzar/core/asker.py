"""Who asks a model, and what for: what the order of waiting goes by. Pure."""

from dataclasses import dataclass, field
from enum import StrEnum


class RequestClass(StrEnum):
    """What a request is for, the most urgent first; each class has its own bound on waiting."""

    CHAT = "chat"
    """A person waits for words."""
    VISION = "vision"
    """A person waits for what is on a picture."""
    PICTURE = "picture"
    """A person waits for a picture or a video to be made."""
    WATCH = "watch"
    """A frame of a watch: the next one comes anyway."""
    JOB = "job"
    """Work in the background."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks.

    Attributes:
        person: An opaque identity (a Discord user's id); ``None`` where nobody in particular asks.
            It is left out of the repr, so that no log shows it.
    """

    kind: RequestClass = RequestClass.CHAT
    person: str | None = field(default=None, repr=False)


NOBODY = Asker()
