"""How far a picture is, and how long it will still take. Pure."""

from dataclasses import dataclass, replace

_BAR_CELLS = 12
# Before so many steps the speed is anybody's guess: the first ones warm the card up.
_KNOWN_AFTER = 2


@dataclass(frozen=True, slots=True)
class Steps:
    """Steps that are done.

    Attributes:
        first_s: When the first one was done; clock of the caller.
        first: Which one that was.
        last_s: When the last one was done.
    """

    done: int
    total: int
    first_s: float
    first: int
    last_s: float

    @property
    def left_s(self) -> float | None:
        """Seconds to the last step; ``None`` unknown."""
        known = self.done - self.first
        if known < _KNOWN_AFTER:
            return None
        return (self.last_s - self.first_s) / known * (self.total - self.done)


def after(steps: Steps | None, done: int, total: int, now_s: float) -> Steps:
    """The progress after another step. A step back means that it was begun anew."""
    if steps is None or done <= steps.done or total != steps.total:
        return Steps(done, total, now_s, done, now_s)
    return replace(steps, done=done, last_s=now_s)


def bar(steps: Steps) -> str:
    """``███░░░``."""
    full = 0 if steps.total <= 0 else round(_BAR_CELLS * min(1.0, steps.done / steps.total))
    return "█" * full + "░" * (_BAR_CELLS - full)
