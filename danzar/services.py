"""The composition root below Discord: builds the parts and wires them."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from danzar.broker.first_loads import FirstLoads
from danzar.broker.leak_watch import LeakWatch
from danzar.broker.manager import ModelManager
from danzar.broker.open_manager import open_manager
from danzar.broker.optimizer_rules import upkeep_rules
from danzar.broker.reservations import Reservations
from danzar.broker.rules import ledger_rules
from danzar.broker.upkeep import Upkeep
from danzar.chat.service import ChatService
from danzar.config.places import data_folder
from danzar.config.settings import Config
from danzar.gpu_memory import GpuMemoryManager, MemoryRules
from danzar.graph import UseHistory
from danzar.heap import give_back_regularly
from danzar.incidents.book import IncidentBook
from danzar.incidents.open_incidents import Incidents, incident_rules, open_incidents
from danzar.incidents.sources import Peer, observe_peers
from danzar.jobs.service import JobService
from danzar.keys.own_certificates import own_certificates
from danzar.live.followers import (
    follow_alerts,
    follow_manager,
    follow_monitor,
    follow_upkeep,
    follow_vision,
)
from danzar.live.live_config import LiveConfig
from danzar.loop_lag import LoopLag
from danzar.monitor import MemoryMonitor
from danzar.nodes.nodes import Nodes
from danzar.nodes.sharing import open_sharing
from danzar.nodes.standing import Standing
from danzar.optimizer.desk import OptimizerDesk, audit_automatic
from danzar.optimizer.follow import follow_optimizer
from danzar.optimizer.optimizer import MemoryOptimizer, Parts
from danzar.pictures.elsewhere import model_elsewhere
from danzar.pictures.open_pictures import open_pictures
from danzar.pictures.service import PictureService
from danzar.resources.machine import LiveMachine
from danzar.resources.manager import ResourceManager
from danzar.resources.open_resources import compute_capabilities, open_resources
from danzar.running import running
from danzar.store import STORE_FILE, Store
from danzar.telemetry.base import Telemetry
from danzar.telemetry.detect import open_telemetry
from danzar.telemetry.sampler import Sampler
from danzar.telemetry.simulated import SimulatedCard
from danzar.vision.service import VisionService
from danzar.vision.watch import WatchService

log = logging.getLogger(__name__)

_RESERVATIONS = "reservations.json"
# Large, and wanted now and then: they are loaded when somebody asks.
ON_DEMAND = frozenset({"imagine", "video"})
_DEFAULT_CONTEXT = 4096  # of the llama backend


@dataclass(frozen=True, slots=True)
class Services:
    """Everything below Discord. The seed calls this the app context."""

    config: Config
    telemetry: Telemetry
    sampler: Sampler
    manager: ModelManager
    first_loads: FirstLoads
    gpu_memory_manager: GpuMemoryManager
    monitor: MemoryMonitor
    incidents: IncidentBook
    incident_parts: Incidents
    upkeep: Upkeep
    resources: ResourceManager
    optimizer: MemoryOptimizer
    optimizer_desk: OptimizerDesk
    store: Store
    vision: VisionService
    watches: WatchService
    chat: ChatService
    pictures: PictureService
    loop_lag: LoopLag
    reservations: Reservations
    use_history: UseHistory
    live: LiveConfig
    nodes: Nodes
    jobs: JobService | None


@asynccontextmanager
async def open_services(config: Config) -> AsyncIterator[Services]:
    """Build everything below Discord, and end it, workers included, with the context.

    Raises:
        danzar.errors.DanzarError: The driver is demanded and absent, or the database can't be used.
    """
    async with AsyncExitStack() as stack:
        telemetry, sampler = await stack.enter_async_context(_open_figures(config))
        manager = await stack.enter_async_context(open_manager(config, telemetry, sampler))
        gpu_mm = GpuMemoryManager(
            sampler,
            manager.scheduler.ledger,
            MemoryRules.from_config(config),
            own_pids=manager.worker_pids,
        )
        memory = config.vision.gpu_memory
        monitor = MemoryMonitor(
            gpu_mm,
            interval_s=memory.memory_check_interval,
            enabled=memory.enable_memory_monitoring,
        )
        state = manager.scheduler.state
        upkeep = Upkeep(manager.workers, manager.recycle, sampler, state, upkeep_rules(config))
        leaks = LeakWatch(
            manager.workers, lambda: sampler.reading.snapshots, manager.recycle, state
        )
        resources = await stack.enter_async_context(
            open_resources(
                config,
                LiveMachine(
                    gpu_mm,
                    manager.scheduler.ledger,
                    manager.models,
                    await compute_capabilities(telemetry),
                ),
                upkeep,
            )
        )
        loop_lag = LoopLag()
        store = await stack.enter_async_context(
            Store.open(
                data_folder(config) / STORE_FILE, keep_messages=config.bot.chat.keep_messages
            )
        )
        incidents = await stack.enter_async_context(
            open_incidents(
                config.bot.alerts,
                store,
                manager,
                gpu_mm,
                sampler.readings(),
                lambda: own_certificates(config, datetime.now(UTC)),
            )
        )
        _join(monitor, incidents, config)
        for source in (manager.observe, leaks.observe, resources.observe):
            monitor.add_source(source)
        optimizer = MemoryOptimizer(
            config.vram.optimizer,
            Parts(
                manager,
                upkeep,
                gpu_mm,
                sampler.refresh,
                audit_automatic(store.audit),
                config.bot.watch.batch_size,
            ),
        )
        reservations = Reservations(
            ledger_rules(config, sampler.reading.snapshots).reservations,
            manager.reserve,
            data_folder(config) / _RESERVATIONS,
        )
        use_history = UseHistory(gpu_mm.devices, keep_s=config.vram.monitor.history_s)
        await stack.enter_async_context(
            running(
                sampler.run(),
                manager.run(),
                monitor.run(),
                upkeep.run(),
                leaks.run(),
                optimizer.run(),
                loop_lag.run(),
                use_history.run(sampler.readings()),
                give_back_regularly(),
            )
        )
        await reservations.restore()
        vision = await stack.enter_async_context(VisionService(manager, config))
        watches = await stack.enter_async_context(WatchService(manager, vision, config))
        chat = ChatService(
            manager,
            store,
            config.bot.chat,
            config.active_profile,
            model=config.models.use.chat,
            context_tokens=_chat_context_tokens(config),
        )
        followers = (
            follow_manager(manager, reservations, lambda: sampler.reading.snapshots),
            follow_monitor(gpu_mm, monitor),
            follow_alerts(monitor, incidents),
            follow_upkeep(upkeep),
            follow_vision(vision),
            follow_optimizer(optimizer),
        )
        live = await asyncio.to_thread(LiveConfig, config, followers, audit=store.audit)
        sharing = await stack.enter_async_context(open_sharing(config, manager, store.audit))
        monitor.add_source(lambda: observe_peers(_peers(sharing.nodes)))
        yield Services(
            config=config,
            telemetry=telemetry,
            sampler=sampler,
            manager=manager,
            first_loads=FirstLoads(manager.news),
            gpu_memory_manager=gpu_mm,
            monitor=monitor,
            incidents=incidents.book,
            incident_parts=incidents,
            upkeep=upkeep,
            resources=resources,
            optimizer=optimizer,
            optimizer_desk=OptimizerDesk(optimizer, live, store.audit),
            store=store,
            vision=vision,
            watches=watches,
            chat=chat,
            pictures=open_pictures(
                config,
                manager,
                resources,
                lambda label: _card_name(sampler, label),
                sharing.jobs,
                lambda role: _model_elsewhere(sharing.nodes, role),
            ),
            loop_lag=loop_lag,
            reservations=reservations,
            use_history=use_history,
            live=live,
            nodes=sharing.nodes,
            jobs=sharing.jobs,
        )


def preload(services: Services) -> None:
    """Load every role's model that fits as things stand, so that the first answer is quick."""
    names = needed_models(services.config).values()
    wanted = frozenset(names) if services.config.vram.placement.preload else frozenset[str]()
    for name in wanted:
        services.manager.preload(name)
    services.first_loads.ask(wanted)


