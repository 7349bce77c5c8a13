"""The process of the chaos that accepts jobs and hears how they end. It may be killed at any time.

    python -m benchmarks.chaos_front TASK.json

What it was told is in ``accepted.jsonl`` (one line once a job is accepted) and ``heard.jsonl`` (one
line for each end that a follower is told); a trigger in ``jobs.db`` notes every change of
a job that has ended. Started again, it goes on where it was.
"""

import asyncio
import hashlib
import json
import os
import sqlite3
import sys
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.chaos_jobs import Spec, spec
from danzar.config.jobs import JobsConfig
from danzar.errors import DanzarError, ModelMissing
from danzar.jobs.contract import JobNotCompleted, Jobs, JobState, QueueUnavailable, StateCame
from danzar.jobs.open_jobs import open_jobs
from danzar.keys.address import queue_address
from danzar.keys.plain_arguments import use_plain_arguments

_TRIGGER = """
CREATE TABLE IF NOT EXISTS chaos_ends (job_id TEXT, ended_at REAL, standing BLOB);
CREATE TRIGGER IF NOT EXISTS chaos_note AFTER UPDATE ON jobs WHEN NEW.ended_at IS NOT NULL
BEGIN INSERT INTO chaos_ends VALUES (NEW.job_id, NEW.ended_at, NEW.standing); END;
"""
_TRY_AGAIN_S = 0.5


class Task(msgspec.Struct, frozen=True):
    """What to do.

    Attributes:
        pace_s: Seconds between two jobs.
    """

    folder: str
    url: str
    keys: str | None
    jobs: int
    seed: int
    pace_s: float
    lease_s: float
    kinds: tuple[str, ...]


class Journal:
    """Lines that are on the disk when ``write`` returns."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._out = file.open("a", encoding="utf-8")

    def write(self, **facts: Any) -> None:
        self._out.write(json.dumps(facts) + "\n")
        self._out.flush()
        os.fsync(self._out.fileno())

    def lines(self) -> list[dict[str, Any]]:
        """All whole lines, those of earlier lives among them."""
        return read_lines(self._file)


def read_lines(file: Path) -> list[dict[str, Any]]:
    """The lines of a journal; a last one that a kill cut off is no line."""
    if not file.exists():
        return []
    whole = file.read_text(encoding="utf-8").split("\n")[:-1]
    return [json.loads(line) for line in whole]


async def main(task: Task) -> None:
    """Submit what is not accepted yet, and follow all to their end."""
    use_plain_arguments()
    folder = Path(task.folder)
    keys = None if task.keys is None else Path(task.keys)
    address = await asyncio.to_thread(queue_address, task.url, keys)
    config = JobsConfig(url=address.text, lease_s=task.lease_s, retry_delay_s=0.2, keep_s=86_400)
    async with open_jobs(config, folder, inference=None, models=dict, node="front") as jobs:
        with closing(sqlite3.connect(folder / "jobs.db", timeout=30)) as database:
            database.executescript(_TRIGGER)
        await _all(task, folder, jobs)


async def _all(task: Task, folder: Path, jobs: Jobs) -> None:
    accepted, heard = Journal(folder / "accepted.jsonl"), Journal(folder / "heard.jsonl")
    known = {line["number"]: line["job_id"] for line in accepted.lines()}
    ended = {line["job_id"] for line in heard.lines()}
    async with asyncio.TaskGroup() as tasks:
        for number in range(task.jobs):
            wanted = spec(task.seed, number, task.kinds)
            job_id = known.get(number)
            if job_id is None:
                job_id = await _submit(jobs, wanted)
                accepted.write(number=number, job_id=job_id)
                if wanted.cancel_after_s is not None:
                    tasks.create_task(_cancel(jobs, job_id, wanted.cancel_after_s))
                await asyncio.sleep(task.pace_s)
            if job_id not in ended:
                tasks.create_task(_follow(jobs, job_id, heard))
    heard.write(done=True, job_id="")


async def _submit(jobs: Jobs, wanted: Spec) -> str:
    while True:
        try:
            return (await jobs.submit(wanted.request)).job_id
        except (QueueUnavailable, ModelMissing):
            await asyncio.sleep(_TRY_AGAIN_S)  # not accepted: no node has come yet


async def _cancel(jobs: Jobs, job_id: str, after_s: float) -> None:
    await asyncio.sleep(after_s)
    await jobs.cancel(job_id, "changed their mind")


async def _follow(jobs: Jobs, job_id: str, heard: Journal) -> None:
    """Write down every end that is told; more than one is a mistake that the report finds."""
    ends = 0
    while not ends:
        try:
            async with aclosing(jobs.follow(job_id)) as events:
                async for event in events:
                    if isinstance(event, StateCame) and event.view.state.ended:
                        ends += 1
                        view = event.view
                        heard.write(
                            job_id=job_id,
                            state=view.state,
                            error=view.error,
                            node=view.node,
                            attempt=view.attempt,
                            digest=await _digest(jobs, job_id, view.state),
                        )
        except QueueUnavailable:
            await asyncio.sleep(_TRY_AGAIN_S)


async def _digest(jobs: Jobs, job_id: str, state: JobState) -> str | None:
    """Of the result, so that a second answer would show; ``None`` where there is none."""
    if state is not JobState.COMPLETED:
        return None
    try:
        output = await jobs.output(job_id)
    except JobNotCompleted:
        return "completed without a result"
    except DanzarError as exc:
        return f"no result: {exc}"
    return hashlib.sha256(msgspec.msgpack.encode(output)).hexdigest()


if __name__ == "__main__":
    asyncio.run(main(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Task)))
