"""Builds this machine's part among the nodes, and wires it to what it tells of and obeys."""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from redis.asyncio import Redis

from danzar.broker.manager import ModelManager
from danzar.config.node import node_name
from danzar.config.settings import Config
from danzar.keys.commands import CommandGate
from danzar.nodes.nodes import Look, Nodes
from danzar.nodes.obey import Audit, Obedience
from danzar.nodes.survey import Survey, survey
from danzar.nodes.twin import AloneTwin, RedisTwin
from danzar.nodes.wire import LoadedModel, Mailbox
from danzar.running import running

RunningJobs = Callable[[], Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class NodeParts:
    """What a node is made from.

    Attributes:
        redis: The queue's server; ``None``: the queue is this process's own.
        running: Jobs that run here now, by model.
        operators: Names and public keys of those who may command this node.
        audit: Where it is noted who commanded what.
    """

    config: Config
    manager: ModelManager
    redis: Redis | None
    running: RunningJobs
    operators: Mapping[str, bytes]
    audit: Audit


@asynccontextmanager
async def open_nodes(parts: NodeParts) -> AsyncIterator[Nodes]:
    """This node, known to the others and obedient, until the context ends; then it has left."""
    settings = parts.config.bot.node
    nodes = Nodes(_twin(parts), settings, _look(parts), _pulse(parts), time.monotonic)
    # Made before the others know of this node: a command may come the moment they do.
    mailbox = Mailbox(parts.redis, nodes.name) if parts.redis is not None else None
    async with AsyncExitStack() as stack:
        await nodes.join()
        stack.push_async_callback(nodes.leave)
        await stack.enter_async_context(running(nodes.run()))
        if mailbox is not None:
            await stack.enter_async_context(running(_obedience(parts, nodes).run(mailbox)))
        yield nodes


def loaded_models(manager: ModelManager, jobs: Mapping[str, int]) -> tuple[LoadedModel, ...]:
    """What ``GET_LOADED_MODELS_STATUS`` tells."""
    return tuple(
        LoadedModel(v.name, v.state, v.device, v.leased_bytes, jobs.get(v.name, 0))
        for v in manager.models()
        if v.is_loaded
    )


def _twin(parts: NodeParts) -> AloneTwin | RedisTwin:
    if parts.redis is None:
        return AloneTwin(time.time)
    return RedisTwin(parts.redis, remembered_s=parts.config.bot.node.remembered_s)


def _look(parts: NodeParts) -> Look:
    async def look() -> Survey:
        return await survey(parts.config, parts.manager, parts.running())

    return look


def _pulse(parts: NodeParts) -> Callable[[], object]:
    """Where every model is: all that a node's place in the order of nodes turns on at once."""

    def pulse() -> object:
        instances = parts.manager.scheduler.instances.values()
        return tuple((x.name, x.state, x.device_uuid) for x in instances)

    return pulse


def _obedience(parts: NodeParts, nodes: Nodes) -> Obedience:
    name = node_name(parts.config.bot.node)
    return Obedience(
        models=parts.manager,
        loaded=lambda: loaded_models(parts.manager, parts.running()),
        gate=CommandGate(name, parts.operators, time.time()),
        audit=parts.audit,
        now_s=time.time,
        is_leaving=lambda: nodes.is_draining,
    )
