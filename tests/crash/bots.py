"""Bots to be killed: ``python -m tests.crash.bots FOLDER``. One process for each line on stdin.

The line is JSON: ``seed``, ``stubborn`` (workers outlive their bot), ``deaf`` (nor do they hear
SIGTERM), ``settles`` (load everything first, and say what the book and the driver show then).
Each bot ends what an earlier one left, says what its book and the driver show, then loads and
unloads at random until it is killed. Forked, so that it starts as fast as it is killed.
"""

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from danzar.broker.journal import Journal, LeaseRow, open_journal
from danzar.broker.leftovers import Leftovers, reap_leftovers
from danzar.broker.manager import ModelManager
from danzar.core.book import Lease, Margins
from danzar.core.device import DeviceKind
from danzar.core.ledger import Ledger
from danzar.core.scheduler import Scheduler
from danzar.errors import DanzarError
from danzar.telemetry.nvml import NvmlTelemetry
from danzar.telemetry.sampler import Sampler
from danzar.units import GIB, MIB
from danzar.workers.outcomes import WorkerLimits
from tests.manager.worlds import echo_model, make_pool, running

STUBBORN = Path(__file__).parent / "stubborn"
MODELS = (
    echo_model("first", 2, worker="shared", preferred=("cuda:0",)),
    echo_model("second", 1, worker="shared", preferred=("cuda:0",)),
    echo_model("third", 3, worker="echo:third", preferred=("cuda:1",)),
    echo_model("fourth", 4, worker="echo:fourth", preferred=("cuda:0",)),
)


def main() -> None:
    folder = Path(sys.argv[1])
    for line in sys.stdin:
        if (pid := os.fork()) == 0:
            sys.stdin.close()
            asyncio.run(live(folder, **json.loads(line)))
        tell({"pid": pid})
        os.waitpid(pid, 0)
        tell({"ended": pid})


async def live(folder: Path, seed: int, stubborn: bool, deaf: bool, settles: bool) -> None:
    started_s = time.monotonic()
    if stubborn:
        os.environ["PYTHONPATH"] = str(STUBBORN)
    if deaf:
        os.environ["DANZAR_TEST_DEAF"] = "1"
    dice = random.Random(seed)
    settings = {
        m.name: {
            "card_folder": str(folder / "held"),
            "card_bytes": m.cuda_bytes - dice.randrange(64) * MIB,
            "card_s": dice.uniform(0, 0.3),
        }
        for m in MODELS
    }
    sampler = Sampler(NvmlTelemetry(), interval_s=0.2)
    async with open_journal(folder / "journal.db") as journal:
        found = await reap_leftovers(journal, sampler)
        pool = make_pool(MODELS, settings, journal, None, WorkerLimits(stop_s=2, heartbeat_s=0.2))
        scheduler = Scheduler(MODELS, Ledger(margins=Margins(0, 0)))
        manager = ModelManager(scheduler, pool, sampler, part_timeout_s=30)
        tell({"ready": await truth(journal, sampler, manager) | told(found, started_s)})
        async with running(sampler.run(), manager.run()):
            if settles:
                await asyncio.gather(*(manager.load(m.name) for m in MODELS))
                tell({"settled": await truth(journal, sampler, manager)})
            await asyncio.gather(*(worry(manager, m.name, dice) for m in MODELS))


async def worry(manager: ModelManager, model: str, dice: random.Random) -> None:
    """Load and unload until killed."""
    while True:
        await asyncio.sleep(dice.uniform(0, 0.1))
        try:
            await manager.load(model)
            await asyncio.sleep(dice.uniform(0, 0.2))
            await manager.unload(model)
        except DanzarError as exc:
            tell({"trouble": str(exc)})


async def truth(journal: Journal, sampler: Sampler, manager: ModelManager) -> dict[str, Any]:
    """What the book, the journal and the driver say of the cards."""
    snapshots = (await sampler.refresh()).snapshots
    cards = [s for s in snapshots if s.kind is DeviceKind.CUDA]
    leases = manager.scheduler.ledger.leases()
    rows = await journal.leases()
    return {
        "booked": {c.uuid: _sum(x for x in leases if x.device_uuid == c.uuid) for c in cards},
        "journalled": {c.uuid: _sum(x for x in rows if x.device_uuid == c.uuid) for c in cards},
        "held": {c.uuid: c.used_bytes - GIB for c in cards},
    }


def told(found: Leftovers, started_s: float) -> dict[str, Any]:
    return {
        "took_s": time.monotonic() - started_s,
        "reaped": len(found.reaped),
        "stuck": len(found.stuck),
    }


def _sum(leases: Iterable[Lease | LeaseRow]) -> int:
    return sum(lease.size_bytes for lease in leases)


def tell(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
