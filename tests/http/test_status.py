import socket

import aiohttp
import pytest

from danzar.config.bot import HttpSettings
from danzar.core.asker import Asker, RequestClass
from danzar.core.events import JobSubmitted, LoadRequested, SnapshotsTaken
from danzar.core.model import Job
from danzar.explain.plan_explain import explain
from danzar.http.model_json import explanation_json
from danzar.http.status_guard import StatusServerError
from danzar.http.status_json import BotFacts, StatusFacts, status_json
from danzar.http.status_server import serve_status
from danzar.units import GIB
from tests.cogs.models_rig import Models, facts
from tests.core.worlds import gpu as core_gpu
from tests.core.worlds import make_scheduler
from tests.gpu_memory.cards import gpu, memories
from tests.http.status_rig import parts_of

ASKERS = (
    Asker(RequestClass.CHAT, "4711"),
    Asker(RequestClass.CHAT, "4712"),
    Asker(RequestClass.WATCH),
)


def planner() -> Models:
    """A scheduler that has decided about ``chat`` at 100 s, and is asked at 160 s."""
    models = Models(make_scheduler(facts("chat", 6.0), facts("yolo", 1.0)), None, None)
    scheduler = models.scheduler
    scheduler.handle(SnapshotsTaken((core_gpu(0, 11.0), core_gpu(1, 9.0))), 99.0)
    scheduler.handle(LoadRequested("chat"), 100.0)
    for number, asker in enumerate(ASKERS, start=1):
        scheduler.handle(JobSubmitted(Job(number, "chat", 110.0, asker=asker)), 110.0)
    models.clock_s = 160.0
    return models


PLANNER = planner()
FACTS = StatusFacts(BotFacts("Danzar", True, 0.04), memories(gpu(0, 4.0), gpu(1, 9.9)))


@pytest.fixture
async def url():
    async with serve_status(parts_of(FACTS, PLANNER), HttpSettings(port=0)) as address:
        yield address


@pytest.fixture
async def session():
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as session:
        yield session


async def test_status_is_served_on_loopback_as_json(url, session):
    async with session.get(f"{url}/v1/status") as answer:
        assert answer.status == 200
        assert await answer.json() == status_json(FACTS)
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_devices_are_served_alone(url, session):
    async with session.get(f"{url}/v1/devices") as answer:
        body = await answer.json()
    assert [d["label"] for d in body["devices"]] == ["cuda:0", "cuda:1"]


async def test_models_and_history_are_served_alone(url, session):
    for name, key in (("models", "models"), ("history", "decisions")):
        async with session.get(f"{url}/v1/{name}") as answer:
            assert (await answer.json())[key] == []


async def test_a_plan_is_a_dry_run_with_its_numbers(url, session):
    async with session.get(f"{url}/v1/plan", params={"model": "YOLO"}) as answer:
        body = await answer.json()
    inputs, plan = PLANNER.plan("yolo")
    assert body == {
        "version": 1,
        **explanation_json(explain(inputs, plan), inputs, age_s=None),
    }
    assert body["dry_run"] is True
    assert body["text"] == "yolo would run on cuda:0 (simulated)"
    assert [row["verdict"] for row in body["weighed"]] == ["fits", "fits"]


async def test_why_is_the_last_decision_with_its_age(url, session):
    async with session.get(f"{url}/v1/why", params={"model": "chat"}) as answer:
        body = await answer.json()
    assert (body["dry_run"], body["age_s"], body["outcome"]) == (False, 60.0, "placed")
    assert body["devices"][0]["room_bytes"] == 11 * GIB
    assert body["weighed"][0]["chosen"] is True


async def test_why_of_what_was_never_decided_is_404(url, session):
    async with session.get(f"{url}/v1/why", params={"model": "yolo"}) as answer:
        assert answer.status == 404
        assert (await answer.json()) == {"error": "nothing was decided about yolo yet"}


async def test_the_queue_numbers_persons_and_names_none(url, session):
    async with session.get(f"{url}/v1/queue") as answer:
        body = await answer.json()
        assert "4711" not in await answer.text()
    (chat, yolo) = body["queues"]
    assert yolo["waiting"] == []
    assert [(x["position"], x["class"], x["person"]) for x in chat["waiting"]] == [
        (1, "chat", 1),
        (2, "watch", None),
        (3, "chat", 2),
    ]
    assert chat["waiting"][0] == {
        "number": 1,
        "class": "chat",
        "person": 1,
        "position": 1,
        "waited_s": 50.0,
        "expected_s": None,
        "bound_s": 30.0,
        "late": True,
    }


@pytest.mark.parametrize("what", ["plan", "why"])
async def test_an_unknown_model_is_404_with_the_nearest_name(url, session, what):
    async with session.get(f"{url}/v1/{what}", params={"model": "yol"}) as answer:
        assert answer.status == 404
        assert "did you mean yolo?" in (await answer.json())["error"]
    async with session.get(f"{url}/v1/{what}") as answer:
        assert answer.status == 400


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "10.0.0.7", "", "127.0.0.1.evil.example"]
)
async def test_another_host_name_is_refused(url, session, host):
    async with session.get(f"{url}/v1/status", headers={"Host": host}) as answer:
        assert answer.status == 403
        assert "devices" not in await answer.text()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1234", "[::1]:80"])
async def test_loopback_names_are_served(url, session, host):
    async with session.get(f"{url}/v1/status", headers={"Host": host}) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
async def test_pages_of_other_origins_are_refused(url, session, origin):
    async with session.get(f"{url}/v1/status", headers={"Origin": origin}) as answer:
        assert answer.status == 403


async def test_its_own_origin_is_served(url, session):
    async with session.get(f"{url}/v1/status", headers={"Origin": url}) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_nothing_can_be_written(url, session, method):
    async with session.request(method, f"{url}/v1/status") as answer:
        assert answer.status == 405


async def test_an_unknown_path_is_a_json_error(url, session):
    async with session.get(f"{url}/v1/nope") as answer:
        assert answer.status == 404
        assert await answer.json() == {"error": "not found"}


async def test_a_taken_port_is_told_with_what_to_do():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StatusServerError, match=f"{port}.*bot_config.yaml"):
            async with serve_status(parts_of(FACTS, PLANNER), HttpSettings(port=port)):
                pass


async def test_the_port_is_free_again_afterwards(session):
    async with serve_status(parts_of(FACTS, PLANNER), HttpSettings(port=0)) as address:
        pass
    with pytest.raises(aiohttp.ClientConnectionError):
        await session.get(f"{address}/v1/status")


async def test_what_was_loaded_ahead_is_served(url, session):
    async with session.get(f"{url}/v1/prefetch") as answer:
        body = await answer.json()
    assert (body["version"], body["enabled"], body["total"]["loads"]) == (1, False, 0)
    assert "switched off" in body["text"]
