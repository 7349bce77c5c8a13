"""Commands to a node: from those allowed, once each, and from nobody else."""

import asyncio
import contextlib
import time
from contextlib import asynccontextmanager

import msgspec
import pytest
from redis.asyncio import Redis

from danzar.errors import CannotPlace, ModelMissing
from danzar.keys.commands import CommandGate, new_operator_key, sign_command
from danzar.nodes.obey import Obedience
from danzar.nodes.wire import Action, Answer, Command, LoadedModel, Mailbox, NoAnswer, send
from tests.nodes.queue_server import PATIENCE_S

OWNER = new_operator_key("main")
STRANGER = new_operator_key("main")


class Models:
    """Loads what it is told to, but for one model that has no room."""

    def __init__(self) -> None:
        self.loaded: list[str] = []

    async def load(self, model: str) -> None:
        if model == "unknown":
            raise ModelMissing("no model is called 'unknown'; known: chat")
        if model == "huge":
            raise CannotPlace("huge needs 40.0GB, cuda:0 has 11.0GB")
        self.loaded.append(model)

    async def unload(self, model: str) -> None:
        self.loaded.remove(model)


class Desk:
    """An obedient node without a machine."""

    def __init__(self, *, leaving: bool = False) -> None:
        self.models = Models()
        self.audit: list[tuple[str, str, str]] = []
        self.obedience = Obedience(
            models=self.models,
            loaded=lambda: tuple(
                LoadedModel(name, "ready", "cuda:0", 1, 0) for name in self.models.loaded
            ),
            gate=CommandGate("pc2", {"main": OWNER.public}, time.time() - 100),
            audit=self.note,
            now_s=time.time,
            is_leaving=lambda: leaving,
        )

    async def note(self, *line: str) -> None:
        self.audit.append(line)

    async def told(self, action: Action, model: str | None = None, **sent) -> Answer:
        return await self.obedience.answer(signed(action, model, **sent))


def signed(
    action: Action, model: str | None = None, *, key=OWNER, node="pc2", at_s: float | None = None
) -> bytes:
    body = msgspec.json.encode(Command(action, model))
    return sign_command(key, node, body, time.time() if at_s is None else at_s)


async def test_an_operator_loads_and_unloads_a_model_and_it_is_audited() -> None:
    desk = Desk()

    loaded = await desk.told(Action.LOAD_MODEL, "chat")
    status = await desk.told(Action.GET_LOADED_MODELS_STATUS)
    unloaded = await desk.told(Action.UNLOAD_MODEL, "chat")

    assert (loaded.done, loaded.text) == (True, "chat is loaded")
    assert [model.name for model in status.loaded] == ["chat"]
    assert (unloaded.done, unloaded.loaded) == (True, ())
    assert desk.audit == [("main", "node.load", "chat"), ("main", "node.unload", "chat")]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"", "no signed command", id="nothing"),
        pytest.param(b'{"action":"LOAD_MODEL","model":"chat"}', "no signed command", id="unsigned"),
        pytest.param(
            signed(Action.LOAD_MODEL, "chat", key=STRANGER),
            "was not signed by main",
            id="a stranger under the operator's name",
        ),
        pytest.param(
            signed(Action.LOAD_MODEL, "chat", key=new_operator_key("guest")),
            "takes no commands from 'guest'",
            id="an unknown operator",
        ),
        pytest.param(
            signed(Action.LOAD_MODEL, "chat", node="pc1"), "is for pc1", id="for another node"
        ),
        pytest.param(
            signed(Action.LOAD_MODEL, "chat", at_s=time.time() - 90), "ran out", id="too late"
        ),
    ],
)
async def test_a_command_is_refused_and_logged(content: bytes, said: str, caplog) -> None:
    desk = Desk()

    answer = await desk.obedience.answer(content)

    assert not answer.done
    assert said in answer.text
    assert said in caplog.text
    assert (desk.models.loaded, desk.audit, answer.loaded) == ([], [], ())


async def test_a_command_that_is_played_again_is_refused() -> None:
    desk, content = Desk(), signed(Action.LOAD_MODEL, "chat")

    assert (await desk.obedience.answer(content)).done
    again = await desk.obedience.answer(content)

    assert (again.done, desk.models.loaded) == (False, ["chat"])
    assert "a second time" in again.text


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("unknown", "no model is called 'unknown'; known: chat"),
        ("huge", "huge needs 40.0GB, cuda:0 has 11.0GB"),
        (None, "LOAD_MODEL needs the name of a model"),
    ],
)
async def test_a_command_that_cannot_be_done_is_answered_with_the_reason(model, said) -> None:
    answer = await Desk().told(Action.LOAD_MODEL, model)

    assert (answer.done, answer.text) == (False, said)


async def test_an_unknown_command_of_an_operator_is_answered_with_those_known() -> None:
    content = sign_command(OWNER, "pc2", b'{"action":"REBOOT"}', time.time())

    answer = await Desk().obedience.answer(content)

    assert "LOAD_MODEL, UNLOAD_MODEL, GET_LOADED_MODELS_STATUS" in answer.text


async def test_a_node_that_leaves_loads_nothing_more() -> None:
    desk = Desk(leaving=True)

    answer = await desk.told(Action.LOAD_MODEL, "chat")

    assert (answer.done, desk.models.loaded) == (False, [])
    assert "drains" in answer.text


# --- over a real Redis ------------------------------------------------------------------------


@asynccontextmanager
async def obeying(redis, desk: Desk):
    task = asyncio.create_task(desk.obedience.run(Mailbox(redis, "pc2")))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.mark.redis
async def test_commands_reach_a_node_through_its_stream_and_each_gets_its_own_answer(redis) -> None:
    desk = Desk()
    async with obeying(redis, desk):
        answers = await asyncio.gather(
            *(
                send(redis, "pc2", signed(Action.LOAD_MODEL, f"m{n}"), timeout_s=PATIENCE_S)
                for n in range(20)
            )
        )
        refused = await send(redis, "pc2", b"garbage", timeout_s=PATIENCE_S)

    assert [answer.text for answer in answers] == [f"m{n} is loaded" for n in range(20)]
    assert "no signed command" in refused.text


@pytest.mark.redis
async def test_a_command_from_before_the_nodes_start_is_not_obeyed(redis) -> None:
    with pytest.raises(NoAnswer, match="pc2 gave no answer within"):
        await send(redis, "pc2", signed(Action.LOAD_MODEL, "chat"), timeout_s=0.5)
    desk = Desk()

    async with obeying(redis, desk):
        await send(redis, "pc2", signed(Action.GET_LOADED_MODELS_STATUS), timeout_s=PATIENCE_S)

    assert desk.models.loaded == []


@pytest.mark.redis
async def test_a_command_that_comes_before_the_node_first_looks_is_obeyed(redis) -> None:
    desk, mailbox = Desk(), Mailbox(redis, "pc2")
    with pytest.raises(NoAnswer):
        await send(redis, "pc2", signed(Action.LOAD_MODEL, "chat"), timeout_s=0.1)

    for incoming in await mailbox.receive():
        await desk.obedience.answer(incoming.content)

    assert desk.models.loaded == ["chat"]


@pytest.mark.redis
async def test_a_node_obeys_again_after_the_queues_server_was_away(redis, server) -> None:
    desk = Desk()
    async with obeying(redis, desk):
        server.kill()
        server.start()
        async with Redis.from_url(server.url) as asker:
            content = signed(Action.LOAD_MODEL, "chat")
            answer = await send(asker, "pc2", content, timeout_s=PATIENCE_S)

    assert answer.done
