"""Why a model leaves its devices. Pure."""

from dataclasses import dataclass
from enum import StrEnum


class UnloadCause(StrEnum):
    """What kind of reason an unload has; for people there is a sentence beside it."""

    IDLE = "idle"
    ROOM = "room"
    """It makes room for another model."""
    OTHER_PROGRAMS = "other_programs"
    """It makes way for a game, say."""
    RECYCLED = "recycled"
    """Its worker is started anew: it leaks, or holds memory that it does not use."""
    ASKED = "asked"
    """A person, or a rule of theirs, wants it gone."""
    OUT_OF_MEMORY = "out_of_memory"
    """A request ran out of memory."""
    TOO_LARGE = "too_large"
    """It took more than was booked, and of what is kept for others."""
    SPILLED = "spilled"
    """The driver moved part of it to host RAM."""
    BETTER_PLACE = "better_place"
    """It can be loaded as configured again."""
    NOT_NEEDED = "not_needed"
    """It was loaded ahead, and others need the room or nobody came."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """Why a model is to go; ``text`` is for people."""

    cause: UnloadCause
    text: str
