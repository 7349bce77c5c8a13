"""A manager over real worker processes of the echo backend, on simulated cards."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from danzar.core.device import DeviceKind, DeviceSnapshot
from danzar.core.ledger import Ledger, Margins
from danzar.core.model import ModelFacts
from danzar.core.scheduler import Scheduler
from danzar.manager import ModelManager
from danzar.pool import WorkerPool
from danzar.telemetry.sampler import Sampler
from danzar.telemetry.simulated import SimulatedCard, SimulatedCards
from danzar.units import GIB, MIB
from danzar.workers.contract import ChatMessage, Generate, LoadSpec
from danzar.workers.outcomes import WorkerLimits


@dataclass(frozen=True)
class World:
    manager: ModelManager
    cards: SimulatedCards
    sampler: Sampler
    settings: dict[str, dict[str, Any]]

    async def settled(self) -> None:
        """Let the owner task hear everything that was posted."""
        for _ in range(20):
            await asyncio.sleep(0)

    def leases(self):
        return self.manager.scheduler.ledger.leases()

    async def worker_pids_on_cards(self) -> set[int]:
        snapshots = await self.cards.sample()
        return {p.pid for s in snapshots if s.kind is DeviceKind.CUDA for p in s.processes}


def say(text: str) -> Generate:
    return Generate(messages=(ChatMessage("user", text),), max_tokens=10_000)


def echo_model(name: str, gib: float = 1.0, **changes: Any) -> ModelFacts:
    return ModelFacts(
        **{
            "name": name,
            "engine": "echo",
            "purpose": "chat",
            "cuda_bytes": round(gib * GIB),
            "context_bytes": 0,
            "host_bytes": 64 * MIB,
            "preferred": ("cuda:0",),
            **changes,
        }
    )


@asynccontextmanager
async def world(
    *models: ModelFacts,
    settings: dict[str, dict[str, Any]] | None = None,
    limits: WorkerLimits | None = None,
    part_timeout_s: float = 30.0,
    cards: tuple[SimulatedCard, ...] = (SimulatedCard("A", 12 * GIB), SimulatedCard("B", 12 * GIB)),
) -> AsyncIterator[World]:
    echo_settings = settings or {}
    telemetry = SimulatedCards(cards)
    sampler = Sampler(telemetry, interval_s=0.2)

    async def make_spec(model: str, device: DeviceSnapshot) -> LoadSpec:
        return LoadSpec(model, "echo", None, settings=echo_settings.get(model, {}))

    pool = WorkerPool(
        {m.name: "echo" for m in models},
        make_spec,
        limits=limits or WorkerLimits(ready_s=60, stop_s=5),
        load_timeout_s=60,
        cards=telemetry,
    )
    ledger = Ledger(margins=Margins(0, 0))
    scheduler = Scheduler(models, ledger, keep_alive_s=900, max_queue=8)
    manager = ModelManager(scheduler, pool, sampler, part_timeout_s=part_timeout_s)
    await sampler.refresh()
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(sampler.run()), tasks.create_task(manager.run())]
        try:
            yield World(manager, telemetry, sampler, echo_settings)
        finally:
            for task in running:
                task.cancel()
