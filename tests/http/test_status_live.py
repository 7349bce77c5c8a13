"""The stream: everything first, then what is new; slow and many clients cost little."""

import asyncio
import json
import logging

import aiohttp
import pytest

from danzar.broker.decision import DecisionKind, make_decision
from danzar.config.bot import HttpSettings
from danzar.errors import StoreFailed
from danzar.http import status_live
from danzar.http.status_board import MOST_ROWS, Board
from danzar.http.status_json import BotFacts, StatusFacts
from danzar.http.status_live import MOST_CLIENTS
from danzar.http.status_server import serve_status
from danzar.logs.line import LogLine
from danzar.logs.ring import Ring
from tests.gpu_memory.cards import gpu, memories
from tests.http.status_rig import EMPTY, parts_of
from tests.http.test_status import PLANNER
from tests.local.panel_status import VIEWS

PATIENCE_S = 60
EVIL = "<script>alert(1)</script>\r\ndata: {}\n\n\u2028"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Ticks come as fast as they can be read."""
    monkeypatch.setattr(status_live, "PERIOD_S", 0.01)


@pytest.fixture
async def session():
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as opened:
        yield opened


class World:
    """Facts that a test changes while the stream runs."""

    def __init__(self):
        self.facts = StatusFacts(BotFacts("Danzar", True, 0.04), memories(gpu(0, 4.0)))
        self.decisions = []
        self.log = Ring()
        self.reads = 0

    def read(self):
        self.reads += 1
        return self.facts

    def parts(self, **changes):
        return parts_of(self.read, PLANNER, self.decisions, log=self.log, **changes)


def line(text):
    return LogLine(at="2026-01-01T12:00:00.000+00:00", level="info", logger="danzar", text=text)


async def events(answer):
    """The stream's events as they come."""
    async for raw in answer.content:
        text = raw.decode().strip()
        if text:
            assert text.startswith("data: "), text
            yield json.loads(text.removeprefix("data: "))


async def until(answer, holds):
    async with asyncio.timeout(PATIENCE_S):
        async for event in events(answer):
            if holds(event):
                return event
    raise AssertionError("the stream ended")


async def test_the_first_event_has_everything(session):
    world = World()
    world.decisions.append(make_decision(0.0, DecisionKind.LOAD, "chat", "room", "cuda:0"))
    world.log.add(line("hello"))
    async with (
        serve_status(world.parts(), HttpSettings(port=0)) as url,
        session.get(f"{url}/v1/live") as answer,
    ):
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert answer.headers["Cache-Control"] == "no-store"
        first = await until(answer, lambda event: True)
    assert first["full"] is True
    assert first["devices"][0]["label"] == "cuda:0"
    assert [d["model"] for d in first["decisions"]] == ["chat"]
    assert [x["text"] for x in first["log"]] == ["hello"]
    assert first["readiness"]["ready"] is True
    assert {"at_s", "bot", "models", "watches", "queues", "incidents", "jobs"} <= first.keys()


async def test_later_events_have_only_what_is_new(session):
    world = World()
    async with (
        serve_status(world.parts(), HttpSettings(port=0)) as url,
        session.get(f"{url}/v1/live") as answer,
    ):
        await until(answer, lambda event: event["full"])
        quiet = await until(answer, lambda event: True)
        assert quiet.keys() == {"at_s", "full"}
        world.decisions.append(make_decision(1.0, DecisionKind.EVICT, "clip", "room for x", None))
        world.log.add(line("evicted"))
        news = await until(answer, lambda event: "decisions" in event)
        assert [d["kind"] for d in news["decisions"]] == ["evict"]
        assert [x["text"] for x in news["log"]] == ["evicted"]
        assert "devices" not in news
        world.facts = StatusFacts(world.facts.bot, memories(gpu(0, 2.0)))
        changed = await until(answer, lambda event: "devices" in event)
        assert "decisions" not in changed
        assert "log" not in changed


async def test_text_from_outside_stays_one_line_of_json(session):
    world = World()
    world.log.add(line(EVIL))
    world.decisions.append(make_decision(0.0, DecisionKind.LOAD, EVIL, EVIL, None))
    async with (
        serve_status(world.parts(), HttpSettings(port=0)) as url,
        session.get(f"{url}/v1/live") as answer,
    ):
        first = await until(answer, lambda event: True)
    assert first["log"][0]["text"] == EVIL
    assert first["decisions"][0]["model"] == EVIL


async def test_ten_thousand_decisions_are_told_as_the_newest_ones(session):
    world = World()
    world.decisions.extend(
        make_decision(float(n), DecisionKind.LOAD, f"m{n}", "", None) for n in range(10_000)
    )
    async with (
        serve_status(world.parts(), HttpSettings(port=0)) as url,
        session.get(f"{url}/v1/live") as answer,
    ):
        first = await until(answer, lambda event: True)
    assert [d["model"] for d in first["decisions"]] == [f"m{n}" for n in range(9700, 10_000)]
    assert len(first["decisions"]) == MOST_ROWS


