"""``danzar node`` as a process of its own: joins, obeys its operator, drains and leaves."""

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
import yaml

from danzar.commands import nodes as command
from danzar.commands.node_settings import with_queue
from danzar.config.load import load_config
from danzar.config.settings import Config
from danzar.errors import BadInput, DanzarError
from danzar.jobs.contract import JobRequest
from danzar.jobs.open_jobs import open_jobs
from danzar.keys.address import queue_address
from danzar.keys.home import Wish, init_home
from danzar.keys.plain_arguments import use_plain_arguments
from danzar.nodes.choice import Fit
from danzar.nodes.standing import Standing
from danzar.nodes.wire import Action
from danzar.workers.contract import ChatMessage, Generate
from tests.nodes.queue_server import PATIENCE_S

pytestmark = [pytest.mark.process, pytest.mark.redis]
WORDS = "one two three four five six seven eight nine ten"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Keys for a main machine and another one; their Redis runs."""
    if shutil.which("redis-server") is None:
        pytest.skip("there is no redis-server here")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    made = tmp_path / "keys"
    init_home(made, Wish(("127.0.0.1",), ("main", "pc2"), port), datetime.now(UTC))
    (made / "server" / "data").mkdir(exist_ok=True)
    conf = made / "server" / "redis.conf"
    server = subprocess.Popen(["redis-server", conf], stdout=subprocess.DEVNULL)
    try:
        yield made
    finally:
        server.kill()
        server.wait(PATIENCE_S)


@pytest.fixture
def config(tmp_path: Path, home: Path, monkeypatch) -> Config:
    """The main machine's settings: one model that repeats words slowly."""
    for name in [name for name in os.environ if name.startswith("DANZAR_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "config"
    folder.mkdir()
    echo = {"backend": "echo", "role": "chat", "settings": {"word_s": 0.2}}
    media = {"backend": "media", "role": "media"}
    nothing = {"chat": None, "detect": None, "rank": None, "read": None, "media": "media"}
    telemetry = {"mode": "simulated", "simulated_cards": [{"name": "RTX 3060", "memory": "8 GiB"}]}
    node = {"heartbeat_s": 0.5, "failure_after_s": 5}
    files = {
        "bot_config.yaml": {"node": node, "jobs": {"retry_delay_s": 0.1}, "http": {"port": 0}},
        "vram_config.yaml": {"telemetry": telemetry},
        "models.yaml": {"use": nothing, "models": {"echo": echo, "media": media}},
    }
    for name, content in files.items():
        (folder / name).write_text(yaml.safe_dump(content))
    return with_queue(load_config(folder), None, home / "nodes" / "main")


@asynccontextmanager
async def node(tmp_path: Path, home: Path, *options: str) -> AsyncIterator[subprocess.Popen]:
    keys = ["--keys", str(home / "nodes" / "pc2"), "--config", str(tmp_path / "config")]
    with (tmp_path / "node.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: ASYNC220 - takes a moment
            [sys.executable, "-m", "danzar", "node", *keys, *options],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"DANZAR_BOT__DATA_DIR": str(tmp_path / "node")},
        )
    try:
        yield process
    finally:
        process.kill()
        await asyncio.to_thread(process.wait, PATIENCE_S)
        sys.stdout.write((tmp_path / "node.log").read_text())  # shown where a test fails


async def standing(config: Config) -> Standing | None:
    try:
        found = await command.members(config)
    except DanzarError:  # redis-server has only just started
        return None
    return next((member.standing for member in found if member.name == "pc2"), None)


async def wait_for(config: Config, wanted: Standing | None) -> None:
    async with asyncio.timeout(2 * PATIENCE_S):
        while await standing(config) is not wanted:
            await asyncio.sleep(0.1)


async def test_a_node_joins_obeys_finishes_its_job_and_leaves(tmp_path, home, config) -> None:
    async with node(tmp_path, home, "--budget", "6GiB") as process:
        await wait_for(config, Standing.ALIVE)
        (seen,) = await command.members(config)
        assert [(d.label, d.simulated) for d in seen.state.devices] == [
            ("cuda:0", True),
            ("cpu", False),
        ]
        assert seen.state.devices[0].room_bytes <= 6 << 30
        assert seen.state.model("echo").fit is Fit.FREE
        assert seen.state.model("media").role == "media"

        await obeys_its_operator_only(config, home)
        await tells_its_figures(tmp_path)
        await finishes_its_job_before_it_leaves(config, tmp_path, process)


async def tells_its_figures(tmp_path: Path) -> None:
    address = await status_address(tmp_path / "node.log")
    async with (
        aiohttp.ClientSession(address, raise_for_status=True) as client,
        client.get("/metrics") as answer,
    ):
        text = await answer.text()
    assert 'danzar_model_loaded{node="pc2"' in text
    assert "danzar_discord_connected" not in text


async def status_address(log: Path) -> str:
    said = None
    async with asyncio.timeout(PATIENCE_S):
        while said is None:
            await asyncio.sleep(0.1)
            text = await asyncio.to_thread(log.read_text)
            said = re.search(r"status at (http://\S+)/v1/status", text)
    return said[1]


async def obeys_its_operator_only(config: Config, home: Path) -> None:
    loaded = await command.order(config, "pc2", Action.LOAD_MODEL, "echo", PATIENCE_S)
    status = await command.order(config, "pc2", Action.GET_LOADED_MODELS_STATUS, None, PATIENCE_S)
    unknown = await command.order(config, "pc2", Action.LOAD_MODEL, "qwen", PATIENCE_S)

    assert (loaded.done, loaded.text) == (True, "echo is loaded")
    assert [(model.name, model.device) for model in status.loaded] == [("echo", "cuda:0")]
    assert not unknown.done
    assert "no model is called 'qwen'" in unknown.text
    with pytest.raises(BadInput, match="no living node is called 'pc3'; living: pc2"):
        await command.order(config, "pc3", Action.LOAD_MODEL, "echo", PATIENCE_S)
    as_pc2 = with_queue(config, None, home / "nodes" / "pc2")
    with pytest.raises(DanzarError, match=r"operator\.key"):
        await command.order(as_pc2, "pc2", Action.LOAD_MODEL, "echo", PATIENCE_S)


async def finishes_its_job_before_it_leaves(
    config: Config, tmp_path: Path, process: subprocess.Popen
) -> None:
    use_plain_arguments()
    address = queue_address(None, Path(config.bot.jobs.keys))
    settings = config.bot.jobs.model_copy(update={"url": address.text})
    folder = tmp_path / "main"
    folder.mkdir()
    async with open_jobs(settings, folder, inference=None, models=dict, node="main") as jobs:
        work = Generate((ChatMessage("user", WORDS),))
        async with asyncio.timeout(PATIENCE_S):
            while "echo" not in await jobs.known_models():
                await asyncio.sleep(0.1)
        job_id = (await jobs.submit(JobRequest("echo", work))).job_id
        async with asyncio.timeout(PATIENCE_S):
            async for event in jobs.follow(job_id):
                view = getattr(event, "view", None)
                if view is not None and view.node == "pc2" and not view.state.ended:
                    process.send_signal(signal.SIGTERM)
        output = await jobs.output(job_id)
        assert output.text == WORDS
        assert await asyncio.to_thread(process.wait, PATIENCE_S) == 0
        assert (await jobs.view(job_id)).attempt == 1
    assert await standing(config) is None
