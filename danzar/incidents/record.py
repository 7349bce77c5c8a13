"""An incident as people, the store and the page see it, in wall-clock times."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from danzar.core.incident import FLAPPING_RETURNS, Incident, Step
from danzar.core.pressure import Level


class TimelineStep(NamedTuple):
    """The level from a time on; aware, UTC."""

    at: datetime
    level: Level


class DoneStep(NamedTuple):
    """Something that Danzar did about it; aware, UTC."""

    at: datetime
    text: str


@dataclass(frozen=True, slots=True)
class IncidentRecord:
    """One incident. Times are aware, UTC; see ``danzar.core.incident.Incident`` for most fields.

    Attributes:
        grew: Who grew, one sentence; ``None`` where that is unknown or no question.
        done: What was done about it, oldest first; bounded.
        muted: No new message is sent about it.
        muted_until: ``None`` while it is muted until its end.
    """

    number: int
    key: str
    level: Level
    worst: Level
    text: str
    worst_text: str
    opened_at: datetime
    seen_at: datetime
    trouble_since: datetime
    calm_since: datetime | None = None
    closed_at: datetime | None = None
    told: bool = False
    returns: int = 0
    timeline: tuple[TimelineStep, ...] = ()
    ended_unseen: bool = False
    grew: str | None = None
    done: tuple[DoneStep, ...] = ()
    muted: bool = False
    muted_until: datetime | None = None

    @property
    def kind(self) -> str:
        """What it is about: ``memory``, ``telemetry``, ``node``, ..."""
        return kind_of(self.key)

    @property
    def subject(self) -> str:
        """Which one of its kind: a card's UUID, a node's name; empty where there is but one."""
        return self.key.partition(":")[2]

    @property
    def is_open(self) -> bool:
        """Whether it lasts, or has not been calm for long enough."""
        return self.closed_at is None

    @property
    def flapping(self) -> bool:
        """Whether it comes and goes."""
        return self.returns >= FLAPPING_RETURNS

    @property
    def worst_at(self) -> datetime:
        """When it first was at its worst."""
        found = (step.at for step in self.timeline if step.level is self.worst)
        return next(found, self.opened_at)

    def lasted_s(self, now: datetime) -> float:
        """Seconds from its opening until its trouble ended, or until now."""
        end = self.closed_at or self.calm_since or now
        return max(0.0, (end - self.opened_at).total_seconds())


def kind_of(key: str) -> str:
    """What an incident with this key is about."""
    return key.partition(":")[0]


@dataclass(frozen=True, slots=True)
class Clocks:
    """The two clocks at one instant, to turn times of the one into times of the other.

    Attributes:
        now_s: Monotonic seconds.
        now: Aware, UTC.
    """

    now_s: float
    now: datetime

    def wall(self, at_s: float) -> datetime:
        """A monotonic time as people know it."""
        return self.now - timedelta(seconds=self.now_s - at_s)

    def monotonic_s(self, at: datetime) -> float:
        """A wall-clock time on the monotonic clock; negative before the machine started."""
        return self.now_s - (self.now - at).total_seconds()


def record_of(incident: Incident, clocks: Clocks) -> IncidentRecord:
    """The incident in wall-clock times, with nothing known of growth, deeds and mutes."""

    def wall(at_s: float | None) -> datetime | None:
        return None if at_s is None else clocks.wall(at_s)

    return IncidentRecord(
        number=incident.number,
        key=incident.key,
        level=incident.level,
        worst=incident.worst,
        text=incident.text,
        worst_text=incident.worst_text,
        opened_at=clocks.wall(incident.opened_at_s),
        seen_at=clocks.wall(incident.seen_at_s),
        trouble_since=clocks.wall(incident.trouble_since_s),
        calm_since=wall(incident.calm_since_s),
        closed_at=wall(incident.closed_at_s),
        told=incident.told,
        returns=incident.returns,
        timeline=tuple(TimelineStep(clocks.wall(s.at_s), s.level) for s in incident.steps),
        ended_unseen=incident.ended_unseen,
    )


def incident_of(record: IncidentRecord, clocks: Clocks) -> Incident:
    """The incident on the monotonic clock; an open one was not watched since it was stored."""

    def monotonic(at: datetime | None) -> float | None:
        return None if at is None else clocks.monotonic_s(at)

    return Incident(
        number=record.number,
        key=record.key,
        level=record.level,
        worst=record.worst,
        text=record.text,
        worst_text=record.worst_text,
        opened_at_s=clocks.monotonic_s(record.opened_at),
        seen_at_s=clocks.monotonic_s(record.seen_at),
        trouble_since_s=clocks.monotonic_s(record.trouble_since),
        calm_since_s=monotonic(record.calm_since),
        closed_at_s=monotonic(record.closed_at),
        told=record.told,
        returns=record.returns,
        steps=tuple(Step(clocks.monotonic_s(at), level) for at, level in record.timeline),
        unwatched=record.is_open,
        ended_unseen=record.ended_unseen,
    )


@dataclass(frozen=True, slots=True)
class Mute:
    """Somebody wants no new messages about a trouble.

    Attributes:
        number: The incident at which that was said.
        until: Aware; ``None``: until that incident ends.
    """

    key: str
    number: int
    actor: str
    until: datetime | None = None


def with_mute(record: IncidentRecord, mute: Mute | None) -> IncidentRecord:
    """The record as muted or not."""
    until = None if mute is None else mute.until
    return replace(record, muted=mute is not None, muted_until=until)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an incident's message is.

    Attributes:
        shown: The digest of what the message shows.
    """

    channel_id: int
    message_id: int
    shown: str


@dataclass(frozen=True, slots=True)
class Stored:
    """What an earlier run left.

    Attributes:
        records: Open ones and the newest closed ones, oldest first.
        places: Of messages, by incident.
        opened: The highest number ever given.
    """

    records: tuple[IncidentRecord, ...] = ()
    places: dict[int, Place] = field(default_factory=dict)
    mutes: tuple[Mute, ...] = ()
    opened: int = 0


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(IncidentRecord).decode


def encode_record(record: IncidentRecord) -> bytes:
    """For the store."""
    return _encode(record)


def decode_record(raw: bytes | str) -> IncidentRecord | None:
    """From the store; ``None`` where another version wrote what can't be read."""
    try:
        return _decode(raw)
    except msgspec.DecodeError:
        return None


def from_unix(at_s: float) -> datetime:
    """Seconds since 1970 as an aware time."""
    return datetime.fromtimestamp(at_s, UTC)
