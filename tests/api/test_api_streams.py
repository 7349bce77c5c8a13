import asyncio
import json

import aiohttp
import pytest

from danzar.errors import WorkerDied
from danzar.http.api_keys import KeyLimits
from danzar.jobs.contract import QueueUnavailable
from tests.api.calls import ask, submit
from tests.api.rig import serve_rig, writes

# Going away, or restarting: the API's route and its server say it at the same time.
GOING = (1001, 1012)


def events_of(content: bytes) -> list[tuple[str, dict]]:
    """Name and data of every event; comments left out."""
    blocks = [block for block in content.decode().split("\n\n") if "data: " in block]
    pairs = [dict(line.split(": ", 1) for line in block.splitlines()) for block in blocks]
    return [(pair["event"], json.loads(pair["data"])) for pair in pairs]


async def until(condition) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture
async def session():
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(60)) as opened:
        yield opened


async def test_a_job_is_followed_to_its_result(rig):
    gate = asyncio.Event()
    rig.jobs.script = lambda _request: [gate, *writes("Hel", "lo")]
    job_id = await submit(rig.url)
    stream = asyncio.create_task(ask(rig.url, "GET", f"/jobs/{job_id}/events"))
    await until(lambda: rig.parts.seats.taken(None))
    gate.set()
    answer = await stream
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    told = events_of(answer.content)
    assert [data["text"] for name, data in told if name == "text"] == ["Hel", "lo"]
    assert told[0][0] == "state"
    assert told[-1] == ("result", {**told[-1][1], "type": "llm", "text": "Hello"})


async def test_steps_of_a_picture_are_told_with_a_small_one(rig):
    job_id = await submit(rig.url, model="stable-diffusion-turbo")
    told = events_of((await ask(rig.url, "GET", f"/jobs/{job_id}/events")).content)
    (step,) = [data for name, data in told if name == "step"]
    assert step["preview"].startswith("data:image/jpeg;base64,")
    assert (step["step"], step["steps"], step["attempt"]) == (1, 1, 1)


async def test_a_failed_job_ends_its_stream_with_the_reason(rig):
    rig.jobs.script = lambda _request: [WorkerDied("the worker died")]
    job_id = await submit(rig.url)
    told = events_of((await ask(rig.url, "GET", f"/jobs/{job_id}/events")).content)
    assert told[-1][1]["status"] == "failed"
    assert told[-1][1]["error"] == "the worker died"


async def test_trouble_in_the_middle_is_the_last_event(rig):
    async def broken(_job_id):
        raise QueueUnavailable("the queue is away")
        yield

    job_id = await submit(rig.url)
    rig.jobs.follow = broken
    told = events_of((await ask(rig.url, "GET", f"/jobs/{job_id}/events")).content)
    assert told[-1][0] == "error"
    assert told[-1][1]["error"]["message"] == "the queue is away"


async def test_a_silent_stream_shows_that_it_lives(tmp_path, session):
    async with serve_rig(tmp_path, keep_alive_s=0.05) as rig:
        rig.jobs.script = lambda _request: [asyncio.Event()]
        job_id = await submit(rig.url)
        async with session.get(f"{rig.url}/jobs/{job_id}/events") as answer:
            seen = b""
            while seen.count(b": keep-alive\n\n") < 2:
                seen += await answer.content.readany()


async def test_who_leaves_a_stream_frees_its_seat_and_the_job_goes_on(rig, session):
    gate = asyncio.Event()
    rig.jobs.script = lambda _request: [gate, *writes("done")]
    job_id = await submit(rig.url)
    async with session.get(f"{rig.url}/jobs/{job_id}/events") as answer:
        await answer.content.readany()
        assert rig.parts.seats.taken(None) == 1
    await until(lambda: not rig.parts.seats.taken(None))
    gate.set()
    result = await ask(rig.url, "GET", f"/jobs/{job_id}/result?wait_s=30")
    assert result.json["text"] == "done"


