"""What pages are told, and what happens to those that can't keep up."""

import asyncio
import json

import aiohttp
import discord
from aiohttp import web

from danzar.local.sessions import SessionBook
from danzar.local.settings import Limits
from danzar.local.status import fetch_status
from danzar.local.world import create_world
from tests.local.rig import SOON_S


async def answering(handler):
    app = web.Application()
    app.router.add_get("/v1/status", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}/"


async def test_a_status_that_is_wrong_in_any_way_is_unknown():
    answers = {
        "fine": web.json_response({"version": 1}),
        "broken": web.Response(text="{"),
        "list": web.json_response([]),
        "error": web.Response(status=500, text="{}"),
    }
    for name, answer in answers.items():

        async def handler(request, answer=answer):
            return answer

        runner, url = await answering(handler)
        async with aiohttp.ClientSession() as session:
            expected = {"version": 1} if name == "fine" else None
            assert await fetch_status(session, url) == expected
        await runner.cleanup()


async def test_a_bot_that_is_not_there_has_no_status():
    async with aiohttp.ClientSession() as session:
        assert await fetch_status(session, "http://127.0.0.1:9") is None


async def test_a_page_that_does_not_read_is_told_to_reload(page):
    async with page.feed() as feed:
        # Nothing is awaited in between, so the page's writer gets no turn.
        for number in range(page.local.feed._max_behind + 50):
            page.local.feed.send("NOTICE", {"text": str(number)})
        received = 0
        async with asyncio.timeout(SOON_S):
            while (message := await feed.socket.receive()).type is aiohttp.WSMsgType.TEXT:
                assert json.loads(message.data)["d"]["text"] == str(received)
                received += 1
        assert received == page.local.feed._max_behind
        assert feed.socket.close_code == 1012


async def test_a_page_that_reloads_sees_what_was_said(page):
    await page.post("before")
    async with page.feed() as feed:
        [general] = [c for c in feed.hello["channels"] if c["name"] == "general"]
        assert [m["content"] for m in general["messages"]] == ["before"]
        assert {p["name"] for p in feed.hello["people"]} == {"Player One", "Robin"}
    async with asyncio.timeout(SOON_S):
        while page.local.feed.page_count:
            await asyncio.sleep(0.01)


def test_old_sessions_end_and_there_are_never_many():
    book = SessionBook(create_world(Limits()).backend, replay_events=10, keep_s=60.0)
    intents = discord.Intents.default()
    first = book.begin(intents, now_s=0.0)
    first.lost_at_s = 0.0
    assert book.find(first.id, 0, now_s=60.0) is first
    assert book.find(first.id, 0, now_s=61.0) is None
    sessions = [book.begin(intents, now_s=float(n)) for n in range(50)]
    assert len(book._sessions) == SessionBook.MAX_SESSIONS
    assert book.find(sessions[-1].id, 0, now_s=50.0) is sessions[-1]
