import asyncio

import pytest

from danzar.http.api_errors import ApiError
from danzar.http.api_keys import KeyLimits
from danzar.http.api_limits import RequestRate, Seats
from danzar.http.api_owners import JobsOfOwner
from tests.api.calls import ask, submit


def test_a_minute_of_requests_may_come_at_once_and_then_they_flow():
    now = [100.0]
    rate = RequestRate(lambda: now[0])
    for _ in range(60):
        rate.take("a", 60)
    with pytest.raises(ApiError) as refused:
        rate.take("a", 60)
    assert (refused.value.status, refused.value.retry_after_s) == (429, 1.0)
    rate.take("b", 60)
    now[0] += 1.0
    rate.take("a", 60)
    with pytest.raises(ApiError):
        rate.take("a", 60)
    now[0] += 3600
    for _ in range(60):
        rate.take("a", 60)
    with pytest.raises(ApiError):
        rate.take("a", 60)


def test_a_refused_request_costs_nothing():
    now = [0.0]
    rate = RequestRate(lambda: now[0])
    rate.take("a", 1)
    for _ in range(1000):
        with pytest.raises(ApiError):
            rate.take("a", 1)
    now[0] = 60.0
    rate.take("a", 1)


def test_seats_are_given_back_whatever_happens():
    seats = Seats()
    with seats.hold("a", 1):
        with pytest.raises(ApiError) as refused, seats.hold("a", 1):
            pass
        with seats.hold("b", 1):
            pass
    assert refused.value.status == 429
    with pytest.raises(KeyError), seats.hold("a", 1):
        raise KeyError
    with seats.hold("a", 1):
        pass


async def test_two_that_come_at_once_do_not_share_the_last_place():
    owners, accepted, gate = JobsOfOwner(), [], asyncio.Event()

    async def unfinished(_owner: str | None) -> int:
        await gate.wait()
        return 9 + len(accepted)

    async def come() -> str:
        try:
            async with owners.admit("a", 10, unfinished):
                await asyncio.sleep(0)
                accepted.append(1)
                return "in"
        except ApiError as refused:
            return str(refused.status)

    coming = [asyncio.create_task(come()) for _ in range(5)]
    await asyncio.sleep(0)
    gate.set()
    answers = await asyncio.gather(*coming)
    assert len(accepted) <= 1
    assert set(answers) <= {"in", "429"}
    accepted.clear()
    assert await come() == "in"


async def test_a_key_has_its_own_rate(rig):
    _, slow = await rig.keys.add("slow", KeyLimits(requests_per_minute=2))
    _, quick = await rig.keys.add("quick", KeyLimits())
    answers = [await ask(rig.url, "GET", "/models", slow) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert answers[2].error["code"] == "rate_limit_exceeded"
    assert 1 <= int(answers[2].headers["Retry-After"]) <= 30
    assert (await ask(rig.url, "GET", "/models", quick)).status == 200


async def test_a_key_has_so_many_jobs_at_once(rig):
    rig.jobs.script = lambda _request: [asyncio.Event()]
    _, key = await rig.keys.add("few", KeyLimits(jobs=2))
    first = await submit(rig.url, key)
    await submit(rig.url, key)
    job = {"model": "llama-ministral", "prompt": "x"}
    third = await ask(rig.url, "POST", "/jobs", key, json=job)
    assert (third.status, third.error["code"]) == (429, "too_many_jobs")
    assert int(third.headers["Retry-After"]) >= 1
    await ask(rig.url, "DELETE", f"/jobs/{first}", key)
    await submit(rig.url, key)


async def test_a_key_has_so_many_answers_at_once_streams_among_them(rig):
    gate = asyncio.Event()
    rig.jobs.script = lambda _request: [gate]
    key, text = await rig.keys.add("one", KeyLimits(concurrent=1))
    job_id = await submit(rig.url, text)
    stream = asyncio.create_task(ask(rig.url, "GET", f"/jobs/{job_id}/events", text))
    while not rig.parts.seats.taken(f"key:{key.id}"):
        await asyncio.sleep(0.01)
    refused = await ask(rig.url, "GET", f"/jobs/{job_id}/events", text)
    assert (refused.status, refused.error["code"]) == (429, "too_many_at_once")
    gate.set()
    assert (await stream).status == 200
    assert (await ask(rig.url, "GET", f"/jobs/{job_id}/events", text)).status == 200
