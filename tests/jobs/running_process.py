"""A further machine: pulls and runs jobs until it is killed; run by ``test_nodes.py``."""

import asyncio
import sys

from danzar.config.jobs import JobsConfig
from danzar.jobs.consumer import consume
from danzar.jobs.open_jobs import open_queue
from tests.jobs.helpers import EchoInference


async def main(url: str, name: str, seconds: str) -> None:
    config = JobsConfig(url=url, lease_s=1.0, drain_s=0.0)
    echo = EchoInference(seconds=float(seconds))
    async with (
        open_queue(config) as queue,
        consume(echo, queue, lambda: {"echo": 1}, name, config),
    ):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
