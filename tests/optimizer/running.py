"""A bot's own parts with a real YOLO worker on simulated cards, and commands as processes."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner

from danzar.app import control_routes
from danzar.cli import optimizer_app
from danzar.commands.terminal import one_line
from danzar.config.load import load_config
from danzar.config.optimizer import MemoryConfig
from danzar.errors import DanzarError
from danzar.live.control import serve_control
from danzar.services import Services, open_services
from tests.cli.conftest import REPOSITORY, Ended
from tests.cli.test_commands import is_documented

WEIGHTS = "models/yolo-nano.pt"
VRAM = "telemetry: {mode: simulated}\nplacement: {preload: false}\n"
BOT = "http: {enabled: false}\ndata_dir: data\n"
MODELS = f"""\
use: {{chat: null, detect: yolo-nano, rank: null, read: null, media: media}}
models:
  yolo-nano:
    backend: yolo
    role: detect
    path: {WEIGHTS}
    sha256: 48a10622d351d608a4deed5693edcfb3df6ae9b1a2fc33ea0328e131f33b80d2
    settings: {{imgsz: 64, threads: 1}}
  media: {{backend: media, role: media}}
"""


def make_folder(root: Path) -> Path:
    """A folder of settings."""
    folder = root / "config"
    folder.mkdir()
    (root / "models").mkdir()
    shutil.copy(REPOSITORY / WEIGHTS, root / WEIGHTS)
    for name, text in (("vram_config", VRAM), ("models", MODELS), ("bot_config", BOT)):
        (folder / f"{name}.yaml").write_text(text)
    return folder


def danzar_here(folder: Path, *arguments: str) -> Ended:
    """``danzar optimizer ARGUMENTS`` in this process, which has imported everything already."""
    done = CliRunner().invoke(optimizer_app, [*arguments, "--config", str(folder)])
    if isinstance(done.exception, DanzarError):
        return Ended(1, done.stdout, f"danzar: {one_line(done.exception)}\n")
    return Ended(done.exit_code, done.stdout, done.stderr)


def danzar(folder: Path, *arguments: str) -> Ended:
    """``danzar ARGUMENTS`` as a process."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("DANZAR_", "DISCORD_"))}
    done = subprocess.run(
        [sys.executable, "-m", "danzar", *arguments, "--config", str(folder)],
        cwd=REPOSITORY,
        env=environ | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@dataclass
class Bot:
    """What runs, and how a person reaches it."""

    services: Services
    folder: Path

    async def type(self, *arguments: str) -> Ended:
        """Run ``danzar optimizer ARGUMENTS``."""
        return await asyncio.to_thread(danzar_here, self.folder, *arguments)

    async def json(self, *arguments: str) -> dict:
        """The same with ``--json``: every key of the answer is documented."""
        ended = await self.type(*arguments, "--json")
        assert ended.status == 0, ended.err
        answer = json.loads(ended.out)
        assert answer.pop("version") == 1
        is_documented(answer)
        return answer

    async def last_audit(self, action: str) -> str:
        """Details of the newest line about it."""
        lines = await self.services.store.recent_audit(100)
        return next(line.detail for line in lines if line.action == f"optimizer.{action}")

    async def tidy_up(self) -> None:
        """Back to the defaults, for the next test."""
        desk = self.services.optimizer_desk
        await desk.configure(MemoryConfig().model_dump(mode="json"), who="tests")
        await desk.set_batch_size(None, who="tests")
        await desk.set_monitoring(True, who="tests")


@asynccontextmanager
async def running_bot(root: Path) -> AsyncIterator[Bot]:
    """Everything below Discord, as ``danzar run`` wires it."""
    folder = make_folder(root)
    async with (
        open_services(load_config(folder, {})) as services,
        serve_control(services.live, root / "data", control_routes(services)),
    ):
        while not services.manager.scheduler.snapshots:
            await asyncio.sleep(0.01)
        yield Bot(services, folder)
