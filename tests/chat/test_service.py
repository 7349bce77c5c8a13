import asyncio
from contextlib import aclosing
from dataclasses import replace

import pytest
from blockbuster import blockbuster_ctx

from danzar.chat.service import Answered, ChatService, Question
from danzar.config.bot import ChatSettings
from danzar.config.profile import Profile
from danzar.core.asker import Asker, RequestClass
from danzar.errors import ModelMissing, OutOfMemory, StoreFailed, WorkerDied
from danzar.inference import Placed
from danzar.inference_fake import Hold, Position, ScriptedInference, says
from danzar.store import Store
from danzar.workers.contract import Generate, TextDelta

NEVER = 2**62
ASKED = Question(channel_id=1, message_id=10, author="Alice", text="hi")


@pytest.fixture
async def store(tmp_path):
    async with Store.open(tmp_path / "danzar.sqlite3", keep_messages=100) as opened:
        yield opened


@pytest.fixture
def inference():
    return ScriptedInference()


@pytest.fixture
def service(inference, store):
    profile = Profile(title="Doom", persona="You know Doom.")
    return ChatService(inference, store, ChatSettings(persona="Be kind."), profile, model="chat")


async def ask(service, question=ASKED):
    return [event async for event in service.answer(question)]


async def kept(store, channel_id=1):
    messages = await store.history(channel_id, before_turn=NEVER, limit=100)
    return [(m.author, m.text, m.stopped) for m in messages]


async def test_an_answer_comes_in_pieces_and_ends_with_all_of_it(service, inference):
    inference.on("chat", Generate, says("Hello ", "there"))
    placed, *deltas, answered = await ask(service)
    assert placed == Placed("chat", "cpu", simulated=False)
    assert deltas == [TextDelta("Hello "), TextDelta("there")]
    assert answered == Answered("Hello there", placed, 0.5, 0.0, 10, 2, "stop")


async def test_both_turns_are_kept_and_come_along_with_the_next_question(service, inference, store):
    inference.on("chat", Generate, says("Hello"))
    await ask(service)
    await ask(service, replace(ASKED, message_id=11, text="again"))
    assert await kept(store) == [
        ("Alice", "hi", False),
        ("Danzar", "Hello", False),
        ("Alice", "again", False),
        ("Danzar", "Hello", False),
    ]
    said = [(m.role, m.content) for m in inference.requests(Generate)[1].messages]
    assert said == [
        ("system", "Be kind.\nYou know Doom."),
        ("user", "hi"),
        ("assistant", "Hello"),
        ("user", "again"),
    ]


async def test_channels_do_not_know_of_each_other(service, inference):
    inference.on("chat", Generate, says("Hello"))
    await ask(service)
    await ask(service, replace(ASKED, channel_id=2, message_id=11))
    assert len(inference.requests(Generate)[1].messages) == 2


async def test_a_channels_questions_share_a_kept_conversation_and_pictures_another(
    service, inference
):
    inference.on("chat", Generate, says("Hello"))
    await ask(service)
    await ask(service, replace(ASKED, message_id=11))
    await ask(service, replace(ASKED, channel_id=2, message_id=12))
    await ask(service, replace(ASKED, message_id=13, facts=("Health is 7",)))
    first, second, other, picture = (r.conversation for r in inference.requests(Generate))
    assert first == second
    assert len({first, other, picture, None}) == 4


async def test_asking_the_same_message_again_replaces_its_turn(service, inference, store):
    inference.on("chat", Generate, says("first"), says("second"))
    await ask(service)
    await ask(service)
    assert await kept(store) == [("Alice", "hi", False), ("Danzar", "second", False)]
    assert len(inference.requests(Generate)[1].messages) == 2


async def test_stopping_stops_the_computing_and_keeps_what_was_said(service, inference, store):
    inference.on("chat", Generate, [TextDelta("Hel"), Hold(asyncio.Event())])
    async with aclosing(service.answer(ASKED)) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                break
    assert len(inference.closed_early) == 1
    assert await kept(store) == [("Alice", "hi", False), ("Danzar", "Hel", True)]


async def test_cancelling_the_reader_stops_the_computing_as_well(service, inference, store):
    begun = asyncio.Event()

    async def read():
        async for event in service.answer(ASKED):
            if isinstance(event, TextDelta):
                begun.set()

    inference.on("chat", Generate, [TextDelta("Hel"), Hold(asyncio.Event())])
    task = asyncio.create_task(read())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(inference.closed_early) == 1
    assert await kept(store) == [("Alice", "hi", False), ("Danzar", "Hel", True)]


async def test_nothing_said_is_nothing_kept(service, inference, store):
    inference.on("chat", Generate, [OutOfMemory("cuda:0 is full")])
    with pytest.raises(OutOfMemory):
        await ask(service)
    assert await kept(store) == []


