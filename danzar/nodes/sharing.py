"""This machine's share of the work: the queue, its place among the nodes, its jobs; in this order.

On leaving, the others hear first that it drains; then jobs in flight finish; then it is forgotten.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from danzar.broker.manager import ModelManager
from danzar.config.jobs import JobsConfig
from danzar.config.places import data_folder
from danzar.config.settings import Config
from danzar.jobs.open_jobs import open_jobs
from danzar.jobs.service import JobService
from danzar.keys.plain_arguments import use_plain_arguments
from danzar.nodes.nodes import Nodes
from danzar.nodes.obey import Audit
from danzar.nodes.open_nodes import NodeParts, open_nodes
from danzar.nodes.shared_queue import SharedQueue, name_node, open_shared_queue

_NO_JOBS_FOR = "media"  # decodes strangers' files for this machine's own use


@dataclass(frozen=True, slots=True)
class Sharing:
    """What this machine shares with others.

    Attributes:
        jobs: ``None`` where ``jobs.enabled`` is false.
    """

    nodes: Nodes
    jobs: JobService | None


@asynccontextmanager
async def open_sharing(
    config: Config, manager: ModelManager, audit: Audit
) -> AsyncIterator[Sharing]:
    """Be a node of the configured queue until the context ends.

    Raises:
        danzar.errors.DanzarError: The queue's address is not safe, or its server refuses.
    """
    config = await asyncio.to_thread(name_node, config)
    async with AsyncExitStack() as stack:
        shared = await stack.enter_async_context(open_shared_queue(config))
        here = _Here()
        parts = NodeParts(config, manager, shared.redis, here.in_flight, shared.operators, audit)
        nodes = await stack.enter_async_context(open_nodes(parts))
        if config.bot.jobs.enabled:
            here.jobs = await stack.enter_async_context(_open_jobs(config, manager, nodes, shared))
        stack.push_async_callback(_finish, nodes, here.jobs, config.bot.jobs)
        yield Sharing(nodes, here.jobs)


class _Here:
    """The jobs of this machine, which are opened after what tells of them."""

    def __init__(self) -> None:
        self.jobs: JobService | None = None

    def in_flight(self) -> Mapping[str, int]:
        """How many run here, by model."""
        consumer = None if self.jobs is None else self.jobs.consumer
        return {} if consumer is None else consumer.in_flight()


@asynccontextmanager
async def _open_jobs(
    config: Config, manager: ModelManager, nodes: Nodes, shared: SharedQueue
) -> AsyncIterator[JobService]:
    def models() -> Mapping[str, int]:
        entries = config.models.models
        return {
            name: instance.slots
            for name, instance in manager.scheduler.instances.items()
            if name not in nodes.absent and entries[name].role != _NO_JOBS_FOR
        }

    folder = data_folder(config)
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    use_plain_arguments()
    async with open_jobs(
        config.bot.jobs.model_copy(update={"url": shared.address.text}),
        folder,
        inference=manager,
        models=models,
        node=nodes.name,
        hold_back_s=nodes.hold_back_s,
    ) as jobs:
        yield jobs


async def _finish(nodes: Nodes, jobs: JobService | None, settings: JobsConfig) -> None:
    """Take no more jobs, and finish those that run, while results are still taken up."""
    await nodes.begin_drain()
    if jobs is not None and jobs.consumer is not None:
        await jobs.consumer.drain(settings.drain_s)
