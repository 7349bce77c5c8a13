"""A generation that runs out of memory at its end is made again, one rung lower."""

from contextlib import aclosing
from types import SimpleNamespace

import msgspec
import pytest

from danzar.broker.requests import Requests, Wanted
from danzar.core.asker import NOBODY
from danzar.core.events import JobEnded, JobSubmitted, StartJob
from danzar.errors import OutOfMemory
from danzar.inference import Outcome, Placed
from danzar.resources.generations import fitted
from danzar.workers.contract import GeneratedImages, GenerateImages, StepDone, TextDelta
from danzar.workers.outcomes import Finished

ASKED = GenerateImages("a house", width=512, height=512)


class Worker:
    """Runs out after its first part unless it is asked for something small."""

    def __init__(self, part):
        self.part = part
        self.asked = []

    async def run(self, model, request, *, inactive_s):
        self.asked.append(request)
        yield self.part
        if request.width > 256:
            raise OutOfMemory("the card is full")
        yield Finished(GeneratedImages((), 1), 1.0)


def requests_of(worker, ended):
    """Requests to a model that is loaded with less after it ran out."""

    def post(event):
        if isinstance(event, JobSubmitted):
            ran_out = bool(ended) and ended[-1].out_of_memory
            settings = (("max_pixels", 256 * 256),) if ran_out else ()
            requests.tickets.start(StartJob(event.job, "GPU-0", None, settings))
        if isinstance(event, JobEnded):
            ended.append(event)

    pool = SimpleNamespace(process=lambda _: worker, note_work=lambda *_: None)
    card = SimpleNamespace(label="cuda:0", simulated=False)
    requests = Requests(pool, lambda _: card, post, part_timeout_s=1.0)
    return requests


async def collect(worker, ended):
    wanted = Wanted("drawer", fitted(ASKED), NOBODY, None)
    async with aclosing(requests_of(worker, ended).stream(wanted)) as steps:
        return [step async for step in steps]


async def test_steps_are_no_answer_so_it_begins_anew_with_what_is_booked_then():
    worker, ended = Worker(StepDone(1, 4)), []
    steps = await collect(worker, ended)
    assert [type(step) for step in steps] == [Placed, StepDone, Placed, StepDone, Outcome]
    assert [job.out_of_memory for job in ended] == [True, False]
    assert worker.asked == [ASKED, msgspec.structs.replace(ASKED, width=256, height=256)]


async def test_what_was_said_already_is_not_said_again():
    worker, ended = Worker(TextDelta("once")), []
    with pytest.raises(OutOfMemory):
        await collect(worker, ended)
    assert len(worker.asked) == 1