def needed_models(config: Config) -> dict[str, str]:
    """By role: the models that may be asked for at any moment, and are loaded at the start."""
    used = config.models.use.model_dump().items()
    return {role: name for role, name in used if name is not None and role not in ON_DEMAND}


def _join(monitor: MemoryMonitor, incidents: Incidents, config: Config) -> None:
    """Have the monitor go on with the incidents of an earlier run, and tell the book of all."""
    monitor.rules = incident_rules(config.bot.alerts)
    monitor.restore(incidents.restored)
    monitor.add_follower(incidents.book.follow)
    monitor.add_source(incidents.queues.observe)
    monitor.add_source(incidents.drift.observe)
    monitor.add_source(incidents.certificates.observe)


def _peers(nodes: Nodes) -> list[Peer]:
    """The other machines, as they are heard of."""
    others = (member for member in nodes.all() if member.name != nodes.name)
    return [Peer(m.name, m.standing is Standing.LOST, m.silent_s) for m in others]


def _card_name(sampler: Sampler, label: str) -> str | None:
    """What the card that is shown as ``cuda:N`` is called; ``None`` where it is gone."""
    return next((s.name for s in sampler.reading.snapshots if s.label == label), None)


def _model_elsewhere(nodes: Nodes, role: str) -> str | None:
    """The model of this role that other machines serve best."""
    others = (m for m in nodes.all() if m.takes_jobs and m.name != nodes.name)
    return model_elsewhere(role, (member.state.models for member in others))


def _chat_context_tokens(config: Config) -> int:
    """What prompt and answer may take together in the chat model."""
    entry = config.models.models.get(config.models.use.chat or "")
    return int(entry.settings.get("n_ctx", _DEFAULT_CONTEXT)) if entry else _DEFAULT_CONTEXT


@asynccontextmanager
async def _open_figures(config: Config) -> AsyncIterator[tuple[Telemetry, Sampler]]:
    """What measures the devices, and the first figures that it gave."""
    telemetry = await telemetry_of(config)
    try:
        sampler = Sampler(
            telemetry,
            interval_s=config.vram.telemetry.sample_interval_s,
            history_s=config.vram.monitor.history_s,
        )
        await sampler.refresh()
        yield telemetry, sampler
    finally:
        await telemetry.close()


async def telemetry_of(config: Config) -> Telemetry:
    """What measures the devices, as configured."""
    settings = config.vram.telemetry
    return await open_telemetry(
        settings.mode,
        cards=[SimulatedCard(c.name, c.memory) for c in settings.simulated_cards],
        simulate_when_absent=settings.simulate_when_absent,
        timeout_s=settings.timeout_s,
    )