async def test_a_stream_ends_when_the_server_stops(tmp_path, session):
    async with serve_rig(tmp_path) as rig:
        rig.jobs.script = lambda _request: [asyncio.Event()]
        job_id = await submit(rig.url)
        reading = asyncio.create_task(ask(rig.url, "GET", f"/jobs/{job_id}/events"))
        socket = await session.ws_connect(f"{rig.url}/jobs/ws")
        await until(lambda: rig.parts.seats.taken(None) == 2)
    assert (await reading).status == 200
    last = await socket.receive()
    assert last.type is aiohttp.WSMsgType.CLOSE
    assert last.data in GOING


async def test_a_socket_takes_jobs_and_tells_of_each(rig, session):
    async with session.ws_connect(f"{rig.url}/jobs/ws") as socket:
        await socket.send_json({"model": "llama-ministral", "prompt": "x", "promt": "y"})
        refused = await socket.receive_json()
        assert (refused["event"], refused["job_id"]) == ("error", None)
        assert "did you mean prompt?" in refused["data"]["error"]["message"]
        await socket.send_json({"model": "llama-ministral", "prompt": "x"})
        told = [await socket.receive_json()]
        while told[-1]["event"] != "result":
            told.append(await socket.receive_json())
    assert told[0]["event"] == "submitted"
    assert told[0]["data"]["status"] == "queued"
    assert {event["job_id"] for event in told} == {told[0]["job_id"]}
    assert told[-1]["data"]["text"] == "Quantum computing uses qubits."


async def test_a_job_is_cancelled_by_its_socket(rig, session):
    rig.jobs.script = lambda _request: [asyncio.Event()]
    async with session.ws_connect(f"{rig.url}/jobs/ws") as socket:
        await socket.send_json({"model": "llama-ministral", "prompt": "x"})
        job_id = (await socket.receive_json())["job_id"]
        await socket.send_json({"cancel": job_id})
        told = await socket.receive_json()
        while told["data"].get("status") != "cancelled":
            told = await socket.receive_json()
        await socket.send_json({"cancel": "nobody's"})
        assert (await socket.receive_json())["data"]["error"]["code"] == "job_not_found"


async def test_one_job_is_followed_by_socket_to_its_end(rig, session):
    job_id = await submit(rig.url)
    async with session.ws_connect(f"{rig.url}/jobs/{job_id}/ws") as socket:
        told = [message.json() async for message in socket]
    assert {event["job_id"] for event in told} == {job_id}
    assert "result" in [event["event"] for event in told]
    assert socket.close_code == 1000


@pytest.mark.parametrize(
    "text", ["nonsense", "[" * 5000, '{"cancel": 5}', "[]", "null", '"\\ud800"']
)
async def test_what_a_socket_does_not_understand_does_not_end_it(rig, session, text):
    async with session.ws_connect(f"{rig.url}/jobs/ws") as socket:
        for _ in range(2):
            await socket.send_str(text)
            assert (await socket.receive_json())["event"] == "error"
        await socket.send_bytes(b"\xff\xfe")
        assert (await socket.receive_json())["event"] == "error"


async def test_a_socket_without_a_key_never_opens(rig, session):
    _, key = await rig.keys.add("one", KeyLimits())
    job_id = await submit(rig.url, key)
    for headers, status in (
        ({}, 401),
        ({"Authorization": f"Bearer {key}", "Origin": "http://evil.example"}, 403),
    ):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(f"{rig.url}/jobs/{job_id}/ws", headers=headers)
        assert refused.value.status == status


async def test_a_socket_of_another_key_sees_nothing(rig, session):
    (_, first), (_, second) = (
        await rig.keys.add("one", KeyLimits()),
        await rig.keys.add("two", KeyLimits()),
    )
    job_id = await submit(rig.url, first)
    headers = {"Authorization": f"Bearer {second}"}
    async with session.ws_connect(f"{rig.url}/jobs/{job_id}/ws", headers=headers) as socket:
        assert (await socket.receive_json())["data"]["error"]["code"] == "job_not_found"
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE


async def test_who_leaves_a_socket_frees_its_seat(rig, session):
    async with session.ws_connect(f"{rig.url}/jobs/ws"):
        await until(lambda: rig.parts.seats.taken(None) == 1)
    await until(lambda: not rig.parts.seats.taken(None))
