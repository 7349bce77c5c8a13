"""Troubles as incidents: each is opened once, followed while it lasts, and closed. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from danzar.core.pressure import Level


@dataclass(frozen=True, slots=True)
class Observation:
    """What one check found under one key.

    Attributes:
        key: What the trouble is about (``memory:GPU-...``, ``telemetry``).
        level: ``NORMAL`` closes the incident; ``None`` means unknown and leaves it as it is.
        text: The state in one or two sentences, for people.
    """

    key: str
    level: Level | None
    text: str


@dataclass(frozen=True, slots=True)
class Incident:
    """One trouble from its beginning to its end.

    Attributes:
        number: Counts up from 1; identity.
        worst: The highest level that it reached.
        closed_at_s: ``None`` while it lasts. Monotonic seconds, as all times here.
    """

    number: int
    key: str
    level: Level
    worst: Level
    text: str
    opened_at_s: float
    closed_at_s: float | None = None

    def lasted_s(self, now_s: float) -> float:
        """Seconds from its opening until its end, or until now."""
        end_s = now_s if self.closed_at_s is None else self.closed_at_s
        return max(0.0, end_s - self.opened_at_s)


class Change(StrEnum):
    """What happened to an incident."""

    OPENED = "opened"
    WORSENED = "worsened"
    EASED = "eased"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class IncidentChange:
    """One step in an incident's life."""

    change: Change
    incident: Incident


@dataclass(frozen=True, slots=True)
class OpenIncidents:
    """The incidents that last, by key, and how many there ever were."""

    by_key: Mapping[str, Incident]
    opened: int = 0


NONE_OPEN = OpenIncidents({})


def follow_incidents(
    before: OpenIncidents, observations: Iterable[Observation], now_s: float
) -> tuple[OpenIncidents, tuple[IncidentChange, ...]]:
    """The incidents after one check, and what changed, in the order of the observations."""
    open_now, opened = dict(before.by_key), before.opened
    changes: list[IncidentChange] = []
    for seen in observations:
        known = open_now.get(seen.key)
        step = _open(seen, opened + 1, now_s) if known is None else _step(known, seen, now_s)
        if step is None:
            continue
        changes.append(step)
        opened += step.change is Change.OPENED
        open_now[seen.key] = step.incident
        if step.change is Change.CLOSED:
            del open_now[seen.key]
    return OpenIncidents(open_now, opened), tuple(changes)


def _open(seen: Observation, number: int, now_s: float) -> IncidentChange | None:
    if seen.level is None or seen.level is Level.NORMAL:
        return None
    incident = Incident(number, seen.key, seen.level, seen.level, seen.text, now_s)
    return IncidentChange(Change.OPENED, incident)


def _step(known: Incident, seen: Observation, now_s: float) -> IncidentChange | None:
    if seen.level is None or seen.level is known.level:
        return None
    after = replace(known, level=seen.level, worst=max(known.worst, seen.level), text=seen.text)
    if seen.level is Level.NORMAL:
        return IncidentChange(Change.CLOSED, replace(after, closed_at_s=now_s))
    worse = seen.level > known.level
    return IncidentChange(Change.WORSENED if worse else Change.EASED, after)
