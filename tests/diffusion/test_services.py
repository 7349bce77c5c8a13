"""Pictures through the whole of Danzar below Discord: real workers, a simulated 8 GB card."""

import asyncio
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


async def cancel_after_a_step(services, request):
    """Begin a picture and stop it."""
    async with aclosing(services.manager.stream("sd", request)) as steps:
        async for step in steps:
            if isinstance(step, StepDone):
                return


async def test_the_chat_model_leaves_for_pictures_and_is_back_when_it_is_asked(world):
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
        [worker] = [w for w in services.manager.workers() if "sd" in w.models]
        assert worker.key.worker == "diffusion", "its death would take nobody else's model"
        await cancel_after_a_step(services, msgspec.structs.replace(HOUSE, steps=150))
        *_, again = await ask(services, "sd", HOUSE)
        assert again.result == outcome.result
        *_, answer = await ask(services, "chat", HELLO)
        assert isinstance(answer.result, Generated)
        assert set(on_card(services)) == {"chat"}
        assert await used_bytes(services) == used, "nothing stays behind"


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
