"""Where a scrape reads: what each part of Danzar has in memory already."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from danzar.bot import DanzarBot
from danzar.broker.news import NewsDesk
from danzar.broker.pool_worker import PoolWorker
from danzar.core.batch_tuning import BatchView
from danzar.core.device_memory import DeviceMemory
from danzar.core.pressure import Level, Pressure
from danzar.core.state import State
from danzar.core.upkeep import AllocatorView
from danzar.logs.keep import dropped
from danzar.metrics.background import Background
from danzar.metrics.own import Gateway, WorkerFact
from danzar.metrics.ready_facts import is_connected, readiness_of
from danzar.nodes.standing import Member
from danzar.readiness import Readiness
from danzar.services import Services


@dataclass(frozen=True, slots=True)
class Sources:
    """All of it returns at once, and may be called on the event loop.

    Attributes:
        node: What this machine is called.
        state: The scheduler's, to be read only.
        figures_age_s: Of the newest figures of the devices; ``None``: there are none.
        incidents: The levels of those that last.
        incidents_opened: How many began since the start, by kind.
        log_dropped: Lines of the log that were lost since the start.
    """

    node: str
    state: State
    news: NewsDesk
    devices: Callable[[], Sequence[DeviceMemory]]
    pressure: Callable[[str], Pressure | None]
    allocators: Callable[[], Sequence[AllocatorView]]
    batches: Callable[[], Sequence[BatchView]]
    workers: Callable[[], Sequence[WorkerFact]]
    figures_age_s: Callable[[], float | None]
    loop_lag_s: Callable[[], float | None]
    incidents: Callable[[], Sequence[Level]]
    incidents_opened: Callable[[], Mapping[str, int]]
    members: Callable[[], Sequence[Member]]
    readiness: Callable[[], Readiness]
    gateway: Callable[[], Gateway | None]
    log_dropped: Callable[[], int]
    background: Background


def sources_of(services: Services, bot: DanzarBot | None, background: Background) -> Sources:
    """The parts of a running Danzar; ``bot`` is ``None`` without Discord."""
    manager, sampler = services.manager, services.sampler
    return Sources(
        node=services.nodes.name,
        state=manager.scheduler.state,
        news=manager.news,
        devices=services.gpu_memory_manager.devices,
        pressure=services.monitor.pressure,
        allocators=services.upkeep.memory,
        batches=manager.batches,
        workers=partial(_workers, services),
        figures_age_s=lambda: sampler.reading.age_s(manager.now_s()),
        loop_lag_s=lambda: services.loop_lag.p99_s,
        incidents=lambda: [x.level for x in services.incidents.open_incidents],
        incidents_opened=lambda: services.incidents.opened_total,
        members=services.nodes.all,
        readiness=partial(readiness_of, services, bot),
        gateway=lambda: None if bot is None else Gateway(is_connected(bot), bot.latency),
        log_dropped=dropped,
        background=background,
    )


def _workers(services: Services) -> list[WorkerFact]:
    labels = {s.uuid: s.label for s in services.sampler.reading.snapshots}
    return [_worker_fact(worker, labels) for worker in services.manager.workers()]


def _worker_fact(worker: PoolWorker, labels: Mapping[str, str]) -> WorkerFact:
    memory, uuid = worker.process.memory, worker.key.device_uuid
    return WorkerFact(
        engine=worker.process.engine,
        title=f"{worker.key.worker} on {labels.get(uuid, uuid)}",
        resident_bytes=None if memory is None else memory.rss_bytes,
        caches={} if memory is None else memory.caches,
    )
