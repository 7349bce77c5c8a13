"""A process that accepts and runs jobs until it is killed; run by ``test_kill.py``.

It prints the id of each job when it has been accepted, and each end that it told a follower.
"""

import asyncio
import sys
from pathlib import Path

from danzar.config.jobs import JobsConfig
from danzar.jobs.contract import StateCame
from danzar.jobs.open_jobs import open_jobs
from tests.jobs.helpers import EchoInference, wish


def tell(*words: str) -> None:
    sys.stdout.write(" ".join(words) + "\n")
    sys.stdout.flush()


async def follow(jobs, job_id: str) -> None:
    async for event in jobs.follow(job_id):
        if isinstance(event, StateCame) and event.view.state.ended:
            output = await jobs.output(job_id)
            tell("ended", job_id, event.view.state.value, str(event.view.ended_at), output.text)


async def main(folder: str, url: str, count: str, name: str) -> None:
    echo = EchoInference(seconds=0.002)
    config = JobsConfig(url=url, lease_s=1.0, drain_s=0.0, retry_delay_s=0.05)
    parts = open_jobs(config, Path(folder), inference=echo, models=lambda: {"echo": 4}, node=name)
    async with parts as jobs, asyncio.TaskGroup() as followers:
        tell("ready")
        for i in range(int(count)):
            view = await jobs.submit(wish(f"{name} job {i}", max_attempts=50))
            tell("accepted", view.job_id)
            followers.create_task(follow(jobs, view.job_id))
        while True:
            await asyncio.sleep(0.02)
            if not await jobs.unfinished(None):
                break
    tell("done")


asyncio.run(main(*sys.argv[1:]))
