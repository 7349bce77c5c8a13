"""Chats over a WebSocket."""

import asyncio
import json

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_scope="package")]


def talk(api, key=None):
    address = api.address.replace("http", "ws", 1)
    headers = {"Authorization": f"Bearer {key or api.key}"}
    return connect(f"{address}/v1/chat/completions", additional_headers=headers, proxy=None)


def question(text, model="echo", **more):
    messages = [{"role": "user", "content": text}]
    return json.dumps({"model": model, "messages": messages, **more})


async def answer(socket) -> tuple[str, dict]:
    """The text, and the message that ended it."""
    text = ""
    async for message in socket:
        told = json.loads(message)
        if "choices" not in told:
            return text, told
        text += "".join(choice["delta"].get("content", "") for choice in told["choices"])
    raise AssertionError("the server hung up")


async def test_question_after_question_is_answered(api):
    async with talk(api) as socket:
        await socket.send(question("one two"))
        await socket.send(question("three"))
        assert await answer(socket) == ("one two", {"type": "done"})
        assert await answer(socket) == ("three", {"type": "done"})


async def test_a_word_stops_an_answer_and_the_next_may_be_asked(api):
    async with talk(api) as socket:
        await socket.send(question("word " * 2000, "slow-echo"))
        await api.until_busy("slow-echo")
        await socket.send(json.dumps({"type": "cancel"}))
        _, ended = await answer(socket)
        assert ended == {"type": "cancelled"}
        await api.until_idle("slow-echo")
        await socket.send(question("goes on"))
        assert await answer(socket) == ("goes on", {"type": "done"})


async def test_who_hangs_up_stops_the_computing(api):
    async with talk(api) as socket:
        await socket.send(question("word " * 2000, "slow-echo"))
        await api.until_busy("slow-echo")
    await api.until_idle("slow-echo")


@pytest.mark.parametrize(
    ("text", "param"),
    [
        pytest.param("no JSON", None, id="no JSON"),
        pytest.param('{"model": "echo"}', "messages", id="no messages"),
        pytest.param(question("a", "nope"), "model", id="no such model"),
        pytest.param(question("a", n=2), "n", id="two answers"),
    ],
)
async def test_a_bad_question_is_told_and_the_next_may_be_asked(api, text, param):
    async with talk(api) as socket:
        await socket.send(text)
        _, refused = await answer(socket)
        assert refused["error"]["param"] == param
        await socket.send(question("goes on"))
        assert (await answer(socket))[0] == "goes on"


async def test_a_wrong_key_opens_nothing(api):
    with pytest.raises(InvalidStatus) as refused:
        async with asyncio.timeout(30), talk(api, "sk-wrong"):
            pass
    assert refused.value.response.status_code == 401
