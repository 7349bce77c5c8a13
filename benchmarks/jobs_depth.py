"""What a job costs the queue while many others wait: to accept, take and end it, and its memory."""

import asyncio
import gc
import itertools
import os
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from benchmarks.jobs_world import MODEL, REDIS, job, ms, queue
from danzar.config.jobs import JobsConfig
from danzar.jobs.board import Board
from danzar.jobs.contract import JobState
from danzar.jobs.open_jobs import open_queue
from danzar.jobs.order import score
from danzar.jobs.record import Ending, JobRecord, new_id
from danzar.jobs.service import JobService
from danzar.jobs.store import JOBS_FILE, JobStore
from danzar.keys.plain_arguments import use_plain_arguments

DEPTHS = (10, 100, 1000, 10_000, 100_000)
_TOGETHER = 500
_NODE = "bench"


async def compare(kind: str, rounds: int, depths: Sequence[int] = DEPTHS) -> dict[str, Any]:
    """The same queue, filled ever more."""
    use_plain_arguments()
    rows = []
    with queue(kind) as url, TemporaryDirectory() as folder:
        config = JobsConfig(url=url, max_waiting=10_000_000)
        async with (
            open_queue(config) as board,
            JobStore.open(Path(folder) / JOBS_FILE) as store,
        ):
            service = JobService(store, board, config, lambda: {MODEL: 1})
            async with service.keeping():
                empty_bytes = await _memory(kind, url)
                for depth in depths:
                    waiting = (await board.line(MODEL)).waiting
                    await _fill(store, board, config, depth - waiting)
                    used_bytes = await _memory(kind, url) - empty_bytes
                    costs = await _costs(service, board, rounds)
                    rows.append({"waiting": depth, "bytes_a_job": used_bytes // depth, **costs})
                disk_bytes = await asyncio.to_thread(_size, Path(folder))
    return {
        "queue": kind,
        "rounds": rounds,
        "depths": rows,
        "disk_bytes_a_job": disk_bytes // max(depths),
    }


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


async def _costs(service: JobService, board: Board, rounds: int) -> dict[str, float]:
    """As many go as come, so that the depth stays."""
    submit_s, look_s, take_s, end_s = [], [], [], []
    for _ in range(rounds):
        marks = [time.perf_counter()]
        view = await service.submit(job())
        marks.append(time.perf_counter())
        await service.view(view.job_id)
        marks.append(time.perf_counter())
        taken = await board.take(MODEL, _NODE)
        marks.append(time.perf_counter())
        if taken is None:
            raise RuntimeError("the queue is empty")
        await board.finish(taken.record, Ending(JobState.COMPLETED, None, b"ok"), taken.token)
        marks.append(time.perf_counter())
        await service.view(taken.record.job_id)  # its end is on disk: nothing goes on besides
        steps = [b - a for a, b in itertools.pairwise(marks)]
        for found, step in zip((submit_s, look_s, take_s, end_s), steps, strict=True):
            found.append(step)
    return {
        "submit_p50_ms": ms(submit_s),
        "view_p50_ms": ms(look_s),
        "take_p50_ms": ms(take_s),
        "end_p50_ms": ms(end_s),
        "submit_p99_ms": ms(submit_s, 99),
    }


async def _fill(store: JobStore, board: Board, config: JobsConfig, count: int) -> None:
    """Accept jobs as ``submit`` does, many at a time."""
    for start in range(0, count, _TOGETHER):
        records = [_record(store, config) for _ in range(min(_TOGETHER, count - start))]
        async with asyncio.TaskGroup() as tasks:
            for record in records:
                tasks.create_task(store.accept(record))
        await board.put([(record, 0) for record in records])


def _record(store: JobStore, config: JobsConfig) -> JobRecord:
    now = time.time()
    return JobRecord(
        job_id=new_id(),
        request=job(),
        home=store.home,
        submitted_at=now,
        score=score(now, 0, config.seconds_per_priority),
        deadline_at=None,
        shared_s=config.shared_s,
    )


async def _memory(kind: str, url: str) -> int:
    """Of this process, or of the Redis."""
    if kind == REDIS:
        from redis.asyncio import Redis

        async with Redis.from_url(url) as client:
            return int((await client.info("memory"))["used_memory"])
    gc.collect()
    return int(psutil.Process(os.getpid()).memory_info().rss)
