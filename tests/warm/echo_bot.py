"""The manager and its keeper over echo workers; ``python -m tests.warm.echo_bot FOLDER`` stays."""

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from danzar.broker.journal import open_journal
from danzar.broker.leftovers import reap_leftovers
from danzar.broker.manager import ModelManager
from danzar.broker.warm import WarmKeeper, WarmParts
from danzar.core.book import Margins
from danzar.core.ledger import Ledger
from danzar.core.scheduler import Scheduler
from danzar.core.state import SchedulerRules
from danzar.core.warm_items import WarmRules
from danzar.telemetry.sampler import Sampler
from danzar.telemetry.simulated import SimulatedCard, SimulatedCards
from danzar.units import GIB, MIB
from danzar.workers.outcomes import WorkerLimits
from tests.manager.worlds import echo_model, make_pool, running

KEPT = 8 * MIB


async def until(condition, timeout_s=60.0):
    """Wait for something that the manager's own events bring about."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.02)


@dataclass(frozen=True)
class Bot:
    manager: ModelManager
    keeper: WarmKeeper
    settings: dict[str, dict[str, Any]]

    def warm(self):
        """What is booked for the warm tier: bytes by name."""
        leases = self.manager.scheduler.ledger.leases()
        return {x.model: x.size_bytes for x in leases if x.purpose == "warm"}

    def rules(self, **warm):
        """Its rules, with another warm tier."""
        now = self.manager.scheduler.state.rules
        return replace(now, warm=replace(now.warm, **warm))

    def way(self, model):
        """How the model was loaded."""
        return self.manager._pool.way_of(model)

    def phases(self):
        return {str(k): str(i.phase) for k, i in self.manager.scheduler.state.warm.items.items()}

    async def cycle(self, *models):
        """Load these, and unload them again."""
        for model in models:
            await self.manager.load(model)
        for model in models:
            await self.manager.unload(model)


def keepable(name, **changes):
    return echo_model(name, 0.1, warm_bytes=KEPT, **changes)


@asynccontextmanager
async def echo_bot(*models, folder=None, budget=64 * MIB, standby=False, settings=None, files=None):
    echo = {m.name: {"keep_bytes": KEPT} for m in models} | (settings or {})
    cards = SimulatedCards((SimulatedCard("A", 12 * GIB),))
    sampler = Sampler(cards, interval_s=0.2)
    with TemporaryDirectory() as temporary:
        async with open_journal(Path(folder or temporary) / "journal.db") as journal:
            await reap_leftovers(journal, sampler)
            pool = make_pool(models, echo, journal, cards, WorkerLimits(heartbeat_s=0.2))

            async def refresh():
                return (await sampler.refresh()).snapshots

            parts = WarmParts(
                backends={m.name: "echo" for m in models},
                files=files or {},
                limits=WorkerLimits(heartbeat_s=0.2),
                journal=journal,
                refresh=refresh,
            )
            keeper = pool.warm = WarmKeeper(parts)
            rules = SchedulerRules(warm=WarmRules(budget, standby, page_cache_bytes=GIB))
            scheduler = Scheduler(models, Ledger(margins=Margins(0, 0)), rules)
            manager = ModelManager(scheduler, pool, sampler, part_timeout_s=30)
            await sampler.refresh()
            async with running(sampler.run(), manager.run(), keeper.run()):
                yield Bot(manager, keeper, echo)


async def live(folder):
    """Keep something, say so, and wait to be killed."""
    async with echo_bot(keepable("first"), folder=folder) as bot:
        await bot.cycle("first")
        sys.stdout.write(json.dumps(bot.warm()) + "\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(live(Path(sys.argv[1])))
