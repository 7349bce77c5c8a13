"""The gateway as raw frames: what discord.py never does, and what it must be spared."""

import asyncio
import contextlib
import json

import aiohttp
import discord
import pytest

from danzar.local.server import running
from danzar.local.settings import Limits, LocalSettings
from tests.local.rig import SOON_S, TOKEN, Page

INTENTS = discord.Intents.all().value


@contextlib.asynccontextmanager
async def gateway(url):
    """A socket past its HELLO."""
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        hello = json.loads((await socket.receive(SOON_S)).data)
        assert hello["op"] == 10
        yield socket


async def say(socket, op, data=None):
    await socket.send_str(json.dumps({"op": op, "d": data}))


async def identify(socket, **extra):
    await say(socket, 2, {"token": TOKEN, "intents": INTENTS, "properties": {}} | extra)
    return await until(socket, "READY")


async def until(socket, event):
    while True:
        frame = await receive(socket)
        if frame.get("t") == event:
            return frame


async def receive(socket):
    message = await socket.receive(SOON_S)
    assert message.type is aiohttp.WSMsgType.TEXT, (message, socket.close_code)
    return json.loads(message.data)


async def closed(socket):
    while (message := await socket.receive(SOON_S)).type is aiohttp.WSMsgType.TEXT:
        pass
    assert message.type in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED}
    return socket.close_code


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        pytest.param("{", 4002, id="no JSON"),
        pytest.param("[]", 4002, id="no object"),
        pytest.param('{"op": 8, "d": {}}', 4003, id="before identify"),
        pytest.param('{"op": 2, "d": {"token": "no"}}', 4004, id="wrong token"),
        pytest.param('{"op": 6, "d": {"token": "no"}}', 4004, id="wrong token on resume"),
        pytest.param(json.dumps({"op": 2, "d": {"token": TOKEN}}), 4013, id="no intents"),
    ],
)
async def test_a_broken_frame_closes_with_its_code(local, frame, code):
    async with gateway(local.gateway_url) as socket:
        await socket.send_str(frame)
        assert await closed(socket) == code


@pytest.mark.parametrize(("op", "code"), [(2, 4005), (99, 4001)])
async def test_an_identified_socket_may_not_do_everything(local, op, code):
    async with gateway(local.gateway_url) as socket:
        await identify(socket)
        await say(socket, op, {"token": TOKEN, "intents": INTENTS})
        assert await closed(socket) == code


async def test_a_flood_of_commands_closes_with_4008(local):
    async with gateway(local.gateway_url) as socket:
        for _ in range(121):
            await say(socket, 1)
        assert await closed(socket) == 4008


async def test_a_silent_bot_is_dropped_and_one_that_beats_is_kept():
    settings = LocalSettings(token=TOKEN, heartbeat_interval_s=0.3)
    async with (
        running(settings) as local,
        gateway(local.gateway_url) as zombie,
        gateway(local.gateway_url) as alive,
    ):
        dropped = asyncio.create_task(closed(zombie))
        while not dropped.done():
            await say(alive, 1)
            assert (await receive(alive))["op"] == 11
            await asyncio.wait({dropped}, timeout=0.1)
        assert dropped.result() == 4009
        await say(alive, 1)
        assert (await receive(alive))["op"] == 11


async def test_a_bot_that_missed_too_much_must_begin_anew():
    settings = LocalSettings(token=TOKEN, limits=Limits(replay_events=3))
    async with running(settings) as local, aiohttp.ClientSession() as session:
        page = Page(local, session)
        async with gateway(local.gateway_url) as socket:
            ready = await identify(socket)
            await until(socket, "GUILD_CREATE")
            await socket.close(code=4000)
        for number in range(5):
            await page.post(str(number))
        async with gateway(local.gateway_url) as socket:
            resume = {"token": TOKEN, "session_id": ready["d"]["session_id"], "seq": 2}
            await say(socket, 6, resume)
            assert await receive(socket) == {"op": 9, "d": False, "s": None, "t": None}
            assert (await identify(socket))["d"]["session_id"] != ready["d"]["session_id"]


async def test_a_resumed_session_gets_exactly_what_it_missed(page):
    async with gateway(page.local.gateway_url) as socket:
        ready = await identify(socket)
        seen = await until(socket, "GUILD_CREATE")
        await socket.close(code=4000)
    for number in range(3):
        await page.post(str(number))
    async with gateway(page.local.gateway_url) as socket:
        resume = {"token": TOKEN, "session_id": ready["d"]["session_id"], "seq": seen["s"]}
        await say(socket, 6, resume)
        frames = [await receive(socket) for _ in range(4)]
    assert [f["s"] for f in frames] == [seen["s"] + n for n in range(1, 5)]
    assert [f["t"] for f in frames] == ["MESSAGE_CREATE"] * 3 + ["RESUMED"]


async def test_a_session_that_was_closed_properly_can_not_be_resumed(local):
    async with gateway(local.gateway_url) as socket:
        ready = await identify(socket)
        await socket.close(code=1000)
    async with gateway(local.gateway_url) as socket:
        resume = {"token": TOKEN, "session_id": ready["d"]["session_id"], "seq": 1}
        await say(socket, 6, resume)
        assert (await receive(socket))["op"] == 9


async def test_a_socket_whose_session_was_resumed_elsewhere_is_closed(local):
    async with gateway(local.gateway_url) as old, gateway(local.gateway_url) as new:
        ready = await identify(old)
        await until(old, "GUILD_CREATE")
        resume = {"token": TOKEN, "session_id": ready["d"]["session_id"], "seq": 2}
        await say(new, 6, resume)
        await until(new, "RESUMED")
        assert await closed(old) == 4000
        assert local.gateway.book.online


async def test_unknown_members_are_named_as_not_found(local):
    async with gateway(local.gateway_url) as socket:
        await identify(socket)
        request = {
            "guild_id": str(local.world.guild_id),
            "user_ids": ["1", str(local.world.guest_id)],
        }
        await say(socket, 8, request | {"limit": 0, "nonce": "n1"})
        chunk = (await until(socket, "GUILD_MEMBERS_CHUNK"))["d"]
    assert [m["user"]["username"] for m in chunk["members"]] == ["robin"]
    assert (chunk["not_found"], chunk["nonce"]) == (["1"], "n1")
