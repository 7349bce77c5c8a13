import asyncio
import base64
import re

import pytest

from danzar.errors import CannotPlace, OutOfMemory, StoreFailed
from danzar.jobs.contract import JobQueueFull, QueueUnavailable
from danzar.workers.contract import ChatMessage, Generate, GenerateImages
from tests.api.calls import ask, submit
from tests.api.rig import PNG, serve_rig, writes


async def test_a_text_goes_the_way_that_the_seed_describes(rig):
    answer = await ask(
        rig.url,
        "POST",
        "/jobs",
        json={
            "model": "llama-ministral",
            "prompt": "Explain quantum computing in simple terms",
            "params": {"max_tokens": 200},
        },
    )
    assert answer.status == 201
    job_id = answer.json["job_id"]
    assert list(answer.json)[:2] == ["job_id", "status"]
    assert answer.json["status"] == "queued"
    assert answer.headers["Location"] == f"/jobs/{job_id}"
    result = await ask(rig.url, "GET", f"/jobs/{job_id}/result?wait_s=20")
    assert list(result.json)[:2] == ["type", "text"]
    assert result.json["type"] == "llm"
    assert result.json["text"] == "Quantum computing uses qubits."
    status = await ask(rig.url, "GET", f"/jobs/{job_id}")
    assert list(status.json)[:3] == ["job_id", "status", "model"]
    assert (status.json["status"], status.json["model"]) == ("completed", "llama-ministral")
    assert rig.jobs.request(job_id).work == Generate(
        messages=(ChatMessage("user", "Explain quantum computing in simple terms"),),
        max_tokens=200,
    )


async def test_a_picture_comes_as_an_address_and_as_a_file(rig):
    job_id = await submit(
        rig.url, model="stable-diffusion-turbo", params={"width": 64, "height": 128, "count": 2}
    )
    result = (await ask(rig.url, "GET", f"/jobs/{job_id}/result?wait_s=20")).json
    assert result["type"] == "diffusion"
    kind, _, data = result["image"].partition(",")
    assert (kind, base64.b64decode(data)) == ("data:image/png;base64", PNG)
    assert len(result["more_images"]) == 1
    assert (result["width"], result["height"]) == (64, 128)
    file = await ask(rig.url, "GET", f"/jobs/{job_id}/result/1")
    assert (file.headers["Content-Type"], file.content) == ("image/png", PNG)
    missing = await ask(rig.url, "GET", f"/jobs/{job_id}/result/2")
    assert (missing.status, missing.error["type"]) == (404, "not_found_error")


async def test_parameters_may_be_called_as_the_seed_calls_them(rig):
    job_id = await submit(
        rig.url,
        model="stable-diffusion-turbo",
        params={"sample_steps": 4, "cfg_scale": 7.0, "width": 512.0, "seed": 3},
    )
    work = rig.jobs.request(job_id).work
    assert isinstance(work, GenerateImages)
    assert (work.steps, work.guidance, work.width, work.seed) == (4, 7.0, 512, 3)


async def test_the_envelope_reaches_the_queue(rig):
    job_id = await submit(
        rig.url, priority=-7, deadline_s=90, keep_s=3600, max_attempts=2, params={"system": "Be"}
    )
    asked = rig.jobs.request(job_id)
    assert (asked.priority, asked.deadline_s, asked.keep_s, asked.max_attempts) == (-7, 90, 3600, 2)
    assert asked.work.messages[0] == ChatMessage("system", "Be")
    assert asked.owner is None


@pytest.mark.parametrize(
    ("job", "param", "words"),
    [
        pytest.param(
            {"promt": "x"}, "prompt", "promt: unknown key; did you mean prompt?", id="key"
        ),
        pytest.param({"prompt": ""}, "prompt", "prompt", id="empty prompt"),
        pytest.param({"prompt": 5}, "prompt", "must be text", id="prompt of another type"),
        pytest.param({"priority": 101}, "priority", "at most 100", id="priority"),
        pytest.param({"priority": "5"}, "priority", "a whole number", id="number in quotes"),
        pytest.param({"deadline_s": -1}, "deadline_s", "above 0", id="deadline"),
        pytest.param({"params": []}, "params", "a section", id="params"),
        pytest.param(
            {"params": {"max_token": 5}},
            "params.max_token",
            "did you mean max_tokens?",
            id="nearest parameter",
        ),
        pytest.param({"params": {"temperature": 3}}, "params.temperature", "at most 2", id="range"),
        pytest.param({"params": {"width": 512}}, "params.width", "unknown key", id="other kind's"),
        pytest.param(
            {"model": "stable-diffusion-turbo", "params": {"width": 500}},
            "params.width",
            "multiple of 8",
            id="size",
        ),
        pytest.param({"prompt": "x" * 101}, "prompt", "allowed: 100", id="prompt too long"),
    ],
)
async def test_a_mistake_is_named_by_its_key(tmp_path, job, param, words):
    async with serve_rig(tmp_path, max_prompt_chars=100) as rig:
        body = {"model": "llama-ministral", "prompt": "Explain", **job}
        if "promt" in job:
            del body["prompt"]
        answer = await ask(rig.url, "POST", "/jobs", json=body)
    assert answer.status == 400
    assert answer.error["param"] == param
    assert words in answer.error["message"]
    assert answer.error["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("llama-ministra", "did you mean llama-ministral?"),
        ("yolo-nano", "yolo-nano takes no jobs"),
        ("x", "models that take jobs: llama-ministral, stable-diffusion-turbo"),
    ],
)
async def test_an_unknown_model_names_the_known_ones(rig, model, words):
    answer = await ask(rig.url, "POST", "/jobs", json={"model": model, "prompt": "x"})
    assert (answer.status, answer.error["code"]) == (404, "model_not_found")
    assert words in answer.error["message"]


