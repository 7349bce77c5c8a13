"""Troubles as incidents: each is opened once, followed while it lasts, and closed. Pure.

    trouble seen --> in trouble <--> calm --(calm for calm_s)--> closed
                         ^                                          |
                         +------ trouble again within reopen_s -----+

An incident is told once its trouble has lasted ``tell_after_s``, or when it keeps coming back. What
comes back before it is closed, or soon afterwards, is the same incident.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from danzar.core.pressure import Level

# From so many returns on, an incident is flapping.
FLAPPING_RETURNS = 2
_MOST_STEPS = 16


@dataclass(frozen=True, slots=True)
class IncidentRules:
    """When incidents are told, closed and reopened; all zero: at once, at once, never.

    Attributes:
        tell_after_s: Trouble that has lasted so long is told.
        calm_s: It must have been calm for so long to be over.
        reopen_s: Trouble so soon after the end of an incident is the same incident.
    """

    tell_after_s: float = 0.0
    calm_s: float = 0.0
    reopen_s: float = 0.0


AT_ONCE = IncidentRules()


@dataclass(frozen=True, slots=True)
class Observation:
    """What one check found under one key.

    Attributes:
        key: What the trouble is about (``memory:GPU-...``, ``telemetry``).
        level: ``NORMAL`` is calm; ``None`` means unknown and leaves the incident as it is.
        text: The state in one or two sentences, for people.
    """

    key: str
    level: Level | None
    text: str


@dataclass(frozen=True, slots=True)
class Step:
    """The level that an incident had from a time on."""

    at_s: float
    level: Level


@dataclass(frozen=True, slots=True)
class Incident:
    """One trouble from its beginning to its end. Monotonic seconds.

    Attributes:
        number: Counts up from 1; identity.
        level: As it is now; ``NORMAL`` while it calms down, and when it is closed.
        worst: The highest level that it reached.
        text: The newest words; ``worst_text`` are those of its worst moment.
        trouble_since_s: When the present trouble began, without the ones before it.
        seen_at_s: When its level was last known.
        calm_since_s: ``None`` while it is in trouble.
        closed_at_s: When the trouble ended; ``None`` while it is open.
        told: Whether people should have heard of it by now.
        returns: How often it came back.
        steps: The course of its level; the first and the worst step stay, bounded.
        unwatched: Nobody looked since ``seen_at_s``; it may have ended meanwhile.
        ended_unseen: It ended at some time between ``closed_at_s`` and ``seen_at_s``.
    """

    number: int
    key: str
    level: Level
    worst: Level
    text: str
    opened_at_s: float
    worst_text: str = ""
    trouble_since_s: float = 0.0
    seen_at_s: float = 0.0
    calm_since_s: float | None = None
    closed_at_s: float | None = None
    told: bool = False
    returns: int = 0
    steps: tuple[Step, ...] = ()
    unwatched: bool = False
    ended_unseen: bool = False

    def lasted_s(self, now_s: float) -> float:
        """Seconds from its opening until its trouble ended, or until now."""
        ends = (self.closed_at_s, self.calm_since_s, now_s)
        return max(0.0, next(end for end in ends if end is not None) - self.opened_at_s)


class Change(StrEnum):
    """What happened to an incident."""

    OPENED = "opened"
    TOLD = "told"
    """Nothing but time passed: it has lasted long enough to be told."""
    WORSENED = "worsened"
    EASED = "eased"
    CALMED = "calmed"
    RETURNED = "returned"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class IncidentChange:
    """One step in an incident's life."""

    change: Change
    incident: Incident


@dataclass(frozen=True, slots=True)
class OpenIncidents:
    """The incidents that last, by key, and how many there ever were.

    Attributes:
        closed: The last one of each key that may still be reopened.
    """

    by_key: Mapping[str, Incident]
    opened: int = 0
    closed: Mapping[str, Incident] = field(default_factory=dict)


NONE_OPEN = OpenIncidents({})


def follow_incidents(
    before: OpenIncidents,
    observations: Iterable[Observation],
    now_s: float,
    rules: IncidentRules = AT_ONCE,
) -> tuple[OpenIncidents, tuple[IncidentChange, ...]]:
    """The incidents after one check, and what changed, in the order of the observations.

    What is open and was not observed is unknown.
    """
    seen = list(observations)
    keys = {observation.key for observation in seen}
    seen += [Observation(key, None, "") for key in before.by_key if key not in keys]
    open_now, opened = dict(before.by_key), before.opened
    closed = _may_return(before.closed, now_s, rules)
    changes: list[IncidentChange] = []
    for observation in seen:
        known = open_now.get(observation.key) or closed.get(observation.key)
        if known is None:
            change, after = _open(observation, opened + 1, now_s)
        else:
            change, after = _step(known, observation, now_s, rules)
        if after is None:
            continue
        change, after = _told(change, after, now_s, rules)
        opened += change is Change.OPENED
        open_now.pop(after.key, None)
        closed.pop(after.key, None)
        (open_now if after.closed_at_s is None else closed)[after.key] = after
        if change is not None:
            changes.append(IncidentChange(change, after))
    closed = _may_return(closed, now_s, rules)
    return OpenIncidents(open_now, opened, closed), tuple(changes)


