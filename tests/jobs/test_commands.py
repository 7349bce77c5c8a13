"""``danzar jobs``: over the real control channel, and what it prints."""

import asyncio
import base64
import json

import aiohttp
import pytest
from aiohttp import web
from rich.console import Console

from danzar.commands import jobs as commands
from danzar.config.jobs import JobsConfig
from danzar.jobs.contract import JobRequest
from danzar.jobs.control import PATH, CancelJob, ListJobs, ShowJob, SubmitJob, job_routes
from danzar.workers.contract import GenerateImages
from tests.jobs.helpers import PIXEL, EchoInference, ended, until, wish


@pytest.fixture
def config():
    return JobsConfig(drain_s=0.0)


@pytest.fixture
async def ask(jobs, monkeypatch):
    """Asks as a command does, over HTTP."""

    async def audit(who, action, detail):
        """Nobody reads it here."""

    app = web.Application()
    for path, handler in job_routes(jobs, audit).items():
        app.router.add_post(path, handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}{PATH}"

    async def ask(wish):
        body = commands.msgspec.json.encode(wish)
        async with aiohttp.ClientSession() as session, session.post(url, data=body) as answer:
            return await answer.json()

    yield ask
    await runner.cleanup()


def printed(function, *args) -> str:
    console = Console(width=160, record=True, markup=False, highlight=False, quiet=False)
    with console.capture() as capture:
        function(*args, console)
    return capture.get()


async def test_a_job_is_submitted_shown_and_listed(ask, jobs):
    view = (await ask(SubmitJob(wish("hello there", owner="command line"))))["body"]["job"]
    await ended(jobs, view["job_id"])
    shown = (await ask(ShowJob(view["job_id"])))["body"]
    assert shown["job"]["state"] == "completed"
    assert shown["result"] == {"type": "generated", "text": "hello there ", "files": 0}
    text = printed(commands.print_job, shown)
    assert "completed" in text
    assert "hello there" in text
    listed = (await ask(ListJobs()))["body"]
    assert view["job_id"] in printed(commands.print_jobs, listed)
    assert json.loads(json.dumps(listed)) == listed


async def test_waiting_jobs_are_counted_and_one_is_cancelled(ask, jobs, echo):
    echo.gate = asyncio.Event()
    for i in range(2):
        await jobs.submit(wish(f"runs {i}"))
    await until(lambda: len(echo.begun) == 2)
    waiting = await jobs.submit(wish("waits"))
    listed = (await ask(ListJobs()))["body"]
    text = printed(commands.print_jobs, listed)
    assert "queued, number 1" in text
    assert "1 wait for echo." in text
    cancelled = (await ask(CancelJob(waiting.job_id)))["body"]
    assert "cancelled from the command line" in printed(commands.print_job, cancelled)


async def test_a_picture_is_kept_in_a_file(ask, jobs, tmp_path):
    request = JobRequest("echo", GenerateImages("a cat", steps=1))
    view = (await ask(SubmitJob(request)))["body"]["job"]
    await ended(jobs, view["job_id"])
    shown = (await ask(ShowJob(view["job_id"], with_files=True)))["body"]
    assert base64.b64decode(shown["result"]["data"][0]) == PIXEL.data
    commands.keep_file(shown, tmp_path / "cat.png")
    assert (tmp_path / "cat.png").read_bytes() == PIXEL.data


async def test_a_refusal_says_why(ask):
    assert "There is no job 'x'" in (await ask(ShowJob("x")))["refused"]


async def test_without_jobs_the_answer_says_how_to_switch_them_on():
    from danzar.jobs.control import _grant

    assert "jobs.enabled" in (await _grant(None, ListJobs())).refused


async def test_nothing_lately_is_said_so(ask):
    assert "No job" in printed(commands.print_jobs, (await ask(ListJobs()))["body"])


def test_the_helper_is_an_inference():
    from danzar.inference import Inference

    model: Inference = EchoInference()
    assert model.batch_size("echo") is None
