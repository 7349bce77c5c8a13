import asyncio
from contextlib import aclosing

import psutil
import pytest

from danzar.core.asker import Asker, RequestClass
from danzar.core.device import DeviceKind
from danzar.core.variant import LayerShape, Rung, Variant
from danzar.errors import (
    Cancelled,
    CannotPlace,
    ModelMissing,
    WorkerDied,
    WorkerHung,
    WorkerStartFailed,
)
from danzar.inference import Outcome, Placed, QueuePlace
from danzar.units import GIB, MIB
from danzar.workers.contract import Generated, TextDelta
from tests.manager.worlds import echo_model, say, world

pytestmark = pytest.mark.process


async def ask(manager, model: str, text: str):
    """Everything that a request yields, in order."""
    async with aclosing(manager.stream(model, say(text))) as steps:
        return [step async for step in steps]


def text_of(steps) -> str:
    return "".join(s.text for s in steps if isinstance(s, TextDelta))


async def test_a_request_loads_its_model_streams_and_says_where_it_ran():
    async with world(echo_model("chat")) as w:
        steps = await ask(w.manager, "chat", "hello there you")
        assert isinstance(steps[0], Placed)
        assert steps[0].device_text == "cuda:0 (simulated)"
        assert text_of(steps) == "hello there you"
        assert isinstance(steps[-1], Outcome)
        assert isinstance(steps[-1].result, Generated)


async def test_the_card_shows_the_lease_and_gives_it_back_after_an_unload():
    async with world(echo_model("chat", 3)) as w:
        await w.manager.call("chat", say("hi"))
        booked = {x.device_uuid: x.size_bytes for x in w.leases()}
        assert booked == {w.cards.uuids[0]: 3 * GIB, "cpu": 64 * MIB}
        (pid,) = await w.worker_pids_on_cards()
        await w.manager.unload("chat")
        assert w.leases() == ()
        assert await w.worker_pids_on_cards() == set()
        assert not psutil.pid_exists(pid)


async def test_models_of_one_engine_share_a_process_on_a_card():
    async with world(echo_model("a"), echo_model("b")) as w:
        await asyncio.gather(w.manager.call("a", say("x")), w.manager.call("b", say("y")))
        assert len(await w.worker_pids_on_cards()) == 1
        assert {x.model for x in w.leases()} == {"a", "b"}


async def test_a_worker_killed_in_mid_answer_is_told_and_the_next_question_works():
    async with world(echo_model("chat"), settings={"chat": {"word_s": 0.05}}) as w:
        with pytest.raises(WorkerDied):
            async with aclosing(w.manager.stream("chat", say("word " * 200))) as steps:
                async for step in steps:
                    if isinstance(step, TextDelta):
                        (pid,) = await w.worker_pids_on_cards()
                        psutil.Process(pid).kill()
        steps = await ask(w.manager, "chat", "again")
        assert text_of(steps) == "again"
        assert not psutil.pid_exists(pid)
        assert {x.model for x in w.leases()} == {"chat"}
        assert len(await w.worker_pids_on_cards()) == 1


async def test_a_request_whose_worker_dies_before_the_first_part_is_asked_again():
    async with world(echo_model("chat"), settings={"chat": {"word_s": 1.0}}) as w:
        await w.manager.call("chat", say("warm"))
        (pid,) = await w.worker_pids_on_cards()
        request = asyncio.create_task(ask(w.manager, "chat", "hello"))
        while not w.manager.scheduler.instances["chat"].in_flight:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        psutil.Process(pid).kill()
        assert text_of(await request) == "hello"


async def test_a_worker_that_hangs_is_killed_and_the_person_is_told():
    broken = {"chat": {"run": "hang"}}
    async with world(echo_model("chat"), settings=broken, part_timeout_s=1.0) as w:
        with pytest.raises(WorkerHung):
            await ask(w.manager, "chat", "hello")
        await w.settled()
        assert w.leases() == ()
        assert await w.worker_pids_on_cards() == set()
        broken["chat"].clear()
        assert text_of(await ask(w.manager, "chat", "well")) == "well"


async def test_a_model_that_cannot_load_is_refused_with_the_reason_and_holds_nothing():
    async with world(echo_model("chat"), settings={"chat": {"load": "refuse"}}) as w:
        with pytest.raises(WorkerStartFailed, match="refuses to load"):
            await ask(w.manager, "chat", "hello")
        assert w.leases() == ()
        assert await w.worker_pids_on_cards() == set()


async def test_a_worker_that_dies_while_loading_leaves_nothing():
    async with world(echo_model("chat"), settings={"chat": {"load": "exit"}}) as w:
        with pytest.raises(WorkerStartFailed, match="leaving on purpose"):
            await ask(w.manager, "chat", "hello")
        assert w.leases() == ()
        assert await w.worker_pids_on_cards() == set()


async def test_a_model_that_runs_out_while_loading_is_tried_on_the_next_device_and_then_refused():
    async with world(
        echo_model("chat", allow_cpu=False), settings={"chat": {"load": "out_of_memory"}}
    ) as w:
        with pytest.raises(CannotPlace):
            await ask(w.manager, "chat", "hello")
        tried = [d.text for d in w.manager.decisions if d.text.startswith("load chat on")]
        assert ["cuda:0" in tried[0], "cuda:1" in tried[1]] == [True, True]


