"""What a job costs beside asking the model directly, in seconds of one request."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from benchmarks.jobs_world import MODEL, PROMPT, job, ms, own_environment, queue, said, write_config
from danzar.config.load import load_config
from danzar.core.asker import Asker, RequestClass
from danzar.jobs.contract import Jobs, JobState, StateCame
from danzar.services import open_services

_WARM_UP = 20
_ASKER = Asker(RequestClass.JOB)
_SCHEME = "http://"
_PATIENCE_S = 60.0


async def compare(kind: str, rounds: int) -> dict[str, Any]:
    """Both ways in turn, in one process with one worker."""
    direct_s, job_s, submit_s = [], [], []
    with queue(kind) as url, TemporaryDirectory() as folder:
        config = load_config(write_config(Path(folder), url), {})
        async with open_services(config) as services:
            if services.jobs is None:
                raise RuntimeError("there are no jobs")
            for number in range(_WARM_UP + rounds):
                begun_s = time.perf_counter()
                await services.manager.call(MODEL, said(), asker=_ASKER)
                direct = time.perf_counter() - begun_s
                accepted, done = await run_job(services.jobs)
                if number >= _WARM_UP:
                    direct_s.append(direct)
                    submit_s.append(accepted)
                    job_s.append(done)
    return {
        "queue": kind,
        "rounds": rounds,
        "direct_p50_ms": ms(direct_s),
        "job_p50_ms": ms(job_s),
        "added_p50_ms": round(ms(job_s) - ms(direct_s), 2),
        "accepted_p50_ms": ms(submit_s),
        "direct_p99_ms": ms(direct_s, 99),
        "job_p99_ms": ms(job_s, 99),
    }


async def run_job(jobs: Jobs) -> tuple[float, float]:
    """Seconds until a job is accepted, and until its output is here."""
    begun_s = time.perf_counter()
    view = await jobs.submit(job())
    accepted_s = time.perf_counter() - begun_s
    async with aclosing(jobs.follow(view.job_id)) as events:
        async for event in events:
            if isinstance(event, StateCame) and event.view.state.ended:
                if event.view.state is not JobState.COMPLETED:
                    raise RuntimeError(event.view.error)
                break
    await jobs.output(view.job_id)
    return accepted_s, time.perf_counter() - begun_s


# --- over HTTP ----------------------------------------------------------------------------------


async def compare_http(rounds: int) -> dict[str, Any]:
    """``danzar serve`` as a process: a job over three calls, and a chat completion in one."""
    job_s, chat_s = [], []
    with TemporaryDirectory() as folder:
        config = write_config(Path(folder), "memory://")
        async with _serving(config) as client:
            for number in range(_WARM_UP + rounds):
                begun_s = time.perf_counter()
                await _chat(client)
                chat = time.perf_counter() - begun_s
                begun_s = time.perf_counter()
                await _job(client)
                if number >= _WARM_UP:
                    chat_s.append(chat)
                    job_s.append(time.perf_counter() - begun_s)
    return {
        "rounds": rounds,
        "chat_p50_ms": ms(chat_s),
        "job_p50_ms": ms(job_s),
        "added_p50_ms": round(ms(job_s) - ms(chat_s), 2),
        "chat_p99_ms": ms(chat_s, 99),
        "job_p99_ms": ms(job_s, 99),
    }


@asynccontextmanager
async def _serving(config: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a ``danzar serve`` of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "danzar", "serve", "--port", "0", "--config", str(config)),
        env=own_environment() | {"PYTHONUNBUFFERED": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with httpx.AsyncClient(base_url=await _address(process), timeout=60) as client:
            yield client
    finally:
        process.terminate()
        await process.communicate()


async def _address(process: asyncio.subprocess.Process) -> str:
    if process.stdout is None:
        raise RuntimeError("danzar serve has no output")
    async with asyncio.timeout(_PATIENCE_S):
        async for line in process.stdout:
            _, found, rest = line.decode().partition(_SCHEME)
            if found:
                return found + rest.split()[0].rstrip("/.,")
    raise RuntimeError("danzar serve ended before it listened")


async def _chat(client: httpx.AsyncClient) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": PROMPT}]}
    (await client.post("/v1/chat/completions", json=body)).raise_for_status()


async def _job(client: httpx.AsyncClient) -> None:
    answer = (
        await client.post("/jobs", json={"model": MODEL, "prompt": PROMPT})
    ).raise_for_status()
    job_id = answer.json()["job_id"]
    async with client.stream("GET", f"/jobs/{job_id}/events") as events:
        async for _ in events.aiter_lines():
            pass
    (await client.get(f"/jobs/{job_id}/result")).raise_for_status()