def next_due_s(state: OpenIncidents, rules: IncidentRules) -> float | None:
    """When the next incident is to be told or closed, if all stays as it is; ``None``: none is."""
    waits = (_due_s(incident, rules) for incident in state.by_key.values())
    return min((due_s for due_s in waits if due_s is not None), default=None)


def unwatched(state: OpenIncidents) -> OpenIncidents:
    """The same after a time in which nobody looked."""
    lasting = {key: replace(i, unwatched=True) for key, i in state.by_key.items()}
    return replace(state, by_key=lasting)


_Stepped = tuple[Change | None, Incident | None]


def _open(seen: Observation, number: int, now_s: float) -> _Stepped:
    if seen.level is None or seen.level is Level.NORMAL:
        return None, None
    incident = Incident(
        number=number,
        key=seen.key,
        level=seen.level,
        worst=seen.level,
        text=seen.text,
        opened_at_s=now_s,
        worst_text=seen.text,
        trouble_since_s=now_s,
        seen_at_s=now_s,
        steps=(Step(now_s, seen.level),),
    )
    return Change.OPENED, incident


def _step(known: Incident, seen: Observation, now_s: float, rules: IncidentRules) -> _Stepped:
    if seen.level is None:
        return None, known
    if seen.level is Level.NORMAL:
        return _calm(known, seen, now_s, rules)
    after = replace(
        known,
        level=seen.level,
        text=seen.text,
        seen_at_s=now_s,
        unwatched=False,
        worst=max(known.worst, seen.level),
        worst_text=known.worst_text if seen.level < known.worst else seen.text,
    )
    if known.level is Level.NORMAL:
        return Change.RETURNED, _returned(after, now_s)
    if seen.level is known.level:
        return None, after
    after = replace(after, steps=_noted(known.steps, Step(now_s, seen.level)))
    return (Change.WORSENED if seen.level > known.level else Change.EASED), after


def _returned(incident: Incident, now_s: float) -> Incident:
    return replace(
        incident,
        trouble_since_s=now_s,
        calm_since_s=None,
        closed_at_s=None,
        ended_unseen=False,
        returns=incident.returns + 1,
        steps=_noted(incident.steps, Step(now_s, incident.level)),
    )


def _calm(known: Incident, seen: Observation, now_s: float, rules: IncidentRules) -> _Stepped:
    if known.closed_at_s is not None:
        return None, known
    after = replace(known, level=Level.NORMAL, text=seen.text, seen_at_s=now_s, unwatched=False)
    if known.unwatched and known.calm_since_s is None and now_s - known.seen_at_s >= rules.calm_s:
        steps = _noted(known.steps, Step(now_s, Level.NORMAL))
        ended_s = known.seen_at_s
        return Change.CLOSED, replace(after, steps=steps, closed_at_s=ended_s, ended_unseen=True)
    if known.calm_since_s is None:
        steps = _noted(known.steps, Step(now_s, Level.NORMAL))
        after = replace(after, steps=steps, calm_since_s=now_s)
    calm_since_s = now_s if after.calm_since_s is None else after.calm_since_s
    if now_s - calm_since_s >= rules.calm_s:
        return Change.CLOSED, replace(after, closed_at_s=calm_since_s)
    return (Change.CALMED if known.calm_since_s is None else None), after


def _told(
    change: Change | None, incident: Incident, now_s: float, rules: IncidentRules
) -> tuple[Change | None, Incident]:
    """The same, told if it is time."""
    in_trouble = incident.level is not Level.NORMAL
    lasted = now_s - incident.trouble_since_s >= rules.tell_after_s
    flaps = incident.returns >= FLAPPING_RETURNS
    if incident.told or not in_trouble or not (lasted or flaps):
        return change, incident
    return change or Change.TOLD, replace(incident, told=True)


def _due_s(incident: Incident, rules: IncidentRules) -> float | None:
    if incident.calm_since_s is not None:
        return incident.calm_since_s + rules.calm_s
    return None if incident.told else incident.trouble_since_s + rules.tell_after_s


def _may_return(
    closed: Mapping[str, Incident], now_s: float, rules: IncidentRules
) -> dict[str, Incident]:
    return {
        key: incident
        for key, incident in closed.items()
        if incident.closed_at_s is not None and now_s - incident.closed_at_s < rules.reopen_s
    }


def _noted(steps: tuple[Step, ...], new: Step) -> tuple[Step, ...]:
    """The course with one more step; where it is too long, an early one goes."""
    kept = (*steps, new)
    if len(kept) <= _MOST_STEPS:
        return kept
    worst = max(kept, key=lambda step: step.level)
    gone = next(step for step in kept[1:] if step is not worst)
    return tuple(step for step in kept if step is not gone)
