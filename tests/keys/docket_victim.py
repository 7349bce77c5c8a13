"""Run as a program: a docket that reads what an attacker wrote; says where his code ran.

python docket_victim.py URL FOLDER plain|pickled
"""

import asyncio
import base64
import contextlib
import json
import logging
import os
import pickle
import sys
from datetime import UTC, datetime
from pathlib import Path

from docket import Docket, Worker

from danzar.keys.plain_arguments import use_plain_arguments

PATIENCE_S = 2.0


class Evil:
    """Whoever unpickles it makes a file."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.mkdir, (str(self.file),)


async def ticket(text: str) -> str:
    return text


async def in_the_stream(docket, redis, evil):
    now = datetime.now(UTC).isoformat()
    fields = {"key": "k1", "when": now, "function": "ticket", "args": evil}
    fields |= {"kwargs": pickle.dumps({}), "attempt": "1", "generation": "1"}
    await redis.xadd(docket.key("stream"), fields)
    await works(docket)


async def in_a_strike(docket, redis, evil):
    fields = {"direction": "strike", "function": "other", "parameter": "text"}
    await redis.xadd(docket.strike_list.strike_key, fields | {"operator": "==", "value": evil})
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(docket.wait_for_strikes_loaded(), PATIENCE_S)
    await works(docket)


async def in_a_run(docket, redis, evil):
    fields = {"function": "ticket", "args": evil, "kwargs": evil, "when": "1"}
    await redis.hset(docket.runs_key("k3"), mapping=fields)
    await docket.get_execution("k3")


async def in_a_result(docket, redis, evil):
    execution = await docket.add(ticket, key="k4")("text")
    await works(docket)
    await execution.sync()
    data = {"data": base64.b64encode(evil).decode()}
    await docket.result_storage.put(execution.result_key, data)
    await execution.get_result()


async def works(docket):
    async with Worker(docket, minimum_check_interval=WAIT, scheduling_resolution=WAIT) as worker:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(worker.run_until_finished(), PATIENCE_S)


async def main(url, folder, way):
    if way == "plain":
        use_plain_arguments()
    ran = {}
    for attack in (in_the_stream, in_a_strike, in_a_run, in_a_result):
        marker = folder / attack.__name__
        evil = pickle.dumps((Evil(marker),))
        name = f"danzar:jobs:{way}-{attack.__name__}"
        with contextlib.suppress(Exception):
            async with Docket(name=name, url=url) as docket:
                docket.register(ticket)
                async with docket.redis() as redis:
                    await attack(docket, redis, evil)
        ran[attack.__name__] = marker.exists()
    sys.stdout.write(json.dumps(ran))


if __name__ == "__main__":
    from datetime import timedelta

    WAIT = timedelta(milliseconds=10)
    logging.disable(logging.CRITICAL)
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
