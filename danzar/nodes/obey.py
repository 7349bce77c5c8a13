"""Carries out the commands that a node gets from those allowed; refuses all others, and says so."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol, assert_never

import msgspec

from danzar.errors import BadInput, DanzarError
from danzar.jobs.contract import QueueUnavailable
from danzar.keys.commands import VerifiedCommand
from danzar.keys.errors import CommandRefused
from danzar.nodes.wire import Action, Answer, Command, Incoming, LoadedModel

log = logging.getLogger(__name__)

_MOST_AT_ONCE = 8
_RETRY_S = 2.0
_decode = msgspec.json.Decoder(Command).decode
Audit = Callable[[str, str, str], Awaitable[None]]


class Models(Protocol):
    """The part of ``danzar.broker.manager.ModelManager`` that commands move."""

    async def load(self, model: str) -> None:
        """Load a model."""
        ...

    async def unload(self, model: str) -> None:
        """Unload a model once it is idle."""
        ...


class Gate(Protocol):
    """The part of ``danzar.keys.commands.CommandGate`` that is asked."""

    def open(self, data: bytes, now_s: float) -> VerifiedCommand:
        """What a known operator sent, or ``CommandRefused``."""
        ...


class Post(Protocol):
    """The part of ``danzar.nodes.wire.Mailbox`` that is used."""

    async def receive(self) -> tuple[Incoming, ...]:
        """The next commands."""
        ...

    async def answer(self, ticket: bytes, answer: Answer) -> None:
        """Tell what came of one."""
        ...


class Obedience:
    """One node's readiness to do what its operators say."""

    def __init__(
        self,
        *,
        models: Models,
        loaded: Callable[[], tuple[LoadedModel, ...]],
        gate: Gate,
        audit: Audit,
        now_s: Callable[[], float],
        is_leaving: Callable[[], bool] = lambda: False,
    ) -> None:
        """``now_s`` is the wall clock, seconds since the epoch: operators sign by theirs."""
        self._models = models
        self._loaded = loaded
        self._gate = gate
        self._audit = audit
        self._now_s = now_s
        self._is_leaving = is_leaving

    async def run(self, post: Post) -> None:
        """Obey until cancelled."""
        seats = asyncio.Semaphore(_MOST_AT_ONCE)
        async with asyncio.TaskGroup() as tasks:
            while True:
                for incoming in await _receive(post):
                    await seats.acquire()
                    task = tasks.create_task(self._serve(post, incoming))
                    task.add_done_callback(lambda _: seats.release())

    async def answer(self, content: bytes) -> Answer:
        """Do what a command says, if it is from one who may say so."""
        try:
            told = self._gate.open(content, self._now_s())
            return await self._carry_out(_read(told.body), told.operator)
        except CommandRefused as exc:
            log.warning("command refused: %s", exc)
            return Answer(done=False, text=str(exc))
        except DanzarError as exc:
            return Answer(done=False, text=str(exc), loaded=self._loaded())

    async def _serve(self, post: Post, incoming: Incoming) -> None:
        answer = await self.answer(incoming.content)
        try:
            await post.answer(incoming.ticket, answer)
        except QueueUnavailable as exc:
            log.warning("an answer to an operator is lost: %s", exc)

    async def _carry_out(self, command: Command, operator: str) -> Answer:
        log.info("command %s model=%s by=%s", command.action, command.model, operator)
        match command.action:
            case Action.LOAD_MODEL:
                text = await self._load(_named(command), operator)
            case Action.UNLOAD_MODEL:
                text = await self._unload(_named(command), operator)
            case Action.GET_LOADED_MODELS_STATUS:
                count = len(self._loaded())
                text = f"{count} model{'' if count == 1 else 's'} loaded"
            case _:
                assert_never(command.action)
        return Answer(done=True, text=text, loaded=self._loaded())

    async def _load(self, model: str, operator: str) -> str:
        if self._is_leaving():
            raise BadInput(f"{model} is not loaded: this node drains and leaves")
        await self._audit(operator, "node.load", model)
        await self._models.load(model)
        return f"{model} is loaded"

    async def _unload(self, model: str, operator: str) -> str:
        await self._audit(operator, "node.unload", model)
        await self._models.unload(model)
        return f"{model} is unloaded"


def _read(body: bytes) -> Command:
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        known = ", ".join(Action)
        raise BadInput(f"the command can't be understood ({exc}); known: {known}") from exc


def _named(command: Command) -> str:
    if not command.model:
        raise BadInput(f"{command.action} needs the name of a model")
    return command.model


async def _receive(post: Post) -> tuple[Incoming, ...]:
    try:
        return await post.receive()
    except QueueUnavailable as exc:
        log.warning("no commands can come: %s", exc)
        await asyncio.sleep(_RETRY_S)
        return ()
