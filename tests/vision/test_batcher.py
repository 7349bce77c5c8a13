import asyncio
from contextlib import asynccontextmanager

import pytest

from danzar.core.asker import Asker, RequestClass
from danzar.errors import BadPicture, QueueFull, WorkerDied
from danzar.inference import Placed
from danzar.vision.asked import MAX_WAITING
from danzar.vision.batcher import Batcher, Reply
from tests.vision.worlds import grey_picture, until

PLACED = Placed("yolo", "cpu", simulated=False)


class Model:
    """Answers each picture with its grey level; fails where it is told to."""

    def __init__(self):
        self.batches = []
        self.askers = []
        self.failing = {}
        self.cancelled = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, pictures, asker):
        self.askers.append(asker)
        levels = [picture.data[0] for picture in pictures]
        self.batches.append(levels)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        for level in levels:
            if level in self.failing:
                raise self.failing[level]
        return Reply(levels, PLACED, 0.1)


@asynccontextmanager
async def serving(model, size=8, wait_s=0.0):
    batcher = Batcher(model, size=size, wait_s=wait_s)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(batcher.run())
        try:
            yield batcher
        finally:
            task.cancel()


async def ask_all(batcher, levels):
    answers = await asyncio.gather(
        *(batcher.ask(grey_picture(level)) for level in levels), return_exceptions=True
    )
    return [getattr(answer, "value", answer) for answer in answers]


async def test_pictures_that_wait_together_share_one_request_and_each_gets_its_own_answer():
    model = Model()
    async with serving(model) as batcher:
        assert await ask_all(batcher, [10, 20, 30]) == [10, 20, 30]
    assert model.batches == [[10, 20, 30]]


async def test_a_batch_is_never_larger_than_its_size():
    model = Model()
    async with serving(model, size=2) as batcher:
        assert await ask_all(batcher, [1, 2, 3, 4, 5]) == [1, 2, 3, 4, 5]
    assert [len(batch) for batch in model.batches] == [2, 2, 1]


async def test_pictures_gather_while_the_model_is_busy():
    model = Model()
    model.gate.clear()
    async with serving(model) as batcher:
        first = asyncio.create_task(batcher.ask(grey_picture(1)))
        await until(lambda: model.batches)
        others = asyncio.create_task(ask_all(batcher, [2, 3]))
        await asyncio.sleep(0)
        model.gate.set()
        assert (await first).batch == 1
        assert await others == [2, 3]
    assert model.batches == [[1], [2, 3]]


async def test_a_batch_waits_for_regular_callers():
    model = Model()
    async with serving(model, wait_s=30) as batcher, batcher.regular(), batcher.regular():
        first = asyncio.create_task(batcher.ask(grey_picture(1)))
        await asyncio.sleep(0.01)
        assert model.batches == []
        second = asyncio.create_task(batcher.ask(grey_picture(2)))
        await asyncio.gather(first, second)
    assert model.batches == [[1, 2]]


async def test_a_bad_picture_does_not_spoil_the_others():
    model = Model()
    bad = BadPicture("no picture")
    model.failing = {3: bad}
    async with serving(model) as batcher:
        assert await ask_all(batcher, [1, 2, 3, 4]) == [1, 2, bad, 4]


async def test_a_dead_worker_fails_the_whole_batch_and_the_next_one_works():
    model = Model()
    model.failing = {1: WorkerDied("gone")}
    async with serving(model) as batcher:
        assert all(isinstance(answer, WorkerDied) for answer in await ask_all(batcher, [1, 2]))
        assert await ask_all(batcher, [3]) == [3]
    assert model.batches == [[1, 2], [3]]


async def test_a_bug_reaches_the_asker_and_the_batcher_goes_on():
    model = Model()
    model.failing = {1: ZeroDivisionError("a bug")}
    async with serving(model) as batcher:
        with pytest.raises(ZeroDivisionError):
            await batcher.ask(grey_picture(1))
        assert await ask_all(batcher, [2]) == [2]


async def test_a_wrong_number_of_answers_is_an_error():
    async def forgetful(pictures, _asker):
        return Reply([], PLACED, 0.1)

    async with serving(forgetful) as batcher:
        (answer,) = await ask_all(batcher, [1])
    assert "0 answers for 1 pictures" in str(answer)


async def test_a_cancelled_picture_is_dropped_before_it_is_sent():
    model = Model()
    model.gate.clear()
    async with serving(model) as batcher:
        first = asyncio.create_task(batcher.ask(grey_picture(1)))
        await until(lambda: model.batches)
        second = asyncio.create_task(batcher.ask(grey_picture(2)))
        third = asyncio.create_task(batcher.ask(grey_picture(3)))
        await asyncio.sleep(0)
        second.cancel()
        model.gate.set()
        await asyncio.gather(first, third)
    assert model.batches == [[1], [3]]


async def test_a_request_that_no_one_wants_any_more_is_cancelled():
    model = Model()
    model.gate.clear()
    async with serving(model) as batcher:
        asking = asyncio.create_task(batcher.ask(grey_picture(1)))
        await until(lambda: model.batches)
        asking.cancel()
        await until(lambda: model.cancelled == 1)
        model.gate.set()
        assert await ask_all(batcher, [2]) == [2]


async def test_those_who_wait_are_released_when_the_batcher_ends():
    model = Model()
    model.gate.clear()
    async with serving(model) as batcher:
        asking = [asyncio.create_task(batcher.ask(grey_picture(n))) for n in (1, 2)]
        await until(lambda: model.batches)
    done, pending = await asyncio.wait(asking, timeout=60)
    assert not pending
    assert all(task.cancelled() for task in done)


async def test_more_pictures_than_may_wait_are_refused():
    model = Model()
    batcher = Batcher(model, size=8, wait_s=0.0)
    waiting = [asyncio.create_task(batcher.ask(grey_picture(1, 1, 1))) for _ in range(MAX_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(QueueFull, match="64 pictures wait"):
        await batcher.ask(grey_picture())
    for task in waiting:
        task.cancel()


async def test_a_persons_picture_goes_before_frames_that_came_earlier():
    model = Model()
    model.gate.clear()
    watch, person = Asker(RequestClass.WATCH, "ann"), Asker(RequestClass.VISION, "bob")
    async with serving(model, size=2) as batcher, asyncio.TaskGroup() as group:
        group.create_task(batcher.ask(grey_picture(1), watch))
        await until(lambda: model.batches == [[1]])
        for level in (2, 3, 4):
            group.create_task(batcher.ask(grey_picture(level), watch))
        group.create_task(batcher.ask(grey_picture(9), person))
        await asyncio.sleep(0)
        model.gate.set()

    assert model.batches == [[1], [9, 2], [3, 4]]
    assert model.askers == [watch, Asker(RequestClass.VISION), watch]


async def test_a_picture_that_loses_its_place_says_so():
    model = Model()
    model.gate.clear()
    async with serving(model) as batcher:
        first = asyncio.create_task(batcher.ask(grey_picture(1)))
        await until(lambda: model.batches == [[1]])
        tasks = [asyncio.create_task(batcher.ask(grey_picture(2))) for _ in range(MAX_WAITING)]
        await asyncio.sleep(0)
        late = asyncio.create_task(batcher.ask(grey_picture(3), Asker(person="bob")))
        with pytest.raises(QueueFull, match="others' pictures went first"):
            await tasks[-1]
        model.gate.set()
        assert (await first).value == 1
        assert (await late).value == 3
        await asyncio.gather(*tasks[:-1])
