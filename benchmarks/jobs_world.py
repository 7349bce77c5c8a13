"""What the parts of benchmarks/jobs.py share: settings with an echo model, a Redis, figures."""

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from danzar.jobs.contract import JobRequest
from danzar.simulate.percentile import percentile
from danzar.workers.contract import ChatMessage, Generate
from tests.redis_server import RedisServer

MODEL = "echo"
PROMPT = "one two three four five six seven eight"
EMBEDDED, REDIS = "embedded", "Redis"

_BOT = """
data_dir: {data}
http: {{enabled: false}}
api: {{requests_per_minute: 1000000, jobs: 1000000, concurrent: 1000}}
jobs: {{url: "{url}", max_waiting: 1000000}}
"""
_VRAM = "telemetry: {mode: simulated}\nprediction: {enabled: false}\nwarm: {standby: false}\n"
_MODELS = """
use: {{chat: echo, detect: null, rank: null, read: null}}
models:
  echo: {{backend: echo, role: chat, memory: 64 MiB, settings: {{word_s: {word_s}}}}}
  media: {{backend: media, role: media}}
"""


def write_config(folder: Path, url: str, word_s: float = 0.0) -> Path:
    """A folder of settings with one model, that repeats words and computes by sleeping."""
    config = folder / "config"
    config.mkdir(parents=True)
    (config / "bot_config.yaml").write_text(_BOT.format(data=folder / "data", url=url))
    (config / "vram_config.yaml").write_text(_VRAM)
    (config / "models.yaml").write_text(_MODELS.format(word_s=word_s))
    return config


def said(prompt: str = PROMPT) -> Generate:
    return Generate((ChatMessage("user", prompt),))


def job(prompt: str = PROMPT) -> JobRequest:
    return JobRequest(model=MODEL, work=said(prompt))


@contextmanager
def queue(kind: str) -> Iterator[str]:
    """The address of an empty queue."""
    if kind == EMBEDDED:
        yield "memory://"
        return
    with redis() as server:
        yield server.url


@contextmanager
def redis() -> Iterator[RedisServer]:
    """A Redis of its own, with its append-only file synced every second."""
    if shutil.which("redis-server") is None:
        sys.exit("redis-server is not installed")
    with TemporaryDirectory() as folder:
        server = RedisServer(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()


def own_environment() -> dict[str, str]:
    """The environment without settings that would override those of a benchmark."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("DANZAR_", "DISCORD_"))}


def ms(seconds: Sequence[float], pct: float = 50) -> float:
    return round(1000 * percentile(sorted(seconds), pct), 2)
