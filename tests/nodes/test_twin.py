"""Nodes on a real Redis: found without a list, missed when they fall silent."""

import asyncio
import contextlib
import math
import time
from contextlib import asynccontextmanager

import pytest

from danzar.config.node import NodeSettings
from danzar.errors import ModelMissing
from danzar.jobs.contract import QueueUnavailable
from danzar.nodes.choice import Fit
from danzar.nodes.nodes import Nodes
from danzar.nodes.standing import Standing
from danzar.nodes.survey import Survey
from danzar.nodes.twin import AloneTwin, RedisTwin, state_key
from tests.nodes.makers import device, model, node
from tests.nodes.queue_server import until

pytestmark = pytest.mark.redis
REMEMBERED_S = 60.0


class Machine:
    """A node whose survey a test sets."""

    def __init__(self, twin, name: str, *models, **settings) -> None:
        self.models = models
        known = {"name": name, "heartbeat_s": 0.1, "failure_after_s": 1.5} | settings
        self.nodes = Nodes(
            twin, NodeSettings(**known), self.look, lambda: self.models, time.monotonic
        )

    async def look(self) -> Survey:
        return Survey((device(),), self.models)

    @asynccontextmanager
    async def living(self):
        await self.nodes.join()
        task = asyncio.create_task(self.nodes.run())
        try:
            yield self.nodes
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def standing(self, name: str) -> Standing | None:
        return next((m.standing for m in self.nodes.all() if m.name == name), None)


@pytest.fixture
def twin(redis) -> RedisTwin:
    return RedisTwin(redis, remembered_s=REMEMBERED_S)


async def test_a_node_that_joins_is_found_by_the_others_without_a_list(twin) -> None:
    one, two = Machine(twin, "pc1", model("chat")), Machine(twin, "pc2", model("vision"))
    async with one.living():
        assert one.standing("pc1") is Standing.ALIVE
        async with two.living():
            await until(lambda: one.standing("pc2") is Standing.ALIVE)

            assert one.nodes.models() == {"chat", "vision"}
            assert one.nodes.plan("vision")[0].node == "pc2"


async def test_a_node_that_dies_is_lost_and_one_that_leaves_is_forgotten(twin) -> None:
    one, two = Machine(twin, "pc1"), Machine(twin, "pc2")
    async with one.living():
        async with two.living():
            await until(lambda: one.standing("pc2") is Standing.ALIVE)
        await until(lambda: one.standing("pc2") is Standing.LOST)
        async with two.living():
            await until(lambda: one.standing("pc2") is Standing.ALIVE)
        await two.nodes.leave()
        await until(lambda: one.standing("pc2") is None)


async def test_a_better_node_has_a_head_start_until_it_is_lost(twin) -> None:
    one = Machine(twin, "pc1", model("chat", Fit.FREE))
    two = Machine(twin, "pc2", model("chat", Fit.LOADED))
    async with one.living():
        assert one.nodes.hold_back_s("chat") == 0
        async with two.living():
            await until(lambda: one.nodes.hold_back_s("chat") == 2.0)
            assert two.nodes.hold_back_s("chat") == 0
        await until(lambda: one.nodes.hold_back_s("chat") == 0)


async def test_a_node_that_drains_holds_nobody_back(twin) -> None:
    one = Machine(twin, "pc1", model("chat", Fit.FREE))
    two = Machine(twin, "pc2", model("chat", Fit.LOADED))
    async with one.living(), two.living():
        await until(lambda: one.nodes.hold_back_s("chat") > 0)

        await two.nodes.begin_drain()

        await until(lambda: one.nodes.hold_back_s("chat") == 0)
        assert one.standing("pc2") is Standing.DRAINING


async def test_what_a_node_loads_is_told_at_once_not_at_the_next_sign_of_life(twin) -> None:
    one = Machine(twin, "pc1", model("chat", Fit.FREE))
    two = Machine(twin, "pc2", model("chat", Fit.FREE), heartbeat_s=1000, failure_after_s=5000)
    async with one.living(), two.living():
        two.models = (model("chat", Fit.LOADED),)

        await until(lambda: one.nodes.hold_back_s("chat") > 0)


async def test_nobody_is_waited_for_while_the_twin_cannot_be_read(twin, server) -> None:
    one = Machine(twin, "pc1", model("chat", Fit.FREE))
    two = Machine(twin, "pc2", model("chat", Fit.LOADED))
    async with one.living(), two.living():
        await until(lambda: one.nodes.hold_back_s("chat") > 0)

        server.kill()

        await until(lambda: one.nodes.hold_back_s("chat") == 0)
        server.start()
        await until(lambda: one.nodes.hold_back_s("chat") > 0)


async def test_a_node_starts_without_the_queue_and_joins_when_it_is_there(twin, server) -> None:
    one = Machine(twin, "pc1", model("chat"))
    server.kill()
    async with one.living():
        assert one.nodes.hold_back_s("chat") == 0

        server.start()

        await until(lambda: one.standing("pc1") is Standing.ALIVE)
        assert one.nodes.all()[0].since_s < 60


async def test_two_machines_of_one_name_are_told_so(twin, caplog) -> None:
    async with Machine(twin, "pc1").living(), Machine(twin, "pc1").living():
        await until(lambda: "another machine calls itself pc1" in caplog.text)


async def test_a_model_that_no_node_knows_is_an_error_that_names_those_known(twin) -> None:
    one = Machine(twin, "pc1", model("chat"))
    async with one.living():
        assert one.nodes.hold_back_s("other") == math.inf
        with pytest.raises(ModelMissing, match="known: chat"):
            one.nodes.plan("other")


async def test_a_state_of_another_version_is_passed_over(twin, redis) -> None:
    await twin.publish(node("pc1"))
    await twin.publish(node("pc2"))
    await redis.set(state_key("pc2"), b"\xc1 nonsense")

    assert [member.name for member in await twin.members()] == ["pc1"]


async def test_a_twin_that_does_not_answer_is_an_error_with_a_message(twin, server) -> None:
    server.kill()

    with pytest.raises(QueueUnavailable, match="can't read the nodes"):
        await twin.members()


async def test_a_machine_without_a_shared_queue_is_a_node_alone() -> None:
    one = Machine(AloneTwin(time.time), "pc1", model("chat", Fit.NEVER))
    async with one.living():
        assert one.standing("pc1") is Standing.ALIVE
        assert one.nodes.hold_back_s("chat") == one.nodes._settings.failure_after_s
    await one.nodes.leave()
