"""``danzar nodes``: what all machines say of themselves, and commands to one of them."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
from redis.asyncio import Redis
from rich.console import Console

from danzar.config.places import key_folder
from danzar.config.settings import Config
from danzar.errors import BadInput, ModelMissing
from danzar.keys.address import open_redis, probe_queue, queue_address
from danzar.keys.commands import OperatorKey, sign_command
from danzar.keys.operators import OPERATOR_KEY_FILE, read_operator_key
from danzar.nodes import node_json
from danzar.nodes.choice import Offer, ranked
from danzar.nodes.standing import Member, Standing, offers
from danzar.nodes.text import ALONE, node_lines, plan_lines
from danzar.nodes.twin import RedisTwin
from danzar.nodes.wire import Action, Answer, Command, send

Json = dict[str, Any]
_NO_NODES = "No node is known: none has joined this queue, or all have left it."
nodes_json = node_json.nodes_json
answer_json = node_json.answer_json


@dataclass(frozen=True, slots=True)
class Planned:
    """Which nodes would take a model's jobs, best first."""

    model: str
    offers: tuple[Offer, ...]
    members: tuple[Member, ...]
    head_start_s: float


async def members(config: Config) -> tuple[Member, ...]:
    """Every node that the queue remembers.

    Raises:
        BadInput: There is no shared queue.
        danzar.errors.DanzarError: The queue can't be read.
    """
    async with _queue(config) as redis:
        return await RedisTwin(redis, remembered_s=config.bot.node.remembered_s).members()


async def plan(config: Config, model: str) -> Planned:
    """Which node would take a model's next job.

    Raises:
        danzar.errors.ModelMissing: No living node knows it.
        danzar.errors.DanzarError: The queue can't be read.
    """
    known = await members(config)
    found = ranked(model, offers(model, known))
    if not found:
        names = {m.name for member in known if member.takes_jobs for m in member.state.models}
        raise ModelMissing(
            f"no living node knows the model {model!r}; known: {', '.join(sorted(names)) or 'none'}"
        )
    return Planned(model, found, known, config.bot.node.head_start_s)


async def order(
    config: Config, node: str, action: Action, model: str | None, timeout_s: float
) -> Answer:
    """Command a node, and return its answer.

    Raises:
        BadInput: There is no such living node, or no key to command with.
        danzar.errors.DanzarError: The queue can't be used, or no answer came.
    """
    key = await asyncio.to_thread(_operator_key, config)
    async with _queue(config) as redis:
        twin = RedisTwin(redis, remembered_s=config.bot.node.remembered_s)
        _check_lives(node, await twin.members())
        body = msgspec.json.encode(Command(action, model))
        return await send(
            redis, node, sign_command(key, node, body, time.time()), timeout_s=timeout_s
        )


def print_nodes(found: Sequence[Member], console: Console) -> None:
    """Each with its devices and what is loaded."""
    if not found:
        console.print(_NO_NODES)
    for member in found:
        title, *rest = node_lines(member)
        console.print(title, style="bold", soft_wrap=True)
        for line in rest:
            console.print(line, soft_wrap=True)


def planned_json(planned: Planned) -> Json:
    """The same as JSON."""
    return node_json.plan_json(planned.model, planned.offers, planned.members)


def print_planned(planned: Planned, console: Console) -> None:
    """One line for each node, best first."""
    for line in plan_lines(planned.model, planned.offers, planned.members, planned.head_start_s):
        console.print(line, soft_wrap=True)


def print_answer(node: str, answer: Answer, console: Console) -> None:
    """What the node did, and what it has loaded now."""
    console.print(f"{node}: {answer.text}", soft_wrap=True)
    for model in answer.loaded:
        console.print(f"  {model.name}: {model.state} on {model.device or '-'}", soft_wrap=True)


@asynccontextmanager
async def _queue(config: Config) -> AsyncIterator[Redis]:
    folder = await asyncio.to_thread(key_folder, config)
    address = await asyncio.to_thread(queue_address, config.bot.jobs.url, folder)
    if address.is_memory:
        raise BadInput(ALONE)
    await probe_queue(address)
    async with open_redis(address) as redis:
        yield redis


def _operator_key(config: Config) -> OperatorKey:
    folder = key_folder(config)
    if folder is None:
        raise BadInput(
            "nodes obey only those whose key they know; name the folder that has one: --keys DIR "
            "(danzar keys init makes it)"
        )
    return read_operator_key(folder / OPERATOR_KEY_FILE)


def _check_lives(node: str, found: Sequence[Member]) -> None:
    living = {m.name: m for m in found if m.standing is not Standing.LOST}
    if node not in living:
        names = ", ".join(sorted(living)) or "none"
        raise BadInput(f"no living node is called {node!r}; living: {names}")
