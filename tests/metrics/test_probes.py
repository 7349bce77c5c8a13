"""What ``/health`` and ``/ready`` say of a manager with real workers."""

from types import SimpleNamespace

import pytest

from danzar.broker.first_loads import FirstLoads
from danzar.config.load import load_config
from danzar.errors import WorkerStartFailed
from danzar.metrics.probes import Probes
from danzar.metrics.ready_facts import is_connected, ready_facts
from danzar.readiness import ModelFate
from tests.manager.worlds import echo_model, world


def bot(*, ready=True, is_open=True):
    return SimpleNamespace(is_ready=lambda: ready, ws=SimpleNamespace(open=is_open), latency=0.04)


@pytest.mark.parametrize(
    ("client", "connected"),
    [
        (bot(), True),
        (bot(ready=False), False),
        (bot(is_open=False), False),
        (SimpleNamespace(is_ready=lambda: True, ws=None), False),
    ],
)
def test_the_gateway_is_connected_while_its_socket_is_open_and_it_said_hello(client, connected):
    assert is_connected(client) is connected


def services_of(w, firsts, jobs=None):
    """As much of the services as readiness reads; ``use`` names the two models of the world."""
    config = load_config()
    use = config.models.use.model_copy(
        update={"chat": "chat", "detect": None, "rank": None, "read": None, "media": "media"}
    )
    models = config.models.model_copy(update={"use": use})
    return SimpleNamespace(
        manager=w.manager,
        sampler=w.sampler,
        first_loads=firsts,
        live=SimpleNamespace(config=config.model_copy(update={"models": models})),
        jobs=jobs,
    )


def probes(services, client=None):
    return Probes(services, client, metrics=None)


def fates(services):
    return {model.name: model.fate for model in ready_facts(services, None).models}


@pytest.mark.process
async def test_it_becomes_ready_with_its_models_and_stays_so_when_they_leave():
    models = (echo_model("chat"), echo_model("media"))
    async with world(*models) as w:
        firsts = FirstLoads(w.manager.news)
        services = services_of(w, firsts)
        status, body = probes(services).ready()
        assert (status, body["missing"]) == (503, ["Danzar is still starting"])
        firsts.ask(["chat", "media"])
        await w.manager.load("chat")
        await w.manager.load("media")
        assert set(fates(services).values()) == {ModelFate.LOADED}
        assert probes(services).ready()[0] == 200
        await w.manager.unload("chat")
        assert fates(services)["chat"] is ModelFate.ON_DEMAND
        status, body = probes(services).ready()
        assert (status, body["ready"], body["missing"]) == (200, True, [])


@pytest.mark.process
async def test_a_model_that_cannot_start_is_missing_with_its_reason():
    models = (echo_model("chat"), echo_model("media"))
    async with world(*models, settings={"chat": {"load": "refuse"}}) as w:
        firsts = FirstLoads(w.manager.news)
        firsts.ask([])
        services = services_of(w, firsts)
        with pytest.raises(WorkerStartFailed):
            await w.manager.load("chat")
        status, body = probes(services).ready()
        assert status == 503
        (missing,) = body["missing"]
        assert missing.startswith("the model chat can't be loaded: chat refuses to load")
        assert body["checks"]["models"] == {"ok": False, "text": missing}


@pytest.mark.process
async def test_discord_and_the_queue_count_where_they_are_asked_for():
    async with world(echo_model("chat"), echo_model("media")) as w:
        firsts = FirstLoads(w.manager.news)
        firsts.ask([])
        down = services_of(w, firsts, SimpleNamespace(healthy=False))
        assert probes(down).ready()[1]["missing"] == ["the queue of jobs does not answer"]
        up = services_of(w, firsts, SimpleNamespace(healthy=True))
        assert probes(up, bot()).ready()[0] == 200
        status, body = probes(up, bot(is_open=False)).ready()
        assert (status, body["missing"]) == (503, ["Discord's gateway is not connected"])


@pytest.mark.process
async def test_health_is_well_while_the_owner_task_lives():
    async with world(echo_model("chat"), echo_model("media")) as w:
        services = services_of(w, FirstLoads(w.manager.news))
        await w.manager.load("chat")
        assert probes(services).health()[0] == 200
    status, body = probes(services).health()
    assert status == 503
    assert "start Danzar again" in body["reason"]
