"""Pictures through the whole of Danzar below Discord: real workers, a simulated 8 GB card."""

import asyncio
import os
import signal
from contextlib import aclosing

import msgspec
import pytest

from danzar.core.book import LeaseState
from danzar.core.device import CPU_UUID
from danzar.core.plan import NeedsEviction, PlacedOn
from danzar.core.variant import Rung
from danzar.inference import Outcome, Placed
from danzar.workers.contract import (
    ChatMessage,
    Generate,
    Generated,
    GeneratedImages,
    GenerateImages,
    StepDone,
)
from tests.diffusion.shapes import SD15, SDXL, WAN, make_shape

pytestmark = [pytest.mark.process, pytest.mark.model]

HOUSE = GenerateImages("a house by a lake", width=64, height=64, seed=3, steps=2)
HELLO = Generate((ChatMessage("user", "hello there"),))


async def ask(services, model, request):
    """All that comes of a request."""
    async with aclosing(services.manager.stream(model, request)) as steps:
        return [step async for step in steps]


def on_card(services):
    """Bytes leased on the card, by model."""
    leases = services.manager.scheduler.ledger.leases()
    return {
        lease.model: lease.size_bytes
        for lease in leases
        if lease.device_uuid != CPU_UUID and lease.state is LeaseState.RESIDENT
    }


async def used_bytes(services):
    """Of the card, as it shows now."""
    snapshots = (await services.sampler.refresh()).snapshots
    return next(s.used_bytes for s in snapshots if s.uuid != CPU_UUID)


async def until_idle(services, model):
    """Wait until nobody asks it any more, as the scheduler knows."""
    async with asyncio.timeout(30):
        while services.manager.scheduler.instances[model].in_flight:
            await asyncio.sleep(0.01)


def worker_of(services, model):
    return next(worker for worker in services.manager.workers() if model in worker.models)


async def test_the_chat_model_leaves_for_a_picture_and_is_back_when_it_is_asked(world):
    async with world() as services:
        await ask(services, "chat", HELLO)
        assert set(on_card(services)) == {"chat"}
        used = await used_bytes(services)
        placed, *steps, outcome = await ask(services, "sd", HOUSE)
        assert isinstance(placed, Placed)
        assert (placed.device_text, placed.degraded) == ("cuda:0 (simulated)", None)
        assert [step.step for step in steps if isinstance(step, StepDone)] == [1, 2, 3]
        assert isinstance(outcome, Outcome)
        assert isinstance(outcome.result, GeneratedImages)
        assert set(on_card(services)) == {"sd"}
        *_, answer = await ask(services, "chat", HELLO)
        assert isinstance(answer.result, Generated)
        assert set(on_card(services)) == {"chat"}
        assert await used_bytes(services) == used, "nothing stays behind"


async def test_a_cancelled_picture_leaves_the_model_ready_and_a_killed_worker_takes_no_other(world):
    async with world(chat="2 GiB") as services:
        asked = msgspec.structs.replace(HOUSE, steps=150)
        async with aclosing(services.manager.stream("sd", asked)) as steps:
            async for step in steps:
                if isinstance(step, StepDone):
                    break
        *_, outcome = await ask(services, "sd", HOUSE)
        assert outcome.result.finish_reason == "stop"

        await ask(services, "chat", HELLO)
        assert set(on_card(services)) == {"chat", "sd"}
        drawer, talker = worker_of(services, "sd"), worker_of(services, "chat")
        assert drawer.pid != talker.pid
        os.kill(drawer.pid, signal.SIGTERM)
        await drawer.process.wait_exit()
        again = (await ask(services, "sd", HOUSE))[-1]
        assert again.result.pictures[0].data == outcome.result.pictures[0].data
        assert worker_of(services, "chat").pid == talker.pid


class TestPlans:
    """Where published pipelines would go on an 8 GB card; nothing is loaded."""

    @pytest.mark.parametrize(
        ("shape", "role", "rung", "words"),
        [
            (SD15, "imagine", Rung.FULL, None),
            (SDXL, "imagine", Rung.OFFLOAD, "slower, with one network at a time on the card"),
            (WAN, "video", Rung.OFFLOAD, "slower, with one block at a time on the card"),
        ],
        ids=["sd", "sdxl", "wan"],
    )
    async def test_the_best_way_that_fits_is_taken_and_said(
        self, world, tmp_path, shape, role, rung, words
    ):
        make_shape(tmp_path / "models" / "published", shape)
        entry = {"path": "models/published", "role": role, "settings": {}}
        async with world("sd", **entry) as services:
            _, plan = services.manager.plan("sd")
            assert isinstance(plan, PlacedOn)
            assert (plan.device_uuid, plan.rung) == ("GPU-simulated-0", rung)
            assert words is None or words in (plan.degraded or "")

    async def test_idle_models_leave_before_anything_gets_worse(self, world, tmp_path):
        make_shape(tmp_path / "models" / "published", SD15)
        async with world("sd", path="models/published", settings={}) as services:
            await ask(services, "chat", HELLO)
            await until_idle(services, "chat")
            _, plan = services.manager.plan("sd")
            assert isinstance(plan, NeedsEviction)
            assert plan.victims == ("chat",)