async def test_closing_a_stream_stops_the_computing_and_frees_the_slot():
    async with world(echo_model("chat"), settings={"chat": {"word_s": 0.05}}) as w:
        async with aclosing(w.manager.stream("chat", say("word " * 5000))) as steps:
            async for step in steps:
                if isinstance(step, TextDelta):
                    break
        steps = await asyncio.wait_for(ask(w.manager, "chat", "next"), 20)
        assert text_of(steps) == "next"


async def test_a_cancelled_waiting_request_leaves_the_queue():
    async with world(echo_model("chat"), settings={"chat": {"word_s": 0.05}}) as w:
        places: list[QueuePlace] = []
        first = asyncio.create_task(ask(w.manager, "chat", "word " * 2000))
        while not w.manager.scheduler.instances["chat"].in_flight:
            await asyncio.sleep(0.01)

        async def wait_in_line() -> None:
            async with aclosing(
                w.manager.stream("chat", say("me"), on_position=places.append)
            ) as steps:
                async for _ in steps:
                    pass

        second = asyncio.create_task(wait_in_line())
        while not places:
            await asyncio.sleep(0.01)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        await w.settled()
        assert [place.position for place in places] == [1]
        assert len(w.manager.scheduler.instances["chat"].queue) == 0
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)


async def test_an_unknown_model_is_refused():
    async with world(echo_model("chat")) as w:
        with pytest.raises(ModelMissing, match="chat"):
            await w.manager.call("nope", say("x"))


async def test_a_game_on_the_preferred_card_sends_the_model_elsewhere_and_says_why():
    async with world(echo_model("chat", 6)) as w:
        w.cards.set_foreign(w.cards.uuids[0], 4242, "game.exe", 9 * GIB)
        await w.sampler.refresh()
        steps = await ask(w.manager, "chat", "hi")
        assert steps[0].device == "cuda:1"
        assert "cuda:0" in steps[0].degraded


async def test_a_model_over_two_cards_is_one_process_that_holds_its_share_of_each():
    layers = LayerShape(20, GIB, GIB // 2)
    variant = Variant(Rung.FULL, 20 * GIB, 20 * GIB, layers=layers)
    model = echo_model("large", variants=(variant,), worker="own:large")
    async with world(model) as w:
        steps = await ask(w.manager, "large", "hello")
        assert text_of(steps) == "hello"
        snapshots = [s for s in await w.cards.sample() if s.kind is DeviceKind.CUDA]
        held = {s.uuid: s.processes[0].used_bytes for s in snapshots}
        booked = {x.device_uuid: x.size_bytes for x in w.leases()}
        assert held == {uuid: booked[uuid] for uuid in w.cards.uuids}
        assert sum(held.values()) == 20 * GIB + 2 * (GIB // 2)
        assert len(w.pool.pids()) == 1
        await w.manager.unload("large")
        assert await w.worker_pids_on_cards() == set()


async def test_a_crash_of_one_model_with_its_own_process_takes_no_other_down():
    models = (echo_model("a", worker="own:a"), echo_model("b", worker="own:b"))
    async with world(*models, settings={"a": {"run": "abort"}, "b": {"word_s": 0.1}}) as w:
        answer = asyncio.create_task(ask(w.manager, "b", "one two three four five six"))
        with pytest.raises(WorkerDied):
            await ask(w.manager, "a", "hello")
        assert text_of(await answer) == "one two three four five six"


async def test_all_workers_are_gone_when_the_manager_ends():
    async with world(echo_model("a"), echo_model("b", preferred=("cuda:1",))) as w:
        await w.manager.call("a", say("x"))
        await w.manager.call("b", say("y"))
        pids = await w.worker_pids_on_cards()
        assert len(pids) == 2
    assert not any(psutil.pid_exists(pid) for pid in pids)


async def test_someone_who_stops_waiting_for_a_load_or_an_unload_stops_nothing_else():
    async with world(echo_model("chat")) as w:
        waiting = asyncio.create_task(w.manager.load("chat"))
        patient = asyncio.create_task(w.manager.load("chat"))
        await w.settled()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await patient
        waiting = asyncio.create_task(w.manager.unload("chat"))
        await w.settled()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert text_of(await ask(w.manager, "chat", "still here")) == "still here"


async def test_a_waiting_request_can_be_taken_back_and_a_running_one_can_not():
    slow = {"chat": {"word_s": 0.5}}
    async with world(echo_model("chat"), settings=slow) as w:
        asker = Asker(RequestClass.CHAT, "4711")
        running = asyncio.create_task(w.manager.call("chat", say("one two three"), asker=asker))
        while not w.manager.scheduler.instances["chat"].in_flight:
            await asyncio.sleep(0.01)
        waiting = asyncio.create_task(w.manager.call("chat", say("more"), asker=asker))
        await w.settled()
        (view,) = w.manager.queues()
        assert [x.person for x in (*view.running, *view.waiting)] == ["4711", "4711"]

        assert not w.manager.cancel(view.running[0].number, "no")
        assert w.manager.cancel(view.waiting[0].number, "You took it back.")
        with pytest.raises(Cancelled, match="You took it back"):
            await waiting
        await w.settled()
        assert w.manager.queues()[0].waiting == ()
        assert (await running).result.finish_reason == "stop"
