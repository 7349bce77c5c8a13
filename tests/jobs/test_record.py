"""What a follower makes of news of a run, in whatever order it hears them."""

from danzar.jobs.contract import JobState, JobView
from danzar.jobs.record import Standing, moved

WAITS = JobView(job_id="j", model="m", state=JobState.QUEUED, submitted_at=1.0, position=3)


def run(started_at=10.0, **more):
    return Standing(
        **{"state": JobState.RUNNING, "attempt": 1, "node": "n"} | more, started_at=started_at
    )


def test_a_start_takes_a_job_out_of_the_line():
    now = moved(WAITS, run())
    assert (now.state, now.position, now.started_at, now.node) == (
        JobState.RUNNING,
        None,
        10.0,
        "n",
    )


def test_the_same_news_again_change_nothing():
    news = [run(), run(device="cuda:0"), run(device="cuda:0", progress=0.5)]
    view = WAITS
    for each in news:
        view = moved(view, each)
    assert (view.device, view.progress) == ("cuda:0", 0.5)
    for each in news:
        assert moved(view, each) == view


def test_a_later_start_begins_anew_and_an_earlier_one_is_forgotten():
    first = moved(WAITS, run(device="cuda:0", progress=0.9))
    second = moved(first, run(20.0, attempt=2, node="other"))
    assert (second.attempt, second.node, second.device, second.progress) == (2, "other", None, None)
    assert moved(second, run(device="cuda:0", progress=1.0)) == second


def test_old_news_neither_start_a_job_that_waits_again_nor_one_that_has_ended():
    waits_again = JobView(
        job_id="j", model="m", state=JobState.QUEUED, submitted_at=1.0, started_at=10.0
    )
    ended = JobView(job_id="j", model="m", state=JobState.FAILED, submitted_at=1.0, ended_at=12.0)
    assert moved(waits_again, run()) == waits_again
    assert moved(ended, run()) == ended
