"""The composition root below Discord: builds the parts and wires them."""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from danzar.catalog import model_facts
from danzar.chat.service import ChatService
from danzar.config.places import data_folder
from danzar.config.settings import Config
from danzar.core.device import DeviceKind, DeviceSnapshot, find_device
from danzar.core.ledger import Ledger, Margins, Reservation
from danzar.core.scheduler import Scheduler
from danzar.gpu_memory import GpuMemoryManager, MemoryRules
from danzar.loop_lag import LoopLag
from danzar.manager import ModelManager
from danzar.models.manifest import load_spec
from danzar.monitor import MemoryMonitor
from danzar.pool import WorkerPool
from danzar.store import Store
from danzar.telemetry.base import Telemetry
from danzar.telemetry.detect import open_telemetry
from danzar.telemetry.sampler import Sampler
from danzar.telemetry.simulated import SimulatedCard, SimulatedCards
from danzar.units import gib_to_bytes
from danzar.vision.service import VisionService
from danzar.vision.watch import WatchService
from danzar.workers.contract import LoadSpec
from danzar.workers.outcomes import WorkerLimits

log = logging.getLogger(__name__)

_DEFAULT_CONTEXT = 4096  # of the llama backend


@dataclass(frozen=True, slots=True)
class Services:
    """Everything below Discord. The seed calls this the app context."""

    config: Config
    sampler: Sampler
    manager: ModelManager
    gpu_memory_manager: GpuMemoryManager
    monitor: MemoryMonitor
    store: Store
    vision: VisionService
    watches: WatchService
    chat: ChatService
    loop_lag: LoopLag


@asynccontextmanager
async def open_services(config: Config) -> AsyncIterator[Services]:
    """Build everything below Discord, and end it, workers included, with the context.

    Raises:
        danzar.errors.DanzarError: The driver is demanded and absent, or the database can't be used.
    """
    async with AsyncExitStack() as stack:
        telemetry = await _open_telemetry(config)
        stack.push_async_callback(telemetry.close)
        sampler = Sampler(
            telemetry,
            interval_s=config.vram.telemetry.sample_interval_s,
            history_s=config.vram.monitor.history_s,
        )
        reading = await sampler.refresh()
        ledger = _make_ledger(config, reading.snapshots)
        manager = await _make_manager(config, telemetry, sampler, ledger)
        gpu_mm = GpuMemoryManager(
            sampler, ledger, MemoryRules.from_config(config), own_pids=manager.worker_pids
        )
        memory = config.vision.gpu_memory
        monitor = MemoryMonitor(
            gpu_mm,
            interval_s=memory.memory_check_interval,
            enabled=memory.enable_memory_monitoring,
        )
        loop_lag = LoopLag()
        store = await stack.enter_async_context(
            Store.open(
                data_folder(config) / "danzar.db", keep_messages=config.bot.chat.keep_messages
            )
        )
        await stack.enter_async_context(
            _running(sampler.run(), manager.run(), monitor.run(), loop_lag.run())
        )
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
        yield Services(
            config, sampler, manager, gpu_mm, monitor, store, vision, watches, chat, loop_lag
        )


def preload(services: Services) -> None:
    """Load every role's model that fits as things stand, so that the first answer is quick."""
    if services.config.vram.placement.preload:
        for name in services.config.models.use.model_dump().values():
            if name is not None:
                services.manager.preload(name)


@asynccontextmanager
async def _running(*parts: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run the parts while the context lasts; if one fails, the context fails with it."""
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(part) for part in parts]
        try:
            yield
        finally:
            for task in running:
                task.cancel()


def _chat_context_tokens(config: Config) -> int:
    """What prompt and answer may take together in the chat model."""
    entry = config.models.models.get(config.models.use.chat or "")
    return int(entry.settings.get("n_ctx", _DEFAULT_CONTEXT)) if entry else _DEFAULT_CONTEXT


async def _open_telemetry(config: Config) -> Telemetry:
    settings = config.vram.telemetry
    return await open_telemetry(
        settings.mode,
        cards=[SimulatedCard(c.name, c.memory) for c in settings.simulated_cards],
        simulate_when_absent=settings.simulate_when_absent,
        timeout_s=settings.timeout_s,
    )


def _make_ledger(config: Config, snapshots: tuple[DeviceSnapshot, ...]) -> Ledger:
    memory, placement = config.vision.gpu_memory, config.vram.placement
    llm_device = find_device(snapshots, memory.main_llm_device)
    reserved_bytes = gib_to_bytes(memory.main_llm_memory_reservation_gb)
    reservations = []
    if llm_device is not None and llm_device.kind is DeviceKind.CUDA and config.models.use.chat:
        reservations.append(Reservation(llm_device.uuid, "chat", reserved_bytes))
    return Ledger(
        reservations,
        {"vision": gib_to_bytes(memory.vision_memory_limit_gb)},
        Margins(placement.margin, placement.host_margin),
    )


async def _make_manager(
    config: Config, telemetry: Telemetry, sampler: Sampler, ledger: Ledger
) -> ModelManager:
    workers, placement = config.vram.workers, config.vram.placement
    scheduler = Scheduler(
        await model_facts(config),
        ledger,
        keep_alive_s=placement.keep_alive_s,
        max_queue=placement.max_queue,
    )
    pool = WorkerPool(
        {name: entry.backend for name, entry in config.models.models.items()},
        partial(_make_spec, config),
        limits=WorkerLimits(
            ready_s=workers.ready_timeout_s,
            heartbeat_lost_s=workers.heartbeat_timeout_s,
            stop_s=workers.stop_timeout_s,
        ),
        load_timeout_s=workers.load_timeout_s,
        cards=telemetry if isinstance(telemetry, SimulatedCards) else None,
    )
    return ModelManager(scheduler, pool, sampler, part_timeout_s=workers.part_timeout_s)


async def _make_spec(config: Config, model: str, device: DeviceSnapshot) -> LoadSpec:
    """A worker sees its own card only, as ``cuda:0``; a simulated card computes on the CPU."""
    on_card = device.kind is DeviceKind.CUDA and not device.simulated
    return await asyncio.to_thread(
        load_spec, config, model, "cuda:0" if on_card else "cpu", -1 if on_card else 0
    )
