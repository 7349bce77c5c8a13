"""People wait for a few places in a fair order."""

import asyncio

from danzar.core.asker import Asker, RequestClass
from danzar.vision.gate import FairGate

ANN, BOB = Asker(RequestClass.VISION, "ann"), Asker(RequestClass.VISION, "bob")


class Visits:
    """Who entered, in order; each leaves when told."""

    def __init__(self, places):
        self.gate = FairGate(places)
        self.entered = []
        self.leave = asyncio.Event()

    async def visit(self, name, asker):
        async with self.gate.enter(asker):
            self.entered.append(name)
            await self.leave.wait()


async def settle():
    for _ in range(10):
        await asyncio.sleep(0)


async def test_one_persons_many_delay_anothers_first_by_one():
    visits = Visits(1)
    async with asyncio.TaskGroup() as group:
        for number in range(5):
            group.create_task(visits.visit(f"ann {number}", ANN))
        await settle()
        group.create_task(visits.visit("bob", BOB))
        await settle()
        assert visits.entered == ["ann 0"]
        visits.leave.set()

    assert visits.entered.index("bob") <= 2
    assert visits.gate.free == 1


async def test_as_many_are_inside_as_there_are_places():
    visits = Visits(2)
    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(visits.visit(number, ANN))
        await settle()
        assert visits.entered == [0, 1]
        visits.leave.set()


async def test_whoever_stops_waiting_takes_no_place():
    visits = Visits(1)
    first = asyncio.create_task(visits.visit("ann", ANN))
    await settle()
    waiting = asyncio.create_task(visits.visit("bob", BOB))
    await settle()
    waiting.cancel()
    visits.leave.set()
    await first
    await asyncio.gather(waiting, return_exceptions=True)

    assert (visits.entered, visits.gate.free) == (["ann"], 1)


async def test_a_turn_that_comes_together_with_a_cancel_is_passed_on():
    visits, leave = Visits(1), asyncio.Event()

    async def hold():
        async with visits.gate.enter(ANN):
            await leave.wait()
        unlucky.cancel()  # just as its turn came

    holder = asyncio.create_task(hold())
    await settle()
    unlucky = asyncio.create_task(visits.visit("bob", BOB))
    await settle()
    leave.set()
    await holder
    await asyncio.gather(unlucky, return_exceptions=True)

    assert (visits.entered, visits.gate.free) == ([], 1)


async def test_a_place_that_falls_to_someone_who_just_gave_up_goes_to_the_next():
    visits = Visits(1)
    inside = asyncio.create_task(visits.visit("ann", ANN))
    await settle()
    gone, waiting = (asyncio.create_task(visits.visit(name, BOB)) for name in ("bob", "bob again"))
    await settle()
    # Ann leaves in the moment in which Bob has been told to go, and did not have time to.
    inside.cancel()
    gone.cancel()
    await settle()
    visits.leave.set()
    await asyncio.gather(inside, gone, waiting, return_exceptions=True)
    assert inside.cancelled()
    assert gone.cancelled()
    assert visits.entered == ["ann", "bob again"]
    assert visits.gate.free == 1
