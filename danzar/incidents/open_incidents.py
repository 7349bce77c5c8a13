"""Everything about incidents, opened and wired for ``danzar.services``."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from danzar.broker.manager import ModelManager
from danzar.config.alerts import AlertSettings
from danzar.core.incident import IncidentRules, OpenIncidents
from danzar.gpu_memory import GpuMemoryManager
from danzar.incidents.book import IncidentBook, Keeping
from danzar.incidents.causes import Causes
from danzar.incidents.certificates import CertificateWatch
from danzar.incidents.day import DAY_S, DayLog
from danzar.incidents.digest import DigestFacts, muted_line
from danzar.incidents.record import Clocks
from danzar.incidents.sources import DriftWatch, QueueWatch
from danzar.incidents.store import IncidentStore
from danzar.keys.expiry import Expiry
from danzar.running import running
from danzar.store import Store


@dataclass(frozen=True, slots=True)
class Incidents:
    """The parts.

    Attributes:
        restored: What an earlier run left, for the monitor.
    """

    book: IncidentBook
    store: IncidentStore
    day: DayLog
    queues: QueueWatch
    drift: DriftWatch
    certificates: CertificateWatch
    restored: OpenIncidents

    def configure(self, settings: AlertSettings) -> None:
        """Go by other settings from now on."""
        self.queues.settings = settings
        self.drift.settings = settings

    async def digest(self) -> DigestFacts:
        """What the daily digest tells, now.

        Raises:
            danzar.errors.StoreFailed: The incidents can't be read.
        """
        now = _now()
        incidents = await self.book.between(now - timedelta(seconds=DAY_S), now)
        return DigestFacts(
            now=now,
            started_at=self.day.began_at,
            figures=self.day.figures(),
            incidents=tuple(record for record in incidents if record.told or record.muted),
            muted=tuple(muted_line(mute) for mute in self.book.mutes),
        )


@asynccontextmanager
async def open_incidents(
    settings: AlertSettings,
    store: Store,
    manager: ModelManager,
    gpu_mm: GpuMemoryManager,
    readings: AsyncGenerator[object],
    expiries: Callable[[], Sequence[Expiry]],
) -> AsyncIterator[Incidents]:
    """Follow cards, requests and certificates while the context lasts.

    ``expiries`` reads when the certificates end; it is called in a thread.
    """
    causes = Causes(gpu_mm.devices, time.monotonic)
    day = DayLog(_now)
    drift = DriftWatch(settings)
    certificates = CertificateWatch(expiries)
    kept = IncidentStore(store.database)
    keeping = Keeping(settings.keep_days, settings.keep)
    book = IncidentBook(kept, causes, clocks, lambda: manager.decisions, keeping)
    restored = await book.restore()
    manager.news.add_listener(day.hear)
    manager.news.add_listener(drift.hear)

    def note() -> None:
        devices = gpu_mm.devices()
        causes.note(devices)
        day.note(devices)

    async with running(_each(readings, note), certificates.run()):
        yield Incidents(
            book=book,
            store=kept,
            day=day,
            queues=QueueWatch(manager.queues, settings, time.monotonic),
            drift=drift,
            certificates=certificates,
            restored=restored,
        )


def incident_rules(settings: AlertSettings) -> IncidentRules:
    """When incidents are told, closed and reopened."""
    return IncidentRules(settings.tell_after_s, settings.calm_s, settings.reopen_s)


def clocks() -> Clocks:
    """Both clocks, now."""
    return Clocks(time.monotonic(), _now())


def _now() -> datetime:
    return datetime.now(UTC)


async def _each(readings: AsyncGenerator[object], note: Callable[[], None]) -> None:
    async with aclosing(readings) as each:
        async for _ in each:
            note()
