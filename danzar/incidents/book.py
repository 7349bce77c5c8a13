"""The book of incidents: what people may know of each, kept in the database, and who is told.

It follows what ``danzar.core.incident`` decides, adds who grew and what was done, remembers mutes
and where messages are, and so goes on after a restart where it was.
"""

import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from danzar.broker.decision import Decision
from danzar.core.incident import Change, Incident, IncidentChange, OpenIncidents
from danzar.errors import BadInput, StoreFailed
from danzar.incidents.causes import Causes
from danzar.incidents.mutes import Mutes
from danzar.incidents.record import (
    Clocks,
    IncidentRecord,
    Mute,
    Place,
    Stored,
    TimelineStep,
    incident_of,
    kind_of,
    record_of,
)
from danzar.incidents.store import IncidentStore

log = logging.getLogger(__name__)

_KEPT_CLOSED = 200
# A message whose incident closed longer ago is not brought up to date any more.
_FORGOTTEN_S = 86_400.0
# How often the time at which an open incident was last seen is written.
_WRITE_INTERVAL_S = 60.0
# Without another change, new figures are shown this often.
_REFRESH_S = 300.0
# What grew before these is another story.
_BEGINNINGS = frozenset({Change.OPENED, Change.RETURNED})

# The two clocks drift; steps of an incident are further apart.
_WAVER = timedelta(milliseconds=500)

