"""Models that only another node has are asked by a job, and the client does not notice."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from types import SimpleNamespace

import pytest

from danzar.config.models import ModelEntry, ModelsConfig, RoleChoice
from danzar.core.asker import Asker
from danzar.errors import BackendFailed, Cancelled, CannotPlace, WorkerDied
from danzar.http.api_targets import JobKind, Target
from danzar.http.openai_ask import Wish, ask, ask_once
from danzar.inference import Outcome, Placed
from danzar.inference_fake import ScriptedInference
from danzar.jobs.contract import (
    JobOutput,
    JobRequest,
    JobState,
    JobView,
    PartCame,
    StateCame,
)
from danzar.workers.contract import ChatMessage, Generate, Generated, TextDelta

NO_ROLES = RoleChoice(chat=None, detect=None, rank=None, read=None, media="media")
WORK = Generate((ChatMessage("user", "Hi"),))
WISH = Wish("far", WORK, Asker(person="key:1"))
RESULT = Generated("stop", 3, 2)


def view(state: JobState, **more) -> JobView:
    return JobView("j1", "far", state, 100.0, node="pc2", device="cuda:0", **more)


def text(piece: str, attempt: int = 1) -> PartCame:
    return PartCame(TextDelta(piece), attempt)


RUNNING = StateCame(view(JobState.RUNNING, started_at=101.0))
COMPLETED = StateCame(view(JobState.COMPLETED, started_at=101.0, ended_at=104.0))


class PlayedJobs:
    """A queue that plays one job's events."""

    def __init__(self, *events) -> None:
        self.events = events
        self.submitted: list[JobRequest] = []
        self.cancelled: list[str] = []

    async def submit(self, request: JobRequest) -> JobView:
        self.submitted.append(request)
        return view(JobState.QUEUED)

    async def follow(self, job_id: str) -> AsyncGenerator:
        for event in (StateCame(view(JobState.QUEUED)), *self.events):
            yield event

    async def output(self, job_id: str) -> JobOutput:
        return JobOutput("", RESULT)

    async def cancel(self, job_id: str, reason: str) -> JobView:
        self.cancelled.append(job_id)
        return view(JobState.CANCELLED)


def parts_with(jobs, inference=None, nodes=()):
    """The model is this node's where it has an inference, and the nodes' too."""
    here = {"media": ModelEntry(backend="media", role="media")}
    if inference is not None:
        here["far"] = ModelEntry(backend="echo", role="chat")
    return SimpleNamespace(
        jobs=jobs,
        inference=inference,
        config=SimpleNamespace(models=ModelsConfig(models=here, use=NO_ROLES)),
        targets=lambda: {"far": Target("far", JobKind.LLM, inference is not None, nodes)},
    )


async def steps_of(*events):
    jobs = PlayedJobs(*events)
    async with aclosing(ask(parts_with(jobs), WISH)) as steps:
        return [step async for step in steps], jobs


async def test_a_job_reads_like_a_request_of_this_node():
    steps, jobs = await steps_of(RUNNING, text("Hel"), text("lo"), COMPLETED)
    placed = Placed("far", "cuda:0 on pc2", simulated=False)
    assert steps == [
        placed,
        TextDelta("Hel"),
        TextDelta("lo"),
        Outcome(RESULT, placed, seconds=3.0, waited_s=1.0),
    ]
    assert jobs.submitted[0].owner == "key:1"
    assert jobs.submitted[0].work == WORK
    assert not jobs.cancelled


async def test_a_job_that_starts_again_goes_on_where_the_client_is():
    steps, _ = await steps_of(
        RUNNING, text("Hel"), text("He", 2), text("lo", 1), text("llo", 2), COMPLETED
    )
    assert [step.text for step in steps if isinstance(step, TextDelta)] == ["Hel", "lo"]


async def test_what_was_sent_is_not_taken_back():
    with pytest.raises(WorkerDied, match="ask again"):
        await steps_of(RUNNING, text("Hello"), text("Good", 2), COMPLETED)


@pytest.mark.parametrize(
    ("state", "error"), [(JobState.FAILED, BackendFailed), (JobState.CANCELLED, Cancelled)]
)
async def test_a_job_without_a_result_says_why(state, error):
    with pytest.raises(error, match="the reason"):
        await steps_of(RUNNING, StateCame(view(state, error="the reason")))


async def test_a_client_that_goes_cancels_its_job():
    jobs = PlayedJobs(RUNNING, text("Hello"), COMPLETED)
    async with aclosing(ask(parts_with(jobs), WISH)) as steps:
        async for _ in steps:
            break
    assert jobs.cancelled == ["j1"]


async def test_the_end_alone_can_be_asked_for():
    outcome = await ask_once(parts_with(PlayedJobs(RUNNING, COMPLETED)), WISH)
    assert outcome.result == RESULT


def without_room() -> ScriptedInference:
    inference = ScriptedInference()
    inference.on("far", Generate, [CannotPlace("no card has room")])
    return inference


async def test_where_no_card_here_has_room_another_node_is_asked():
    jobs = PlayedJobs(RUNNING, text("Hello"), COMPLETED)
    parts = parts_with(jobs, without_room(), nodes=("pc2",))
    async with aclosing(ask(parts, WISH)) as steps:
        texts = [step.text async for step in steps if isinstance(step, TextDelta)]
    assert texts == ["Hello"]


async def test_without_another_node_the_reason_is_told():
    jobs = PlayedJobs()
    with pytest.raises(CannotPlace, match="no card has room"):
        await ask_once(parts_with(jobs, without_room()), WISH)
    assert not jobs.submitted
