"""Clients that are slow, huge, broken or hostile: a clear answer or a closed connection."""

import asyncio
import contextlib
import io
import json

import pytest

from danzar.http.api_route import decode
from danzar.jobs.contract import JobRequest
from danzar.workers.contract import Generate
from tests.api.calls import ask
from tests.api.rig import serve_rig, writes

JOB = b'{"model": "llama-ministral", "prompt": "x", "params": '
ASK_HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
JSON = {"Content-Type": "application/json"}


async def raw(url: str, *pieces: bytes) -> bytes:
    """What comes back to these bytes, until the server closes the connection.

    Each piece but the first is sent when something has come back.
    """
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    answer = b""
    try:
        async with asyncio.timeout(30):
            for number, piece in enumerate(pieces):
                answer += await reader.read(65536) if number else b""
                writer.write(piece)
                await writer.drain()
            return answer + await reader.read()
    finally:
        writer.close()


def body_of(answer: bytes) -> dict:
    return json.loads(answer.split(b"\r\n\r\n", 1)[1])


def crowd(keys: int) -> bytes:
    return json.dumps({f"k{n}": n for n in range(keys)}).encode()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(b"{", "no JSON", id="broken"),
        pytest.param(b"", "", id="empty"),
        pytest.param(b"[" * 100_000, "nested too deeply", id="deep lists"),
        pytest.param(b'{"a":' * 100_000, "nested too deeply", id="deep objects"),
        pytest.param(b"[" + b"1," * 300_000 + b"1]", "values", id="many values"),
        pytest.param(b"[" + b"1," * 20_000 + b"1]", "values", id="too many to check"),
        pytest.param(crowd(9_000), "has 9000 keys", id="many keys"),
        pytest.param(JOB + crowd(9_000) + b"}", "params has 9000 keys", id="many parameters"),
        pytest.param(b'{"prompt": "\xff"}', "no JSON", id="no UTF-8"),
        pytest.param(b'{"prompt": "\\ud800"}', "no JSON", id="half a character"),
        pytest.param(b'{"priority": NaN}', "no JSON", id="NaN"),
        pytest.param(b'{"priority": 1e999}', "no JSON", id="infinite"),
        pytest.param(b'{"priority": ' + b"9" * 5000 + b"}", "no JSON", id="endless number"),
        pytest.param(b"null", "", id="null"),
        pytest.param(b'"text"', "", id="text"),
        pytest.param(b"[]", "", id="list"),
    ],
)
async def test_a_bad_body_is_a_clear_refusal(rig, body, words):
    answer = await ask(rig.url, "POST", "/jobs", data=body, headers=JSON)
    assert answer.status == 400
    assert words in answer.error["message"]
    assert len(answer.content) < 1000


async def test_a_body_that_is_no_json_by_name_is_told_how_to_send_it(rig):
    answer = await ask(rig.url, "POST", "/jobs", data=b"{}", headers={"Content-Type": "text/plain"})
    assert answer.status == 400
    assert "Content-Type: application/json" in answer.error["message"]


@pytest.mark.parametrize(
    "prompt",
    ["\x00", "\u202e\u0000", "😀" * 1000, "\u0301" * 500, "مرحبا", "' OR 1=1 --", "{{7*7}}"],
)
async def test_any_character_may_be_in_a_prompt(rig, prompt):
    job = {"model": "llama-ministral", "prompt": prompt}
    accepted = await ask(rig.url, "POST", "/jobs", json=job)
    assert accepted.status == 201
    assert rig.jobs.request(accepted.json["job_id"]).work.messages[0].content == prompt


@pytest.mark.parametrize(
    "path", ["/jobs/%00", "/jobs/%ff%fe", "/jobs/..%2f..%2fetc", "/jobs/" + "x" * 5000, "/jobs/😀"]
)
async def test_any_id_is_looked_for_and_not_found(rig, path):
    answer = await ask(rig.url, "GET", path)
    assert answer.status in (400, 404)
    assert set(answer.error) == {"message", "type", "param", "code"}
    assert len(answer.content) < 1000


async def test_a_large_body_is_refused_by_its_length_and_by_its_size(tmp_path):
    async with serve_rig(tmp_path, max_body="64 KiB") as rig:
        by_length = await ask(
            rig.url, "POST", "/jobs", data=io.BytesIO(b"x" * 3_000_000), headers=JSON
        )

        async def pieces():
            for _ in range(100):
                yield b"x" * 10_000

        by_size = await ask(rig.url, "POST", "/jobs", data=pieces(), headers=JSON)
        head = b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n"
        waiting = await raw(rig.url, head + b"Expect: 100-continue\r\n\r\n")
    for answer in (by_length, by_size):
        assert (answer.status, answer.error["code"]) == (413, "request_too_large")
    assert waiting.startswith(b"HTTP/1.1 413")


