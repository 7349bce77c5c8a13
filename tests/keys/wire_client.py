"""Run as a program: one job, accepted and worked on over the queue's address in a file.

python wire_client.py FILE_WITH_URL FOLDER PROMPT
"""

import asyncio
import sys
from pathlib import Path

from danzar.config.jobs import JobsConfig
from danzar.jobs.contract import JobState
from danzar.jobs.open_jobs import open_jobs
from danzar.keys.plain_arguments import use_plain_arguments
from tests.jobs.helpers import EchoInference, ended, wish
from tests.keys.servers import TOLD_BY_NOBODY


async def one_job(url: str, folder: Path, prompt: str) -> None:
    """Submit it, let it run here, and read its result; all of that goes over the queue."""
    use_plain_arguments()
    config = JobsConfig(url=url)
    models = {"echo": 1}
    async with open_jobs(
        config, folder, inference=EchoInference(), models=lambda: models, node=TOLD_BY_NOBODY
    ) as jobs:
        view = await ended(jobs, (await jobs.submit(wish(prompt))).job_id)
        assert view.state is JobState.COMPLETED, view
        output = await jobs.output(view.job_id)
        assert prompt in output.text


if __name__ == "__main__":
    asyncio.run(one_job(Path(sys.argv[1]).read_text(), Path(sys.argv[2]), sys.argv[3]))
