"""Builds the parts of the jobs and wires them."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from danzar.config.jobs import MEMORY_URL, JobsConfig
from danzar.inference import Inference
from danzar.jobs.board import Board
from danzar.jobs.consumer import HoldBack, LocalModels, consume, no_hold_back
from danzar.jobs.local_board import LocalBoard
from danzar.jobs.service import JobService
from danzar.jobs.store import JOBS_FILE, JobStore

__all__ = ["LocalModels", "open_jobs", "open_queue"]


@asynccontextmanager
async def open_queue(config: JobsConfig) -> AsyncIterator[Board]:
    """The queue at ``config.url``, which has been checked and may hold a password.

    The server need not be there yet: what needs it raises ``QueueUnavailable`` until it is.
    """
    if config.url.startswith(MEMORY_URL):
        yield LocalBoard()
        return
    # docket is imported only where several machines share a queue.
    from danzar.jobs.redis_board import open_redis_board

    async with open_redis_board(config.url, config.lease_s) as board:
        yield board


@asynccontextmanager
async def open_jobs(
    config: JobsConfig,
    folder: Path,
    *,
    inference: Inference | None,
    models: LocalModels,
    node: str,
    hold_back_s: HoldBack = no_hold_back,
) -> AsyncIterator[JobService]:
    """Accept, keep and run jobs while the context lasts.

    Args:
        config: Its ``url`` has been checked, and may hold a password.
        folder: ``jobs.db`` lies in it.
        inference: What runs jobs here; ``None``: this process runs none.
        models: Of this machine.
        node: What this machine is called.
        hold_back_s: See ``consume``.

    Raises:
        danzar.errors.StoreFailed: The list of jobs can't be opened.
    """
    async with AsyncExitStack() as stack:
        board = await stack.enter_async_context(open_queue(config))
        store = await stack.enter_async_context(JobStore.open(folder / JOBS_FILE, sync=config.sync))
        # The keeper is there before jobs run and after the last has ended, to write that down.
        service = JobService(store, board, config, models)
        await stack.enter_async_context(service.keeping())
        if inference is not None:
            running_jobs = consume(inference, board, models, node, config, hold_back_s)
            service.consumer = await stack.enter_async_context(running_jobs)
        yield service