async def test_a_body_that_does_not_come_is_not_waited_for(tmp_path):
    async with serve_rig(tmp_path, body_timeout_s=0.2) as rig:
        head = b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n"
        answer = await raw(rig.url, head + b"Content-Type: application/json\r\n\r\n{")
    assert answer.startswith(b"HTTP/1.1 408")
    assert "api.body_timeout_s" in body_of(answer)["error"]["message"]


async def test_a_head_that_does_not_come_is_not_waited_for(rig, monkeypatch):
    monkeypatch.setattr("danzar.http.api_protocol._HEAD_TIMEOUT_S", 0.2)
    with contextlib.suppress(ConnectionResetError):
        assert await raw(rig.url, b"GET /models HTTP/1.1\r\nHost: local") == b""


async def test_blank_lines_after_an_answer_keep_no_connection(rig, monkeypatch):
    monkeypatch.setattr("danzar.http.api_protocol._HEAD_TIMEOUT_S", 0.2)
    ask = ASK_HEALTH.replace(b"Connection: close\r\n", b"")
    with contextlib.suppress(ConnectionResetError):
        answer = await raw(rig.url, ask, b"\r\n")
        assert answer.startswith(b"HTTP/1.1 200")


async def test_a_head_without_end_is_refused(rig):
    answer = await raw(rig.url, b"GET /models HTTP/1.1\r\n" + b"A: b\r\n" * 20_000)
    assert answer.startswith(b"HTTP/1.1 400")
    assert "too long" in body_of(answer)["error"]["message"]


@pytest.mark.parametrize("data", [b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"\x00" * 100])
async def test_what_is_no_http_is_told_so_in_json(rig, data):
    answer = await raw(rig.url, data)
    assert answer.startswith(b"HTTP/1.1 400")
    assert body_of(answer)["error"]["type"] == "invalid_request_error"


async def test_an_answer_that_does_not_begin_is_given_up(tmp_path):
    async with serve_rig(tmp_path, answer_timeout_s=0.5) as rig:
        rig.jobs.script = lambda _request: [asyncio.Event()]
        view = await rig.jobs.submit(JobRequest("llama-ministral", Generate(())))
        answer = await ask(rig.url, "GET", f"/jobs/{view.job_id}/result?wait_s=30")
        assert answer.status == 504
        assert "api.answer_timeout_s" in answer.error["message"]
        assert not rig.parts.seats.taken(None)


async def test_a_client_that_takes_nothing_is_dropped(tmp_path):
    async with serve_rig(tmp_path, write_timeout_s=0.2) as rig:
        rig.jobs.script = lambda _request: [*writes(*["x" * 100_000] * 200)]
        job = {"model": "llama-ministral", "prompt": "x"}
        job_id = (await ask(rig.url, "POST", "/jobs", json=job)).json["job_id"]
        host, port = rig.url.removeprefix("http://").split(":")
        _reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
        writer.write(f"GET /jobs/{job_id}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        async with asyncio.timeout(30):
            while not rig.parts.seats.taken(None):
                await asyncio.sleep(0.01)
            while rig.parts.seats.taken(None):
                await asyncio.sleep(0.01)
        writer.close()
        assert (await ask(rig.url, "GET", "/health")).status == 200


async def test_a_client_that_leaves_in_the_middle_of_its_request_breaks_nothing(rig, caplog):
    head = b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"
    host, port = rig.url.removeprefix("http://").split(":")
    for _ in range(20):
        _reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(head)
        await writer.drain()
        writer.transport.abort()
    assert (await ask(rig.url, "GET", "/health")).status == 200
    assert "Traceback" not in caplog.text


async def test_more_connections_than_there_may_be_are_refused(rig, monkeypatch):
    monkeypatch.setattr("danzar.http.api_protocol._MAX_CONNECTIONS", 3)
    host, port = rig.url.removeprefix("http://").split(":")
    idle = [await asyncio.open_connection(host, int(port)) for _ in range(3)]
    refused = await raw(rig.url, b"")
    assert refused.startswith(b"HTTP/1.1 503")
    assert "connections are open" in body_of(refused)["error"]["message"]
    for _reader, writer in idle:
        writer.close()
    async with asyncio.timeout(30):
        while not (await raw(rig.url, ASK_HEALTH)).startswith(b"HTTP/1.1 200"):
            await asyncio.sleep(0.01)


async def test_many_at_once_are_all_answered(rig):
    answers = await asyncio.gather(*(ask(rig.url, "GET", "/models") for _ in range(100)))
    assert {answer.status for answer in answers} <= {200, 429}


def test_a_long_text_is_no_trouble():
    assert len(decode(b'"' + b"a" * 5_000_000 + b'"')) == 5_000_000