async def test_nothing_is_read_while_nobody_listens(session):
    world = World()
    async with serve_status(world.parts(), HttpSettings(port=0)) as url:
        async with session.get(f"{url}/health"):
            pass
        assert world.reads == 0
        async with session.get(f"{url}/v1/live") as answer:
            await until(answer, lambda event: True)
        assert world.reads > 0


async def test_who_comes_back_later_is_told_how_it_is_then(session):
    world = World()
    async with serve_status(world.parts(), HttpSettings(port=0)) as url:
        async with session.get(f"{url}/v1/live") as answer:
            await until(answer, lambda event: True)
        while await listeners(session, url, world):
            pass
        world.facts = StatusFacts(BotFacts("Renamed", True, None), ())
        async with session.get(f"{url}/v1/live") as answer:
            first = await until(answer, lambda event: True)
    assert first["bot"]["name"] == "Renamed"


async def listeners(session, url, world):
    """Whether the server still reads for somebody."""
    before = world.reads
    for _ in range(20):
        async with session.get(f"{url}/health"):
            await asyncio.sleep(0.01)
    return world.reads != before


async def test_so_many_pages_may_be_open_and_no_more(session):
    async with serve_status(World().parts(), HttpSettings(port=0)) as url:
        streams = [await session.get(f"{url}/v1/live") for _ in range(MOST_CLIENTS)]
        async with session.get(f"{url}/v1/live") as answer:
            assert answer.status == 503
            assert answer.headers["Retry-After"]
        for each in streams:
            each.close()
        async with asyncio.timeout(PATIENCE_S):
            while True:
                async with session.get(f"{url}/v1/live") as answer:
                    if answer.status == 200:
                        break
                await asyncio.sleep(0.01)


async def test_a_client_that_never_reads_is_cut_off_and_the_others_go_on(
    session, monkeypatch, caplog
):
    monkeypatch.setattr(status_live, "WRITE_TIMEOUT_S", 0.2)
    caplog.set_level(logging.INFO, "danzar.http.status_live")
    world = World()
    world.facts = StatusFacts(world.facts.bot, (), VIEWS * 2000)
    turns = iter(range(1_000_000))

    def read():
        return StatusFacts(world.facts.bot, (), world.facts.models[next(turns) % 2 :])

    parts = parts_of(read, PLANNER)
    async with serve_status(parts, HttpSettings(port=0)) as url:
        host, port = url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
        writer.transport.pause_reading()
        writer.write(f"GET /v1/live HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        async with session.get(f"{url}/v1/live", read_bufsize=2**24) as answer:
            async with asyncio.timeout(PATIENCE_S):
                async for _ in answer.content.iter_any():
                    if "is cut off" in caplog.text:
                        break
            assert "is cut off" in caplog.text
            async for _ in answer.content.iter_any():
                break  # still served
        writer.transport.abort()
        del reader


async def test_a_queue_that_can_not_be_asked_is_said_and_the_rest_goes_on(session):
    async def broken():
        raise StoreFailed("the jobs can't be read")

    async with (
        serve_status(World().parts(jobs=broken), HttpSettings(port=0)) as url,
        session.get(f"{url}/v1/live") as answer,
    ):
        first = await until(answer, lambda event: True)
    assert (first["jobs"], first["jobs_error"]) == ([], "the jobs can't be read")


async def test_a_mistake_in_a_part_is_logged_once_and_the_stream_comes_back(session, caplog):
    world = World()
    broken = True

    def incidents():
        if broken:
            raise RuntimeError("a bug")
        return []

    async with (
        serve_status(world.parts(incidents=incidents), HttpSettings(port=0)) as url,
        session.get(f"{url}/v1/live") as answer,
    ):
        while world.reads < 5:
            await asyncio.sleep(0.01)
        broken = False
        await until(answer, lambda event: event["full"])
    assert caplog.text.count("could not be read") == 1


async def test_streams_end_with_the_server(session):
    async with asyncio.timeout(PATIENCE_S):
        async with serve_status(World().parts(), HttpSettings(port=0)) as url:
            answer = await session.get(f"{url}/v1/live")
            await until(answer, lambda event: True)
        await answer.content.read()
        assert answer.content.at_eof()


@pytest.mark.parametrize("method", ["POST", "HEAD", "OPTIONS"])
async def test_a_stream_is_got_and_nothing_else(session, method):
    async with (
        serve_status(parts_of(EMPTY, PLANNER), HttpSettings(port=0)) as url,
        session.request(method, f"{url}/v1/live") as answer,
    ):
        assert answer.status == 405


def test_the_board_tells_each_client_what_it_has_not_seen():
    board = Board()
    board.put(1.0, {"a": "1", "b": "1"}, {"log": ['"x"']})
    board.put(2.0, {"a": "2", "b": "1"}, {"log": ['"y"', '"z"']})
    board.put(3.0, {"a": "2", "b": "1"}, {"log": []})
    assert json.loads(board.since(0)) == {
        "at_s": 3.0,
        "full": True,
        "a": 2,
        "b": 1,
        "log": ["x", "y", "z"],
    }
    assert json.loads(board.since(1)) == {"at_s": 3.0, "full": False, "a": 2, "log": ["y", "z"]}
    assert json.loads(board.since(3)) == {"at_s": 3.0, "full": False}