async def test_a_job_that_runs_has_no_result_yet_and_can_be_cancelled(rig):
    rig.jobs.script = lambda _request: [asyncio.Event()]
    job_id = await submit(rig.url)
    early = await ask(rig.url, "GET", f"/jobs/{job_id}/result?wait_s=0.05")
    assert (early.status, early.error["code"]) == (409, "running")
    cancelled = await ask(rig.url, "DELETE", f"/jobs/{job_id}")
    assert (cancelled.status, cancelled.json["status"]) == (200, "cancelled")
    late = await ask(rig.url, "GET", f"/jobs/{job_id}/result")
    assert (late.status, late.error["code"]) == (409, "cancelled")
    again = await ask(rig.url, "DELETE", f"/jobs/{job_id}")
    assert (again.status, again.json["status"]) == (200, "cancelled")


async def test_a_failed_job_says_why(rig):
    rig.jobs.script = lambda _request: [OutOfMemory("cuda:0 is full")]
    job_id = await submit(rig.url)
    result = await ask(rig.url, "GET", f"/jobs/{job_id}/result?wait_s=20")
    assert (result.status, result.error["code"]) == (409, "failed")
    status = (await ask(rig.url, "GET", f"/jobs/{job_id}")).json
    assert (status["status"], status["error"]) == ("failed", "cuda:0 is full")


async def test_a_result_is_waited_for_as_long_as_asked(rig):
    gate = asyncio.Event()
    rig.jobs.script = lambda _request: [gate, *writes("late")]
    job_id = await submit(rig.url)
    waiting = asyncio.create_task(ask(rig.url, "GET", f"/jobs/{job_id}/result?wait_s=30"))
    while not rig.parts.seats.taken(None):
        await asyncio.sleep(0.01)
    gate.set()
    assert (await waiting).json["text"] == "late"


@pytest.mark.parametrize(
    ("trouble", "status", "retry_after"),
    [
        pytest.param(JobQueueFull("10 jobs wait", 7.2), 429, "8", id="queue full"),
        pytest.param(QueueUnavailable("the queue is away"), 503, None, id="no queue"),
        pytest.param(StoreFailed("the disk is full"), 503, None, id="no disk"),
        pytest.param(CannotPlace("no device has room"), 503, None, id="no room"),
    ],
)
async def test_a_refused_job_says_when_to_come_back(rig, trouble, status, retry_after):
    rig.jobs.trouble = trouble
    job = {"model": "llama-ministral", "prompt": "x"}
    answer = await ask(rig.url, "POST", "/jobs", json=job)
    assert (answer.status, answer.error["message"]) == (status, str(trouble))
    assert answer.headers.get("Retry-After") == retry_after


async def test_an_error_of_our_own_is_answered_with_its_request_id(rig, caplog):
    rig.jobs.script = None
    rig.jobs.trouble = KeyError("secret detail")
    answer = await ask(rig.url, "GET", "/jobs/x", headers={"X-Request-ID": "my-id.7"})
    assert (answer.status, answer.headers["X-Request-ID"]) == (500, "my-id.7")
    assert "my-id.7" in answer.error["message"]
    assert "secret" not in answer.error["message"]
    assert "my-id.7" in caplog.text


async def test_every_answer_has_a_request_id_and_is_not_stored(rig):
    strange = "x" * 65
    answer = await ask(rig.url, "GET", "/jobs/none", headers={"X-Request-ID": strange})
    assert answer.status == 404
    assert re.fullmatch("h-[0-9a-f]{8}", answer.headers["X-Request-ID"])
    assert answer.headers["Cache-Control"] == "no-store"


async def test_other_methods_are_named(rig):
    answer = await ask(rig.url, "PUT", "/jobs/x")
    assert (answer.status, answer.headers["Allow"]) == (405, "DELETE, GET")
    assert answer.error["type"] == "invalid_request_error"
