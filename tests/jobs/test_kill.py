"""The whole process is killed at any moment: what it accepted still ends, and ends once."""

import asyncio
import random
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from danzar.config.jobs import JobsConfig
from danzar.jobs.contract import JobState
from danzar.jobs.open_jobs import open_jobs
from tests.jobs.helpers import PATIENCE_S, EchoInference, ended

pytestmark = pytest.mark.process

_SCRIPT = Path(__file__).with_name("accepting_process.py")
_ROOT = Path(__file__).parents[2]


class Life:
    """One life of the process: what it told before it was killed."""

    def __init__(self) -> None:
        self.accepted: list[str] = []
        self.ends: dict[str, tuple[str, ...]] = {}
        self.done = False

    async def live(self, folder: Path, url: str, count: int, kill_after: int | None) -> None:
        """Run until it is done, or has told so many things."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(_SCRIPT),
            str(folder),
            url,
            str(count),
            "here",
            cwd=_ROOT,
            env={"PYTHONPATH": str(_ROOT)},
            stdout=asyncio.subprocess.PIPE,
        )
        told = 0
        async with asyncio.timeout(PATIENCE_S * 2):
            async for line in process.stdout:
                self._note(line.decode().split())
                told += 1
                if told == kill_after:
                    process.kill()
            await process.wait()

    def _note(self, words: list[str]) -> None:
        match words:
            case ["accepted", job_id]:
                self.accepted.append(job_id)
            case ["ended", job_id, *how]:
                assert job_id not in self.ends
                self.ends[job_id] = tuple(how)
            case ["done"]:
                self.done = True


@pytest.mark.timeout(180)
async def test_each_accepted_job_ends_exactly_once_whenever_the_process_is_killed(
    queue_url, tmp_path
):
    chance = random.Random(20261121)
    lives = []
    memory = queue_url.startswith("memory")  # much quicker
    for _ in range(3 if memory else 2):
        life = Life()
        count, longest = (90, 150) if memory else (40, 70)
        await life.live(tmp_path, queue_url, count, kill_after=chance.randint(20, longest))
        lives.append(life)
    last = Life()
    await last.live(tmp_path, queue_url, 10, None)
    assert last.done
    accepted = [job_id for life in [*lives, last] for job_id in life.accepted]
    assert len(accepted) == len(set(accepted)) > 30
    await _each_ended_once(tmp_path, queue_url, accepted, [*lives, last])


async def _each_ended_once(folder, url, accepted, lives) -> None:
    told = defaultdict(set)
    for life in lives:
        for job_id, how in life.ends.items():
            told[job_id].add(how)
    assert all(len(ends) == 1 for ends in told.values()), "answered twice, differently"
    config = JobsConfig(url=url, lease_s=1.0, drain_s=0.0)
    idle = EchoInference()
    parts = open_jobs(config, folder, inference=idle, models=lambda: {"echo": 1}, node="here")
    async with parts as jobs:
        states = Counter()
        for job_id in accepted:
            view = await ended(jobs, job_id)
            states[view.state] += 1
            if job_id in told:
                (how,) = told[job_id]
                assert how[:2] == (view.state.value, str(view.ended_at))
        assert states == {JobState.COMPLETED: len(accepted)}
        assert idle.begun == [], "a job that had ended ran again"
