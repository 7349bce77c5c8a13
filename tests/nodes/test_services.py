"""A machine on its own is a node, too: what it says of its models, and jobs that it runs."""

import os

import pytest
import yaml

from danzar.config.load import load_config
from danzar.config.settings import Config
from danzar.jobs.contract import JobRequest, JobState
from danzar.nodes.choice import Fit
from danzar.nodes.standing import Standing
from danzar.nodes.state import NodeModel
from danzar.services import Services, open_services
from danzar.units import GIB
from danzar.workers.contract import ChatMessage, Generate
from tests.nodes.queue_server import until

pytestmark = pytest.mark.process


@pytest.fixture
def config(tmp_path, monkeypatch) -> Config:
    for name in [name for name in os.environ if name.startswith("DANZAR_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DANZAR_BOT__DATA_DIR", str(tmp_path / "data"))
    echo = {"backend": "echo", "role": "chat"}
    huge = {**echo, "memory": "40 GiB", "allow_cpu": False}
    entries = {
        "echo": echo,
        "huge": huge,
        "absent": {"backend": "llama", "role": "chat", "path": "models/absent.gguf"},
        "media": {"backend": "media", "role": "media"},
    }
    nothing = {"chat": None, "detect": None, "rank": None, "read": None, "media": "media"}
    cards = [{"name": "RTX 3060", "memory": "8 GiB"}, {"name": "RTX 4090", "memory": "24 GiB"}]
    files = {
        "bot_config.yaml": {"node": {"name": "pc1", "heartbeat_s": 0.5, "failure_after_s": 30}},
        "vram_config.yaml": {"telemetry": {"mode": "simulated", "simulated_cards": cards}},
        "models.yaml": {"use": nothing, "models": entries},
    }
    folder = tmp_path / "config"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_text(yaml.safe_dump(content))
    return load_config(folder)


def told(services: Services, name: str) -> NodeModel:
    (me,) = services.nodes.all()
    found = me.state.model(name)
    assert found is not None
    return found


async def test_a_machine_alone_is_a_node_that_runs_its_own_jobs(config) -> None:
    async with open_services(config) as services:
        (me,) = services.nodes.all()
        assert (me.name, me.standing) == ("pc1", Standing.ALIVE)
        assert [device.label for device in me.state.devices] == ["cuda:0", "cuda:1", "cpu"]
        assert told(services, "echo").fit is Fit.FREE
        assert told(services, "echo").card_bytes in (8 * GIB, 24 * GIB)
        assert told(services, "huge").fit is Fit.NEVER
        assert "models/absent.gguf" in told(services, "absent").why
        assert services.nodes.absent == {"absent"}

        jobs = services.jobs
        assert jobs is not None
        assert await jobs.known_models() >= {"echo"}
        assert not await jobs.known_models() & {"absent", "media"}
        work = Generate((ChatMessage("user", "one two"),))
        job_id = (await jobs.submit(JobRequest("echo", work))).job_id
        async for event in jobs.follow(job_id):
            last = event
        assert last.view.state is JobState.COMPLETED
        assert last.view.node == "pc1"

        await until(lambda: told(services, "echo").state == "ready")
        assert told(services, "echo").fit is Fit.LOADED
