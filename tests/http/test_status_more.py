"""The cards' past, incidents, jobs and the log as JSON."""

import aiohttp
import pytest

from danzar.config.bot import HttpSettings
from danzar.graph import Point, UseHistory
from danzar.http.status_json import BotFacts, StatusFacts, job_json
from danzar.http.status_server import serve_status
from danzar.http.status_use_json import MOST_POINTS, thinned, use_json
from danzar.jobs.contract import JobState, JobView
from danzar.logs.line import LogLine
from danzar.logs.ring import Ring
from tests.gpu_memory.cards import cpu, gib, gpu, memories, seed_ledger
from tests.http.status_rig import EMPTY, parts_of
from tests.http.test_status import PLANNER


class Clock:
    def __init__(self):
        self.at_s = 1000.0

    def __call__(self):
        return self.at_s


def history_of(*free_gib, step_s=2.0, keep_s=3600.0, chat_gib=3.0):
    """A past in which the first card had so much free, one step after the other."""
    clock = Clock()
    now = []
    history = UseHistory(lambda: now[0], keep_s=keep_s, clock_s=clock)
    for free in free_gib:
        now[:] = [memories(gpu(0, free), cpu(), ledger=seed_ledger(chat_gib=chat_gib))]
        history.note()
        clock.at_s += step_s
    return history, now[0]


def test_the_past_is_columns_with_the_leases_said_once():
    history, devices = history_of(8.0, 7.0, 7.0)
    body = use_json(history, devices, 600.0)
    (card,) = body["devices"]  # host RAM has none
    assert (card["uuid"], body["span_s"], body["keep_s"]) == ("GPU-0", 600.0, 3600.0)
    assert card["at_s"] == [1000.0, 1002.0, 1004.0]
    assert card["used_bytes"] == [gib(4), gib(5), gib(5)]
    assert card["utilisation_pct"] == [12.0, 12.0, 12.0]
    assert card["leases"] == [0, 0, 0]
    assert card["lease_sets"] == [[{"model": "chat", "bytes": gib(3)}]]


def test_an_unknown_use_is_null_and_not_zero():
    history, devices = history_of(8.0, None)
    assert use_json(history, devices, 600.0)["devices"][0]["used_bytes"] == [gib(4), None]


def test_a_long_past_is_thinned_and_keeps_its_peak():
    points = [Point(float(n), gib(1), 0) for n in range(0, 3600, 2)]
    points[777] = Point(points[777].at_s, gib(9), 0)
    kept = thinned(points, 0.0, 3600.0)
    assert len(kept) <= MOST_POINTS
    assert max(p.used_bytes for p in kept) == gib(9)
    assert [p.at_s for p in kept] == sorted(p.at_s for p in kept)


def test_beyond_the_fine_steps_a_day_is_told_in_minutes():
    history, devices = history_of(*[8.0] * 400, step_s=2.0, keep_s=60.0)
    fine = use_json(history, devices, 60.0)["devices"][0]["at_s"]
    day = use_json(history, devices, 86_400.0)["devices"][0]["at_s"]
    assert fine[0] >= 1800.0 - 62.0
    assert day[0] == 1000.0
    assert len(day) <= 14


def test_the_same_leases_are_kept_as_one_object():
    history, _ = history_of(8.0, 7.0, 6.0)
    kept = history.points("GPU-0", 0.0)
    assert kept[0].leases is kept[2].leases


def test_a_job_is_told_without_whose_it_is():
    job = JobView("j1", "chat", JobState.RUNNING, 0.0, owner="key:abc", progress=0.5)
    body = job_json(job)
    assert "key:abc" not in str(body)
    assert (body["id"], body["state"], body["progress"]) == ("j1", "running", 0.5)
    assert body["submitted_at"] == "1970-01-01T00:00:00+00:00"
    assert body["ended_at"] is None


@pytest.fixture
async def session():
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as opened:
        yield opened


def ring(*lines):
    made = Ring()
    for level, text, request in lines:
        made.add(LogLine(at="", level=level, logger="danzar", text=text, request=request))
    return made


async def get(session, path, **parts):
    made = parts_of(EMPTY, PLANNER, **parts)
    async with serve_status(made, HttpSettings(port=0)) as url, session.get(url + path) as answer:
        return answer.status, await answer.json()


async def test_the_log_is_filtered_by_level_and_request(session):
    log = ring(("info", "a", None), ("warning", "b", "m1"), ("error", "c", "m1"))
    for query, texts in (
        ("", ["a", "b", "c"]),
        ("?level=warning", ["b", "c"]),
        ("?request=m1&limit=1", ["c"]),
    ):
        status, body = await get(session, f"/v1/log{query}", log=log)
        assert (status, [line["text"] for line in body["log"]]) == (200, texts)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/log?level=loud",
        "/v1/log?limit=0",
        "/v1/log?limit=nan",
        "/v1/log?limit=inf",
        "/v1/use?span_s=-1",
        "/v1/use?span_s=x",
    ],
)
async def test_what_makes_no_sense_is_said(session, path):
    status, body = await get(session, path)
    assert status == 400
    assert path.partition("?")[2].partition("=")[0] in body["error"]


async def test_incidents_and_jobs_are_served_as_they_are_known(session):
    async def jobs():
        return [job_json(JobView("j1", "chat", JobState.QUEUED, 0.0))]

    assert (await get(session, "/v1/jobs", jobs=jobs))[1]["jobs"][0]["id"] == "j1"
    _, body = await get(session, "/v1/incidents", incidents=lambda: [{"id": 1}])
    assert body["incidents"] == [{"id": 1}]
    assert body["version"] == 1


async def test_the_past_is_served(session):
    history, devices = history_of(8.0)
    facts = StatusFacts(BotFacts("Danzar", True, None), devices)
    made = parts_of(facts, PLANNER, use=history)
    async with (
        serve_status(made, HttpSettings(port=0)) as url,
        session.get(f"{url}/v1/use?span_s=60") as answer,
    ):
        assert (await answer.json())["devices"][0]["used_bytes"] == [gib(4)]
