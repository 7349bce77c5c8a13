"""Builds the manager and what belongs to it: book, journal, workers, what loads really took."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from danzar.broker.catalog import model_facts, worker_of
from danzar.broker.corrections import Corrections
from danzar.broker.curve_file import CURVES_FILE, CurveFile
from danzar.broker.curves import Curves
from danzar.broker.decisions import DecisionLog
from danzar.broker.habits import HABITS_FILE, HabitFile, HabitKeeper
from danzar.broker.journal import Journal, open_journal
from danzar.broker.leftovers import reap_leftovers
from danzar.broker.manager import ModelManager, OnLoaded
from danzar.broker.measured import MEASURED_FILE, Measurements
from danzar.broker.pool import Hosted, Settings, WorkerPool
from danzar.broker.request_log import log_request
from danzar.broker.requests import OnResult
from danzar.broker.rules import absent_devices, ledger_rules, scheduler_rules
from danzar.broker.spill_watch import SPEEDS_FILE, SpillWatch
from danzar.broker.warm import WarmKeeper, WarmParts
from danzar.broker.warm_rules import mapped_files
from danzar.config.places import data_folder
from danzar.config.settings import Config
from danzar.core.candidates import LAYERS_SETTING, SPLIT_SETTING
from danzar.core.device import DeviceSnapshot
from danzar.core.events import Decided, LoadFinished
from danzar.core.ledger import Ledger
from danzar.core.model import ModelFacts
from danzar.core.plan import PlacedOn
from danzar.core.scheduler import Scheduler
from danzar.models.manifest import load_spec
from danzar.running import running
from danzar.telemetry.base import Telemetry
from danzar.telemetry.sampler import Sampler
from danzar.telemetry.simulated import SimulatedCards
from danzar.workers.contract import DetectedBatch, LoadSpec, MeasuredBatch, RankedBatch, Result
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
        warm = pool.warm = await _make_warm(config, pool, sampler)
        patience_s = config.vram.workers.part_timeout_s
        manager = ModelManager(scheduler, pool, sampler, part_timeout_s=patience_s)
        measured = await stack.enter_async_context(Measurements.open(folder / MEASURED_FILE))
        corrections = Corrections(config, measured, manager.change_variants)
        await corrections.begin(scheduler.facts, snapshots)
        curves = Curves(
            config,
            CurveFile(folder / CURVES_FILE),
            pool,
            scheduler.state,
            manager.note_batches,
        )
        spills = SpillWatch(
            folder / SPEEDS_FILE, lambda: sampler.reading.snapshots, manager.load_smaller
        )
        manager.observers.append(spills.observe)
        manager.news.add_listener(log_request)
        manager.on_loaded = _both(corrections.note, spills.loaded)
        manager.requests.on_result = _learn_from(curves, spills)
        decisions = DecisionLog(folder)
        stack.push_async_callback(asyncio.to_thread, decisions.close)
        manager.on_decided = _both_told(decisions, spills)
        habits = await stack.enter_async_context(HabitFile.open(folder / HABITS_FILE))
        await habits.restore(scheduler.state, manager.now_s())
        keeper = HabitKeeper(habits, scheduler.state, manager.now_s)
        await stack.enter_async_context(running(keeper.run(), warm.run()))
        await stack.enter_async_context(
            running(corrections.run(), curves.run(manager.now_s), spills.run())
        )
        yield manager


async def _make_warm(config: Config, pool: WorkerPool, sampler: Sampler) -> WarmKeeper:
    async def refresh() -> tuple[DeviceSnapshot, ...]:
        return (await sampler.refresh()).snapshots

    models = config.models.models
    return WarmKeeper(
        WarmParts(
            backends={name: entry.backend for name, entry in models.items()},
            files=await asyncio.to_thread(mapped_files, config),
            limits=pool.limits,
            journal=pool.journal,
            refresh=refresh,
        )
    )


def _both(first: OnLoaded, second: OnLoaded) -> OnLoaded:
    def tell(facts: ModelFacts, event: LoadFinished, placed: PlacedOn) -> None:
        first(facts, event, placed)
        second(facts, event, placed)

    return tell


def _both_told(decisions: DecisionLog, spills: SpillWatch) -> Callable[[Decided], None]:
    def tell(decided: Decided) -> None:
        decisions.write(decided)
        if isinstance(decided.plan, PlacedOn):
            spills.about_to_load()

    return tell


def _learn_from(curves: Curves, spills: SpillWatch) -> OnResult:
    """Every answer tells what its batches took, and how fast its model is."""

    def learn(model: str, result: Result, seconds: float) -> None:
        match result:
            case MeasuredBatch(work):
                curves.note(model, [work])
            case DetectedBatch(work=works) | RankedBatch(work=works):
                curves.note(model, works)
            case _:
                pass
        spills.answered(model, result, seconds)

    return learn


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
    on_card = device.is_real_gpu
    return await asyncio.to_thread(
        load_spec,
        config,
        model,
        "cuda:0" if on_card else "cpu",
        layers if on_card else 0,
        layer_split=tuple(map(int, split.split(":"))) if split and on_card else (),
        settings=settings,
    )
