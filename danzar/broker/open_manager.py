"""Builds the manager and what belongs to it: book, journal, workers, what loads really took."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from danzar.broker.catalog import model_facts, worker_of
from danzar.broker.corrections import Corrections
from danzar.broker.decisions import DecisionLog
from danzar.broker.journal import Journal, open_journal
from danzar.broker.leftovers import reap_leftovers
from danzar.broker.manager import ModelManager
from danzar.broker.measured import MEASURED_FILE, Measurements
from danzar.broker.pool import Hosted, Settings, WorkerPool
from danzar.broker.rules import absent_devices, ledger_rules, scheduler_rules
from danzar.config.places import data_folder
from danzar.config.settings import Config
from danzar.core.candidates import LAYERS_SETTING, SPLIT_SETTING
from danzar.core.device import DeviceKind, DeviceSnapshot
from danzar.core.ledger import Ledger
from danzar.core.scheduler import Scheduler
from danzar.models.manifest import load_spec
from danzar.running import running
from danzar.telemetry.base import Telemetry
from danzar.telemetry.sampler import Sampler
from danzar.telemetry.simulated import SimulatedCards
from danzar.workers.contract import LoadSpec
from danzar.workers.outcomes import WorkerLimits

log = logging.getLogger(__name__)

_JOURNAL = "journal.db"
_ALL_LAYERS = -1


@asynccontextmanager
async def open_manager(
    config: Config, telemetry: Telemetry, sampler: Sampler
) -> AsyncIterator[ModelManager]:
    """A manager that is ready to run, after what an earlier run left behind was ended.

    Raises:
        danzar.errors.DanzarError: The journal can't be used.
    """
    folder = data_folder(config)
    async with AsyncExitStack() as stack:
        journal = await stack.enter_async_context(open_journal(folder / _JOURNAL))
        await reap_leftovers(journal, sampler)
        snapshots = sampler.reading.snapshots
        rules, ledger = scheduler_rules(config), _make_ledger(config, snapshots)
        scheduler = Scheduler(await model_facts(config), ledger, rules)
        pool = _make_pool(config, telemetry, journal)
        patience_s = config.vram.workers.part_timeout_s
        manager = ModelManager(scheduler, pool, sampler, part_timeout_s=patience_s)
        measured = await stack.enter_async_context(Measurements.open(folder / MEASURED_FILE))
        corrections = Corrections(config, measured, manager.change_variants)
        await corrections.begin(scheduler.facts, snapshots)
        manager.on_loaded = corrections.note
        decisions = DecisionLog(folder)
        stack.push_async_callback(asyncio.to_thread, decisions.close)
        manager.on_decided = decisions.write
        await stack.enter_async_context(running(corrections.run()))
        yield manager


def _make_ledger(config: Config, snapshots: tuple[DeviceSnapshot, ...]) -> Ledger:
    rules = ledger_rules(config, snapshots)
    for name in absent_devices(config, snapshots):
        log.warning("vram_config.yaml: devices.%s is not there; what it says has no effect", name)
    return Ledger(rules.reservations, rules.budgets_bytes, rules.margins, rules.limits)


def _make_pool(config: Config, telemetry: Telemetry, journal: Journal) -> WorkerPool:
    workers = config.vram.workers
    return WorkerPool(
        {
            name: Hosted(entry.backend, worker_of(name, entry.backend))
            for name, entry in config.models.models.items()
        },
        partial(_make_spec, config),
        limits=WorkerLimits(
            ready_s=workers.ready_timeout_s,
            heartbeat_lost_s=workers.heartbeat_timeout_s,
            stop_s=workers.stop_timeout_s,
        ),
        load_timeout_s=workers.load_timeout_s,
        cards=telemetry if isinstance(telemetry, SimulatedCards) else None,
        journal=journal,
    )


async def _make_spec(
    config: Config, model: str, device: DeviceSnapshot, placed: Settings
) -> LoadSpec:
    """A worker sees its own cards only, from ``cuda:0``; a simulated card computes on the CPU."""
    settings = dict(placed)
    layers = int(settings.pop(LAYERS_SETTING, _ALL_LAYERS))
    split = str(settings.pop(SPLIT_SETTING, ""))
    on_card = device.kind is DeviceKind.CUDA and not device.simulated
    return await asyncio.to_thread(
        load_spec,
        config,
        model,
        "cuda:0" if on_card else "cpu",
        layers if on_card else 0,
        layer_split=tuple(map(int, split.split(":"))) if split and on_card else (),
        settings=settings,
    )
