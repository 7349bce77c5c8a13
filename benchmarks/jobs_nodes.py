"""How much more two nodes do than one where the model is what limits them: simulated compute."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.jobs_world import MODEL, job, own_environment, redis, write_config
from danzar.config.jobs import JobsConfig
from danzar.jobs.contract import Jobs, JobState
from danzar.jobs.open_jobs import open_jobs
from danzar.keys.plain_arguments import use_plain_arguments

_WORDS = "one two"
_PATIENCE_S = 120.0


async def compare(jobs: int, seconds: float) -> dict[str, Any]:
    """The same jobs by one node and by two, each twice, in turn."""
    runs: dict[int, list[float]] = {1: [], 2: []}
    shares: list[dict[str, int]] = []
    for count in (1, 2, 1, 2):
        took_s, share = await _run(count, jobs, seconds)
        runs[count].append(jobs / took_s)
        shares.append(share)
    one, two = max(runs[1]), max(runs[2])
    return {
        "jobs": jobs,
        "compute_s": seconds,
        "one_node_jobs_s": [round(x, 2) for x in runs[1]],
        "two_nodes_jobs_s": [round(x, 2) for x in runs[2]],
        "best_possible_one_node_jobs_s": round(1 / seconds, 2),
        "ratio": round(two / one, 2),
        "worst_ratio": round(min(runs[2]) / max(runs[1]), 2),
        "by_node": shares,
    }


async def _run(count: int, jobs: int, seconds: float) -> tuple[float, dict[str, int]]:
    with redis() as server, TemporaryDirectory() as folder, _nodes(count, server.url, seconds):
        async with _front(server.url, Path(folder)) as front:
            await _all_there(front, count)
            begun_s = time.perf_counter()
            async with asyncio.TaskGroup() as tasks:
                ids = [tasks.create_task(front.submit(job(_WORDS))) for _ in range(jobs)]
            views = [await _ended(front, task.result().job_id) for task in ids]
            took_s = time.perf_counter() - begun_s
    if any(view.state is not JobState.COMPLETED for view in views):
        raise RuntimeError(str([view.error for view in views if view.error][:3]))
    share: dict[str, int] = {}
    for view in views:
        share[str(view.node)] = share.get(str(view.node), 0) + 1
    return took_s, share


@asynccontextmanager
async def _front(url: str, folder: Path) -> AsyncIterator[Any]:
    """Accepts jobs and runs none."""
    use_plain_arguments()
    async with open_jobs(
        JobsConfig(url=url), folder, inference=None, models=dict, node="front"
    ) as jobs:
        yield jobs


async def _all_there(front: Any, count: int) -> None:
    """Both nodes take jobs, and each has loaded the model."""
    async with asyncio.timeout(_PATIENCE_S):
        while len((await front.takers()).get(MODEL, ())) < count:
            await asyncio.sleep(0.1)
        seen: set[str] = set()
        while len(seen) < count:
            views = [await front.submit(job(_WORDS)) for _ in range(4 * count)]
            seen |= {str((await _ended(front, view.job_id)).node) for view in views}


async def _ended(front: Jobs, job_id: str) -> Any:
    async with asyncio.timeout(_PATIENCE_S):
        while not (view := await front.view(job_id)).state.ended:
            await asyncio.sleep(0.02)
    return view


@contextmanager
def _nodes(count: int, url: str, seconds: float) -> Iterator[None]:
    """``danzar node`` processes, each with a model of its own that sleeps for its answer."""
    with TemporaryDirectory() as folder, _ended_at_the_end() as started:
        for number in range(count):
            word_s = seconds / len(_WORDS.split())
            config = write_config(Path(folder) / f"node-{number}", url, word_s)
            command = ("node", "--name", f"node-{number}", "--config", str(config))
            started.append(
                subprocess.Popen(
                    [sys.executable, "-m", "danzar", *command],
                    env=own_environment(),
                    stdout=subprocess.DEVNULL,
                )
            )
        yield


@contextmanager
def _ended_at_the_end() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Ends the processes in the list, stubborn ones too."""
    started: list[subprocess.Popen[bytes]] = []
    try:
        yield started
    finally:
        for process in started:
            process.terminate()
        for process in started:
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