async def test_a_stopped_answer_is_no_example_for_the_next_one(service, inference):
    inference.on("chat", Generate, [TextDelta("Hel"), WorkerDied("killed")], says("Hello"))
    with pytest.raises(WorkerDied):
        await ask(service)
    await ask(service, replace(ASKED, message_id=11, text="and now?"))
    prompt = inference.requests(Generate)[-1].messages
    assert not any("Hel" in m.content for m in prompt)


async def test_a_worker_that_dies_after_some_text_is_told_and_the_text_kept(
    service, inference, store
):
    inference.on("chat", Generate, [TextDelta("Hel"), WorkerDied("killed")])
    with pytest.raises(WorkerDied):
        await ask(service)
    assert len(inference.requests(Generate)) == 1
    assert (await kept(store))[-1] == ("Danzar", "Hel", True)


async def test_the_place_in_the_queue_is_reported(service, inference):
    positions = []
    inference.on("chat", Generate, [Position(2), Position(1), *says("Hello")])
    async for _ in service.answer(ASKED, on_position=positions.append):
        pass
    assert [place.position for place in positions] == [2, 1]


async def test_where_the_model_is_loaded_with_less_context_the_prompt_is_shorter(store, inference):
    service = ChatService(
        inference, store, ChatSettings(), Profile(title="Doom"), model="chat", context_tokens=4096
    )
    inference.on("chat", Generate, says("Hello"))
    asked = replace(ASKED, text="word " * 3000)
    await ask(service, asked)
    inference.placed = replace(inference.placed, settings=(("n_ctx", 1024),))
    await ask(service, asked)
    long, short = (r.messages[-1].content for r in inference.requests(Generate))
    assert len(short) < len(long) / 2


async def test_measured_facts_are_repeated_rather_than_varied(service, inference):
    inference.on("chat", Generate, says("Hello"))
    await ask(service, replace(ASKED, facts=("Health is 7",)))
    request = inference.requests(Generate)[0]
    assert request.temperature == 0.1
    assert "[The picture shows: Health is 7.]" in request.messages[-1].content


async def test_without_a_chat_model_the_error_says_what_to_do(inference, store):
    service = ChatService(inference, store, ChatSettings(), Profile(title="Doom"), model=None)
    with pytest.raises(ModelMissing, match=r"use\.chat"):
        await ask(service)


async def test_a_broken_database_costs_the_memory_but_not_the_answer(service, inference, store):
    class Broken:
        async def history(self, *_args, **_kwargs):
            raise StoreFailed("disk full")

        async def save_turn(self, *_args):
            raise StoreFailed("disk full")

    service._store = Broken()
    inference.on("chat", Generate, says("Hello"))
    answered = (await ask(service))[-1]
    assert answered.text == "Hello"
    assert "will not remember" in answered.notes[0]


async def test_reset_forgets_the_channel(service, inference, store):
    inference.on("chat", Generate, says("Hello"))
    await ask(service)
    assert await service.reset(1, actor="alice") == 2
    assert await kept(store) == []
    entry = (await store.recent_audit(1))[0]
    assert (entry.actor, entry.action) == ("alice", "chat.reset")


async def test_the_answer_leaves_room_for_the_prompt_in_a_small_context(inference, store):
    settings = ChatSettings(max_answer_tokens=4000)
    service = ChatService(
        inference, store, settings, Profile(title="Doom"), model="chat", context_tokens=1024
    )
    inference.on("chat", Generate, says("Hello"))
    await ask(service, replace(ASKED, text="word " * 3000))
    request = inference.requests(Generate)[0]
    assert request.max_tokens == 512
    assert len(request.messages[-1].content.split()) < 520


async def test_what_was_measured_comes_along_with_the_next_question(service, inference):
    inference.on("chat", Generate, says("Yes, it is 7."))
    await ask(service, replace(ASKED, facts=("Health is 7",)))
    await ask(service, replace(ASKED, message_id=11, text="and now?"))
    earlier = inference.requests(Generate)[1].messages[1].content
    assert earlier == "[The picture shows: Health is 7.]\n\nhi"


async def test_nothing_blocks_the_event_loop(tmp_path, inference):
    inference.on("chat", Generate, says("Hello"))
    with blockbuster_ctx():
        async with Store.open(tmp_path / "other.sqlite3", keep_messages=100) as store:
            service = ChatService(
                inference, store, ChatSettings(), Profile(title="Doom"), model="chat"
            )
            assert (await ask(service))[-1].text == "Hello"
            await service.reset(1, actor="alice")


async def test_the_queue_is_told_who_asks_and_no_text_shows_it(service, inference):
    inference.on("chat", Generate, says("Hello"))
    question = replace(ASKED, person="4711")
    await ask(service, question)
    assert inference.askers == [Asker(RequestClass.CHAT, "4711")]
    assert "4711" not in repr(question)
