"""A short run of ``benchmarks/chaos.py``: every accepted job ends exactly once, whatever dies."""

import shutil

import pytest

from benchmarks.chaos import Plan, run

pytestmark = [pytest.mark.process, pytest.mark.redis, pytest.mark.model]

# Shorter intervals than in the benchmark, so that everything dies in this short time, too.
PLAN = Plan(
    jobs=60,
    kinds=("smollm2", "echo", "broken"),
    pace_s=0.2,
    lease_s=2.0,
    worker_every_s=3.0,
    worker_lives_s=1.0,
    machine_every_s=9.0,
    redis_every_s=11.0,
    front_every_s=13.0,
    limit_s=240.0,
)


@pytest.mark.timeout(420)
def test_every_accepted_job_ends_once_while_workers_machines_and_redis_are_killed() -> None:
    if shutil.which("redis-server") is None:
        pytest.skip("there is no redis-server here")

    report = run(PLAN)

    assert (report.lost, report.twice, report.silent) == ((), (), ())
    assert report.accepted == PLAN.jobs <= report.rows
    assert sum(report.states.values()) == PLAN.jobs
    assert report.states["completed"] > PLAN.jobs / 3
    assert report.killed["worker"]
    assert report.killed["redis"]
    assert report.killed["pc1"] + report.killed.get("pc2", 0)
