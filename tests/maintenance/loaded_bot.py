"""The real services under load, until they are killed; run by ``test_restored_services.py``.

Prints what is acknowledged: ``turn N`` once a turn is kept, ``job ID`` once a job is accepted.
"""

import asyncio
import itertools
import sys
import time
from pathlib import Path

from danzar.config.load import load_config
from danzar.core.book import Reservation
from danzar.jobs.contract import JobRequest
from danzar.services import open_services
from danzar.store import StoredMessage
from danzar.units import GIB
from danzar.workers.contract import ChatMessage, Generate


def tell(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def side(number: int, role: str) -> StoredMessage:
    text = f"{role} {number} " + "x" * 300
    return StoredMessage(1, number, role, "ann", text, (), False, time.time())


async def talk(services) -> None:
    for number in itertools.count(1):
        await services.store.save_turn(side(number, "user"), side(number, "assistant"))
        await services.store.audit("ann (1)", "test.turn", str(number))
        tell("turn", number)


async def submit(services) -> None:
    while True:
        request = JobRequest("echo", Generate((ChatMessage("user", "one two three"),)))
        tell("job", (await services.jobs.submit(request)).job_id)
        await asyncio.sleep(0.05)


async def main(folder: str) -> None:
    async with open_services(load_config(Path(folder))) as services:
        snapshot = services.sampler.reading.snapshots[0]
        await services.reservations.add(Reservation(snapshot.uuid, "games", 2 * GIB), "ann (1)")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(talk(services))
            tasks.create_task(submit(services))


asyncio.run(main(sys.argv[1]))
