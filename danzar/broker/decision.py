"""One step that was carried out, as it is kept for ``!gpu history`` and the page. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from danzar.core.leaving import UnloadCause


class DecisionKind(StrEnum):
    """What kind of step."""

    LOAD = "load"
    UNLOAD = "unload"
    EVICT = "evict"
    """An unload that makes room for another model."""
    YIELD = "yield"
    """An unload that makes way for other programs."""
    FAILED = "failed"
    LOST = "lost"
    """A worker process ended unasked, and with it what it hosted."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One committed step of a plan, with its reason.

    Attributes:
        at_s: Seconds since 1970.
        text: The whole step as one line.
        device: ``cuda:N``, ``cpu``, or ``None`` where it concerns none.
        reason: Why, without repeating model and device.
    """

    at_s: float
    text: str
    kind: DecisionKind | None = None
    model: str | None = None
    device: str | None = None
    reason: str = ""


_KINDS = {
    UnloadCause.ROOM: DecisionKind.EVICT,
    UnloadCause.OTHER_PROGRAMS: DecisionKind.YIELD,
}


def unload_kind(cause: UnloadCause) -> DecisionKind:
    """What an unload for this cause is."""
    return _KINDS.get(cause, DecisionKind.UNLOAD)


_WORDS = {
    DecisionKind.LOAD: "load {}{}",
    DecisionKind.FAILED: "load of {}{} failed",
    DecisionKind.LOST: "{}{} was lost",
}


def make_decision(
    at_s: float, kind: DecisionKind, model: str, reason: str, device: str | None
) -> Decision:
    """A step with its line: ``load chat on cuda:0: cuda:0 has 9.5GB of headroom``."""
    where = f" on {device}" if device else ""
    what = _WORDS.get(kind, "unload {}{}").format(model, where)
    return Decision(at_s, f"{what}: {reason}", kind, model, device, reason)
