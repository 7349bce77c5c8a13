"""500 injected OOMs, while loading and while answering: that model alone goes one rung lower."""

import asyncio
import os
import random
from collections import Counter
from contextlib import aclosing
from itertools import product

import pytest

from danzar.core.variant import Rung
from danzar.errors import DanzarError
from danzar.inference import Outcome, Placed
from danzar.workers.contract import TextDelta
from tests.manager.worlds import World, echo_model, say, world

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]
OOMS = int(os.environ.get("DANZAR_TEST_OOMS", "80"))
AT_ONCE = 6
# A process that dies of it costs two process starts; one in five does.
KINDS = [*product(("load_room", "run_room"), (False,))] * 4 + [
    *product(("load_room", "run_room"), (True,))
]


def victim(number: int, room: str, dies: bool):
    """A model that runs out unless it is loaded smaller, and how it does."""
    name = f"victim-{number}"
    worker = f"own:{name}" if dies else "shared"
    facts = echo_model(name, 0.25, smaller=1, worker=worker, preferred=(f"cuda:{number % 2}",))
    return facts, {room: 1, "dies": dies}


async def ask(w: World, model: str):
    """Where it ran and what it said."""
    async with aclosing(w.manager.stream(model, say("well done"))) as steps:
        seen = [step async for step in steps]
    placed = [s for s in seen if isinstance(s, Placed)]
    return placed[-1], "".join(s.text for s in seen if isinstance(s, TextDelta)), seen[-1]


async def keep_asking(w: World, model: str, answered: Counter) -> None:
    while True:
        _, text, end = await ask(w, model)
        assert text == "well done"
        assert isinstance(end, Outcome)
        answered[model] += 1
        await asyncio.sleep(0.2)


async def run_out(w: World, model: str, answered: Counter) -> None:
    try:
        placed, text, _ = await ask(w, model)
    except DanzarError as exc:
        answered[f"refused: {type(exc).__name__}: {exc}"] += 1
        return
    instance = w.manager.scheduler.instances[model]
    lower = instance.placed.rung is Rung.CONTEXT and dict(instance.placed.settings) == {"size": 1}
    says_why = placed.degraded is not None and "ran out" in placed.degraded
    answered["one rung lower"] += lower and text == "well done"
    answered["says why"] += says_why
    if not says_why:
        answered[f"says {placed.degraded}"] += 1
    await w.manager.unload(model)


async def test_of_500_ooms_each_takes_its_own_model_one_rung_lower_and_no_other_down():
    kinds = [KINDS[n % len(KINDS)] for n in range(OOMS)]
    random.Random(5).shuffle(kinds)
    victims = [victim(n, room, dies) for n, (room, dies) in enumerate(kinds)]
    steady = [
        echo_model(f"steady-{n}", 1, worker="shared", preferred=(f"cuda:{n}",)) for n in (0, 1)
    ]
    steady.append(echo_model("steady-own", 1, worker="own:steady"))
    settings = {facts.name: settings for facts, settings in victims}
    answered: Counter = Counter()
    async with world(*steady, *(facts for facts, _ in victims), settings=settings) as w:
        for model in steady:
            await w.manager.load(model.name)
        before = {m.name: (w.pool.process(m.name).pid, w.load_id(m.name)) for m in steady}
        bystanders = [asyncio.create_task(keep_asking(w, m.name, answered)) for m in steady]
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(name: str) -> None:
            async with gate:
                await run_out(w, name, answered)

        await asyncio.gather(*(one(facts.name) for facts, _ in victims))
        for task in bystanders:
            assert not task.done()  # none of them ever failed
            task.cancel()
        await asyncio.gather(*bystanders, return_exceptions=True)
        after = {m.name: (w.pool.process(m.name).pid, w.load_id(m.name)) for m in steady}
    assert after == before
    assert all(answered[m.name] > 10 for m in steady)
    assert answered["one rung lower"] >= 0.95 * OOMS, answered
    assert answered["says why"] == answered["one rung lower"], answered
