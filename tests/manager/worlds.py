"""A manager over real worker processes of the echo backend, on simulated cards."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from danzar.broker.journal import Journal, open_journal
from danzar.broker.manager import ModelManager
from danzar.broker.pool import Hosted, WorkerPool
from danzar.core.book import Margins
from danzar.core.device import DeviceKind, DeviceSnapshot
from danzar.core.ledger import Ledger
from danzar.core.model import ModelFacts
from danzar.core.scheduler import Scheduler
from danzar.core.state import SchedulerRules
from danzar.core.variant import Rung, Setting, Variant
from danzar.telemetry.sampler import Sampler
from danzar.telemetry.simulated import SimulatedCard, SimulatedCards
from danzar.units import GIB, MIB
from danzar.workers.contract import ChatMessage, Generate, LoadSpec
from danzar.workers.outcomes import WorkerLimits


@dataclass(frozen=True)
class World:
    manager: ModelManager
    pool: WorkerPool
    cards: SimulatedCards
    sampler: Sampler
    journal: Journal
    settings: dict[str, dict[str, Any]]

    async def settled(self) -> None:
        """Let the owner task hear everything that was posted."""
        for _ in range(20):
            await asyncio.sleep(0)

    def leases(self):
        return self.manager.scheduler.ledger.leases()

    def load_id(self, model: str) -> int | None:
        """Counts up with every load of any model."""
        return self.manager.scheduler.instances[model].load_id

    async def worker_pids_on_cards(self) -> set[int]:
        snapshots = await self.cards.sample()
        return {p.pid for s in snapshots if s.kind is DeviceKind.CUDA for p in s.processes}


def say(text: str) -> Generate:
    return Generate(messages=(ChatMessage("user", text),), max_tokens=10_000)


def echo_model(name: str, gib: float = 1.0, *, smaller: int = 0, **changes: Any) -> ModelFacts:
    """A model of ``gib``; each of its ``smaller`` variants has half the size of the one before."""
    return ModelFacts(
        **{
            "name": name,
            "worker": "echo",
            "purpose": "chat",
            "variants": tuple(_variant(gib, smaller, step) for step in range(smaller + 1)),
            "process_bytes": 64 * MIB,
            "preferred": ("cuda:0",),
            **changes,
        }
    )


def _variant(gib: float, smaller: int, step: int) -> Variant:
    size = 2 ** (smaller - step)
    return Variant(
        Rung.CONTEXT if step else Rung.FULL,
        cuda_bytes=round(gib * GIB) >> step,
        host_bytes=64 * MIB,
        settings=(("size", size),),
        loss=f"with size {size} instead of {2**smaller}" if step else "",
    )


def make_pool(
    models: tuple[ModelFacts, ...],
    settings: dict[str, dict[str, Any]],
    journal: Journal,
    cards: SimulatedCards | None,
    limits: WorkerLimits | None = None,
) -> WorkerPool:
    """Echo workers; ``settings`` are read at each load, and the placement's override them."""

    async def make_spec(
        model: str, device: DeviceSnapshot, placed: tuple[tuple[str, Setting], ...]
    ) -> LoadSpec:
        own = {key: value for key, value in placed if key == "size"}
        return LoadSpec(model, "echo", None, settings=settings.get(model, {}) | own)

    return WorkerPool(
        {m.name: Hosted("echo", m.worker) for m in models},
        make_spec,
        limits=limits or WorkerLimits(ready_s=60, stop_s=5),
        load_timeout_s=60,
        cards=cards,
        journal=journal,
    )


@asynccontextmanager
async def world(
    *models: ModelFacts,
    settings: dict[str, dict[str, Any]] | None = None,
    limits: WorkerLimits | None = None,
    part_timeout_s: float = 30.0,
    cards: tuple[SimulatedCard, ...] = (SimulatedCard("A", 12 * GIB), SimulatedCard("B", 12 * GIB)),
    rules: SchedulerRules | None = None,
) -> AsyncIterator[World]:
    echo_settings = settings or {}
    telemetry = SimulatedCards(cards)
    sampler = Sampler(telemetry, interval_s=0.2)
    with TemporaryDirectory() as folder:
        async with open_journal(Path(folder) / "journal.db") as journal:
            pool = make_pool(models, echo_settings, journal, telemetry, limits)
            ledger = Ledger(margins=Margins(0, 0))
            scheduler = Scheduler(models, ledger, rules or SchedulerRules(max_queue=8))
            manager = ModelManager(scheduler, pool, sampler, part_timeout_s=part_timeout_s)
            await sampler.refresh()
            async with running(sampler.run(), manager.run()):
                yield World(manager, pool, telemetry, sampler, journal, echo_settings)


@asynccontextmanager
async def running(*parts: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run the parts while the context lasts."""
    async with asyncio.TaskGroup() as tasks:
        started = [tasks.create_task(part) for part in parts]
        try:
            yield
        finally:
            for task in started:
                task.cancel()