OnRecord = Callable[[IncidentRecord], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Keeping:
    """How long closed incidents are kept, and how many."""

    days: float = 90.0
    most: int = 1000


class IncidentBook:
    """Everything that is known of incidents; told by ``MemoryMonitor`` through ``follow``."""

    def __init__(
        self,
        store: IncidentStore,
        causes: Causes,
        clocks: Callable[[], Clocks],
        decisions: Callable[[], Sequence[Decision]],
        keeping: Keeping,
    ) -> None:
        """Know nothing before ``restore``.

        Args:
            store: Where it is kept.
            causes: Who grew.
            clocks: Both clocks, now.
            decisions: The last steps of the manager, oldest first.
            keeping: What is forgotten.
        """
        self._store = store
        self._causes = causes
        self._clocks = clocks
        self._decisions = decisions
        self._keeping = keeping
        self._open: dict[int, IncidentRecord] = {}
        self._closed: deque[IncidentRecord] = deque(maxlen=_KEPT_CLOSED)
        self._mutes = Mutes(store, self.now, self._open.__contains__)
        self._places: dict[int, Place] = {}
        self._told_at: dict[int, datetime] = {}
        self._grown_bytes: dict[int, int] = {}
        self._listeners: list[OnRecord] = []
        self._written_s = 0.0
        self._opened: Counter[str] = Counter()

    # --- what is asked -----------------------------------------------------------------------

    @property
    def open_incidents(self) -> tuple[IncidentRecord, ...]:
        """Those in trouble, or not yet calm for long enough; oldest first."""
        return tuple(self._mutes.mark(self._open[number]) for number in sorted(self._open))

    @property
    def recent_incidents(self) -> tuple[IncidentRecord, ...]:
        """Closed ones, newest first; bounded."""
        return tuple(self._mutes.mark(record) for record in self._closed)

    @property
    def opened_total(self) -> Mapping[str, int]:
        """How many began since the start, by kind."""
        return self._opened

    @property
    def mutes(self) -> tuple[Mute, ...]:
        """What is muted now."""
        return self._mutes.all

    def now(self) -> datetime:
        """Aware, UTC."""
        return self._clocks().now

    def find(self, number: int) -> IncidentRecord:
        """An incident that is open or was closed lately.

        Raises:
            BadInput: There is none with that number.
        """
        found = self._open.get(number)
        if found is None:
            found = next((r for r in self._closed if r.number == number), None)
        if found is None:
            known = ", ".join(str(n) for n in self._open) or "none"
            raise BadInput(f"there is no incident {number} to be seen; open now: {known}")
        return self._mutes.mark(found)

    async def between(self, since: datetime, until: datetime) -> tuple[IncidentRecord, ...]:
        """Those that lasted at some time of a span, oldest first.

        Raises:
            StoreFailed: The database can't be read.
        """
        return tuple(self._mutes.mark(r) for r in await self._store.between(since, until))

    def place(self, number: int) -> Place | None:
        """Where an incident's message is; ``None`` where there is none."""
        return self._places.get(number)

    def add_listener(self, listener: OnRecord) -> None:
        """Have ``listener`` called with each incident that people should see in a new state."""
        self._listeners.append(listener)

    # --- what happens ------------------------------------------------------------------------

    async def restore(self) -> OpenIncidents:
        """What an earlier run left, for the monitor to go on with.

        A database that can't be read is logged; then the book begins empty.
        """
        try:
            await self._prune()
            stored = await self._store.load()
        except StoreFailed as exc:
            log.warning("earlier incidents are not known: %s", exc)
            stored = Stored()
        clocks = self._clocks()
        self._mutes.restore(stored.mutes)
        self._places = dict(stored.places)
        lasting: dict[str, Incident] = {}
        resting: dict[str, Incident] = {}
        for record in stored.records:
            if record.is_open:
                self._open[record.number] = record
            else:
                self._closed.appendleft(record)
            where = lasting if record.is_open else resting
            where[record.key] = incident_of(record, clocks)
        self._forget_places()
        return OpenIncidents(lasting, stored.opened, resting)

    async def follow(
        self, state: OpenIncidents, changes: Sequence[IncidentChange], now_s: float
    ) -> None:
        """Take over what one check came to, keep it, and tell who listens."""
        clocks = replace(self._clocks(), now_s=now_s)
        changed = {c.incident.number: c for c in changes}
        news: dict[int, IncidentRecord] = {}
        over = (c.incident for c in changes if c.change is Change.CLOSED)
        for incident in (*state.by_key.values(), *over):
            change = changed.get(incident.number)
            before = self._known(incident.number)
            after = self._record(incident, before, change, clocks)
            self._take(after)
            if self._is_news(before, after, change, clocks.now):
                self._told_at[after.number] = clocks.now
                news[after.number] = after
        self._opened.update(kind_of(c.incident.key) for c in changes if c.change is Change.OPENED)
        news |= {record.number: record for record in self._expired()}
        await self._save(changes, clocks.now_s)
        for record in news.values():
            await self._tell(self._mutes.mark(record))

    async def mute(self, number: int, *, seconds: float | None, actor: str) -> IncidentRecord:
        """Send no new messages about an incident's trouble for a time; ``None``: until its end.

        Raises:
            BadInput: There is no such incident, or it is over.
            StoreFailed: It can't be kept; nothing changed.
        """
        record = self.find(number)
        if not record.is_open and seconds is None:
            raise BadInput(f"incident {number} is over; there is nothing to mute until its end")
        until = None if seconds is None else self.now() + timedelta(seconds=seconds)
        await self._mutes.add(Mute(record.key, number, actor, until))
        return await self._retold(number)

    async def unmute(self, number: int) -> IncidentRecord:
        """Send messages about it again.

        Raises:
            BadInput: There is no such incident, or it is not muted.
            StoreFailed: It can't be kept; nothing changed.
        """
        record = self.find(number)
        if not self._mutes.covers(record.key):
            raise BadInput(f"incident {number} is not muted")
        await self._mutes.remove(record.key)
        return await self._retold(number)

    async def set_place(self, number: int, place: Place) -> None:
        """An incident's message is there, and shows that."""
        if self._places.get(number) == place:
            return
        self._places[number] = place
        try:
            await self._store.save_place(number, place)
        except StoreFailed as exc:
            log.warning("after a restart incident %s gets a new message: %s", number, exc)

    async def tell_all(self) -> None:
        """Tell who listens of every incident that has, or should have, a message."""
        for record in (*reversed(self._closed), *self._open.values()):
            old = record.closed_at is not None and record.number not in self._places
            if record.told and not old:
                await self._tell(self._mutes.mark(record))

    # --- inside ------------------------------------------------------------------------------

    def _record(
        self,
        incident: Incident,
        before: IncidentRecord | None,
        change: IncidentChange | None,
        clocks: Clocks,
    ) -> IncidentRecord:
        record = record_of(incident, clocks)
        if before is not None:
            # Times that were told once do not waver with the clocks.
            record = replace(
                record,
                opened_at=before.opened_at,
                timeline=_steady(before, record),
                grew=before.grew,
                done=before.done,
            )
        if incident.calm_since_s is None and incident.closed_at_s is None:
            begins = change is not None and change.change in _BEGINNINGS
            record = replace(
                record, grew=self._who_grew(incident, clocks.now_s, begins) or record.grew
            )
        return replace(record, done=self._causes.done(record, self._decisions()))

    def _who_grew(self, incident: Incident, now_s: float, begins: bool) -> str | None:
        """Who grew, where more is known than before; later it would only fade."""
        grew = self._causes.grew(incident, now_s)
        before_bytes = 0 if begins else self._grown_bytes.get(incident.number, 0)
        if grew is None or grew.size_bytes <= before_bytes:
            return None
        self._grown_bytes[incident.number] = grew.size_bytes
        return grew.text

    def _take(self, record: IncidentRecord) -> None:
        self._open.pop(record.number, None)
        if record.is_open:
            self._closed_without(record.number)
            self._open[record.number] = record
        else:
            self._closed_without(record.number)
            self._closed.appendleft(record)
            self._forget_places()

    def _closed_without(self, number: int) -> None:
        if any(r.number == number for r in self._closed):
            kept = [r for r in self._closed if r.number != number]
            self._closed = deque(kept, maxlen=_KEPT_CLOSED)

    def _known(self, number: int) -> IncidentRecord | None:
        found = self._open.get(number)
        return found or next((r for r in self._closed if r.number == number), None)

    def _is_news(
        self,
        before: IncidentRecord | None,
        after: IncidentRecord,
        change: IncidentChange | None,
        now: datetime,
    ) -> bool:
        if not after.told:
            return False
        if change is not None or before is None or before.done != after.done:
            return True
        told_at = self._told_at.get(after.number)
        due = told_at is None or (now - told_at).total_seconds() >= _REFRESH_S
        return due and before.text != after.text

    def _expired(self) -> list[IncidentRecord]:
        """What was muted and is no more, where it lasts."""
        gone = self._mutes.drop_expired()
        return [r for r in self._open.values() if r.key in gone and r.told]

    async def _retold(self, number: int) -> IncidentRecord:
        record = self.find(number)
        if record.told:
            await self._tell(record)
        return record

    async def _tell(self, record: IncidentRecord) -> None:
        for listener in self._listeners:
            try:
                await listener(record)
            except Exception:
                log.exception("incident %s could not be told", record.number)

    async def _save(self, changes: Sequence[IncidentChange], now_s: float) -> None:
        """Keep what changed; what lasts is written now and then, for when it was last seen."""
        numbers = {c.incident.number for c in changes}
        due = now_s - self._written_s >= _WRITE_INTERVAL_S
        if due:
            numbers |= self._open.keys()
        records = [r for n in numbers if (r := self._known(n)) is not None]
        if not records:
            return
        try:
            await self._store.save(records)
            if due:
                self._written_s = now_s
                await self._prune()
        except StoreFailed as exc:
            log.warning("incidents are not kept for after a restart: %s", exc)

    async def _prune(self) -> None:
        keeping = self._keeping
        await self._store.prune(self.now(), keep_days=keeping.days, keep=keeping.most)

    def _forget_places(self) -> None:
        """Messages of incidents that are gone or long over are left as they are."""
        oldest = self.now() - timedelta(seconds=_FORGOTTEN_S)
        recent = {r.number for r in self._closed if r.closed_at and r.closed_at >= oldest}
        known = recent | self._open.keys()
        self._places = {n: place for n, place in self._places.items() if n in known}
        self._told_at = {n: at for n, at in self._told_at.items() if n in known}
        self._grown_bytes = {n: size for n, size in self._grown_bytes.items() if n in known}


def _steady(before: IncidentRecord, after: IncidentRecord) -> tuple[TimelineStep, ...]:
    """The course with the steps that were known already as they were told."""

    def told(step: TimelineStep) -> TimelineStep:
        same = (
            old
            for old in before.timeline
            if old.level is step.level and abs(old.at - step.at) < _WAVER
        )
        return next(same, step)

    return tuple(map(told, after.timeline))
