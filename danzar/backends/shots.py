"""What every source of frames gives and how it ends."""

from collections.abc import Callable, Generator
from dataclasses import dataclass

from danzar.workers.contract import Picture

Timeouts = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Shot:
    """One frame that is converted only if it is wanted.

    Attributes:
        at_s: Seconds since the source's first frame.
        picture: Makes the RGB picture, given the length of its longer side at most.
    """

    at_s: float
    picture: Callable[[int], Picture]


Shots = Generator[Shot]


class SourceEnded(Exception):
    """The source has no more frames, as it should."""


class SourceBroke(Exception):
    """The source broke off or never began. Says why, but no address: it may hold a password."""
