"""Both boards, one contract; and no sequence of calls that ends a job twice or loses one."""

import asyncio
from collections import Counter

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from danzar.jobs.board import Changed, HasEnded, HasStarted
from danzar.jobs.contract import JobState, PartCame
from danzar.jobs.local_board import LocalBoard
from danzar.jobs.open_jobs import open_queue
from danzar.jobs.order import score
from danzar.jobs.record import Ending, JobRecord, News, Standing, new_id
from danzar.workers.contract import TextDelta
from tests.jobs.helpers import PATIENCE_S, wish

DONE = Ending(JobState.COMPLETED, output=b"\0\xffdone")


def record(number=0, priority=0, home="home"):
    request = wish(f"job {number}", priority=priority)
    return JobRecord(new_id(), request, home, number, score(number, priority, 10.0), None, 60.0)


@pytest.fixture
async def board(config):
    async with open_queue(config) as board:
        yield board


async def test_the_lowest_score_is_taken_first_and_each_once(board):
    jobs = [record(3), record(1), record(2, priority=-5), record(9, priority=5)]
    await board.put([(job, 0) for job in jobs])
    assert await board.waiting() == {"echo": 4}
    order = [await board.take("echo", "n") for _ in range(5)]
    assert [taken and taken.record.submitted_at for taken in order] == [9, 1, 3, 2, None]
    assert order[0].record == jobs[3]
    assert (await board.line("echo")).running == 4


async def test_a_job_that_is_known_is_not_put_twice(board):
    job = record()
    assert await board.put_one(job) == 1
    assert await board.put_one(job) is None
    await board.put([(job, 0)])
    assert await board.take("echo", "n") is not None
    await board.put([(job, 0)])
    assert await board.take("echo", "n") is None


async def test_only_the_first_end_counts(board):
    job = record()
    await board.put([(job, 0)])
    taken = await board.take("echo", "n")
    assert await board.finish(job, DONE, taken.token)
    assert not await board.finish(job, Ending(JobState.CANCELLED, "late"))
    found, standing, output = await board.end_of(job.job_id)
    assert (found, standing.state, output) == (job, JobState.COMPLETED, DONE.output)
    assert await board.to_take_up("home", 10) == [job.job_id]
    await board.taken_up("home", [job.job_id])
    assert await board.to_take_up("home", 10) == []


async def test_a_job_that_was_given_back_keeps_its_place_and_its_count(board):
    first, second = record(1), record(2)
    await board.put([(first, 0), (second, 0)])
    taken = await board.take("echo", "n")
    await board.give_back(taken, 0.0, counts=True)
    again = await board.take("echo", "n")
    assert (again.record, again.attempt) == (first, 2)
    await board.give_back(again, 0.0, counts=False)
    assert (await board.take("echo", "n")).attempt == 2


async def test_a_job_that_is_delayed_waits_its_time(board):
    job = record()
    await board.put([(job, 0)])
    await board.give_back(await board.take("echo", "n"), 0.2, counts=True)
    async with asyncio.timeout(PATIENCE_S):
        while (taken := await board.take("echo", "n")) is None:
            await asyncio.sleep(0.01)
    assert taken.attempt == 2


async def test_who_does_not_hold_a_job_can_not_change_it(board):
    job = record()
    await board.put([(job, 0)])
    old = await board.take("echo", "n")
    await board.give_back(old, 0.0, counts=True)
    new = await board.take("echo", "m")
    await board.tell(old, News({"device": "cuda:9"}))
    await board.give_back(old, 0.0, counts=True)
    assert await board.renew([old, new], "m") == {job.job_id}
    _, standing = await board.look(job.job_id)
    assert (standing.state, standing.node, standing.device) == (JobState.RUNNING, "m", None)


async def test_followers_see_everything_in_order(board):
    job = record()
    await board.put([(job, 0)])
    taken = await board.take("echo", "n")
    parts = [PartCame(TextDelta(str(i)), 1) for i in range(10)]
    await board.tell(taken, News({"device": "cuda:0"}, parts[:3]))
    await board.tell(taken, News({}, parts[3:7]))
    events = board.events(job.job_id)
    last = News({"progress": "1.0"}, parts[7:])
    await board.finish(job, msgspec.structs.replace(DONE, news=last), taken.token)
    seen = [await anext(events) for _ in range(13)]
    await events.aclose()
    begun = {"state": JobState.RUNNING, "attempt": 1, "node": "n"}
    run = Standing(**begun, started_at=pytest.approx(taken.started_at, abs=0.001))
    placed = Standing(**begun, started_at=run.started_at, device="cuda:0")
    assert seen == [Changed(run=run), Changed(run=placed), *parts, Changed(over=True)]


async def test_what_is_kept_for_followers_is_bounded(board):
    job = record()
    await board.put([(job, 0)])
    taken = await board.take("echo", "n")
    await board.tell(taken, News({}, [PartCame(TextDelta(str(i)), 1) for i in range(50)], 4))
    events = board.events(job.job_id)
    assert (await anext(events)).part == TextDelta("46")
    await events.aclose()


async def test_the_home_hears_of_starts_and_ends(board):
    signals = board.signals("home")
    await anext(signals)
    job = record()
    await board.put([(job, 0)])
    taken = await board.take("echo", "n")
    await board.finish(job, DONE, taken.token)
    heard = []
    async with asyncio.timeout(PATIENCE_S):
        while len(heard) < 2:
            signal = await anext(signals)
            heard += [signal] if isinstance(signal, HasStarted | HasEnded) else []
    await signals.aclose()
    assert heard == [HasStarted(job.job_id, 1), HasEnded(job.job_id)]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "take", "back", "finish", "cancel", "renew", "up"]),
        st.integers(0, 7),
    ),
    max_size=60,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_whatever_happens_a_job_is_in_one_place_and_ends_once(steps):
    asyncio.run(_play(steps))


async def _play(steps) -> None:
    board = LocalBoard()
    jobs = [record(i) for i in range(8)]
    held, ends, put = {}, Counter(), set()
    for step, number in steps:
        job = jobs[number]
        match step:
            case "put":
                await board.put([(job, 0)])
                put.add(job.job_id)
            case "take":
                taken = await board.take("echo", "n")
                if taken is not None:
                    assert taken.record.job_id not in ends
                    held[taken.record.job_id] = taken
            case "back" if job.job_id in held:
                await board.give_back(held[job.job_id], 0.0, counts=True)
                held.pop(job.job_id)
            case "finish" if job.job_id in held:
                ends[job.job_id] += await board.finish(job, DONE, held[job.job_id].token)
                held.pop(job.job_id)
            case "cancel" if job.job_id in put and job.job_id not in ends:
                ends[job.job_id] += await board.finish(job, Ending(JobState.CANCELLED, "no"))
            case "renew":
                gone = await board.renew(list(held.values()), "n")
                assert gone == held.keys() & ends.keys()
    assert set(ends.values()) <= {1}
    line = await board.line("echo")
    running = held.keys() - ends.keys()
    assert line.running == len(running)
    assert line.waiting == len(put - running - ends.keys())
