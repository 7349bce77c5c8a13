"""VramCram's ``config.yaml``: its keys, and what each is here."""

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from danzar.config.api import is_loopback
from danzar.config.base import KeyProblem, PositiveSeconds, Settings
from danzar.config.migrate_rule import (
    NOTHING,
    Around,
    Convert,
    Program,
    Rule,
    Target,
    gone,
    mib,
    to,
)


class _Redis(Settings):
    host: str = Field("localhost", min_length=1)
    port: int = Field(6379, ge=1, le=65535)
    db: int = Field(0, ge=0)
    password: str | None = None
    max_connections: int = Field(50, ge=1)
    socket_timeout: PositiveSeconds = 5
    socket_connect_timeout: PositiveSeconds = 5


class _Vram(Settings):
    total_mb: int = Field(gt=0)
    safety_margin_mb: int = Field(ge=0)
    monitoring_interval_seconds: PositiveSeconds = 5


class _Api(Settings):
    host: str = Field("0.0.0.0", min_length=1)  # noqa: S104 - that program's default
    port: int = Field(8000, ge=1, le=65535)
    workers: int = Field(1, ge=1)


class _LlmConfig(Settings):
    n_gpu_layers: int = 35
    n_ctx: int = Field(4096, ge=1)
    n_batch: int = Field(512, ge=1)
    temperature: float = Field(0.7, ge=0)
    max_tokens: int = Field(512, ge=1)


class _DiffusionConfig(Settings):
    width: int = Field(512, ge=1)
    height: int = Field(512, ge=1)
    sample_steps: int = Field(4, ge=1)
    cfg_scale: float = Field(1.0, ge=0)


class _Llm(Settings):
    name: str = Field(min_length=1)
    type: Literal["llm"] = "llm"
    model_path: str = Field(min_length=1)
    vram_mb: int = Field(gt=0)
    config: _LlmConfig = _LlmConfig()


class _Diffusion(Settings):
    name: str = Field(min_length=1)
    type: Literal["diffusion"] = "diffusion"
    model_path: str = Field(min_length=1)
    vram_mb: int = Field(gt=0)
    config: _DiffusionConfig = _DiffusionConfig()


class _Models(Settings):
    llm: tuple[_Llm, ...] = ()
    diffusion: tuple[_Diffusion, ...] = ()

    @model_validator(mode="after")
    def names_differ(self) -> "_Models":
        """A name is a key here."""
        seen: set[str] = set()
        for kind in ("llm", "diffusion"):
            for i, model in enumerate(getattr(self, kind)):
                if model.name in seen:
                    raise KeyProblem((kind, i, "name"), f"{model.name!r} is there twice")
                seen.add(model.name)
        return self


class _Agents(Settings):
    heartbeat_interval_seconds: PositiveSeconds = 10
    heartbeat_timeout_seconds: PositiveSeconds = 30
    worker_ready_timeout_seconds: PositiveSeconds = 60
    graceful_shutdown_timeout_seconds: PositiveSeconds = 300
    eviction_timeout_seconds: PositiveSeconds = 30


class _Jobs(Settings):
    max_queue_size: int = Field(1000, ge=1)
    result_ttl_seconds: PositiveSeconds = 86_400
    default_timeout_seconds: PositiveSeconds = 300


class _Output(Settings):
    base_path: str = "./outputs"
    results_path: str = "./results"
    image_result_format: Literal["base64", "path"] = "base64"


class _Logging(Settings):
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    format: Literal["json", "text"] = "json"
    output: Literal["stdout", "stderr"] = "stdout"


class _Metrics(Settings):
    enabled: bool = True
    port: int = Field(9090, ge=1, le=65535)
    path: str = "/metrics"


class _Inference(Settings):
    llama_server_path: str = "llama-server"
    llama_cli_path: str = "llama-cli"
    sd_binary_path: str = "sd"


class _Security(Settings):
    max_prompt_length: int = Field(50_000, ge=1)
    max_negative_prompt_length: int = Field(50_000, ge=1)
    subprocess_max_memory_mb: int | None = Field(None, ge=1)
    subprocess_max_output_bytes: int = Field(10_485_760, ge=1)
    allowed_model_base_path: str | None = None
    validate_model_paths: bool = True
    validate_binary_paths: bool = True


class VramCramConfig(Settings):
    """The whole file; only ``redis``, ``vram`` and ``models`` must be there."""

    redis: _Redis
    vram: _Vram
    api: _Api = _Api()
    models: _Models
    agents: _Agents = _Agents()
    jobs: _Jobs = _Jobs()
    output: _Output = _Output()
    logging: _Logging = _Logging()
    metrics: _Metrics = _Metrics()
    inference: _Inference = _Inference()
    security: _Security = _Security()


def _queue_url(_: object, around: Around) -> str:
    """One address of three keys; beyond this machine, only over TLS."""
    redis = {**_Redis().model_dump(), **around.section}
    scheme = "redis" if is_loopback(redis["host"]) else "rediss"
    return f"{scheme}://{redis['host']}:{redis['port']}/{redis['db']}"


def _path(value: str, around: Around) -> str:
    """From Danzar's project folder; for a file elsewhere, the place where it should be."""
    found = Path(os.path.normpath(around.folder.absolute() / Path(value).expanduser()))
    root = around.root.absolute()
    here = found.relative_to(root) if found.is_relative_to(root) else Path("models", found.name)
    return here.as_posix()


def _of_first(convert: Convert) -> Convert:
    """What holds for one model here is taken from the first one there."""
    return lambda value, around: convert(value, around) if around.entry == 0 else NOTHING


def _unless_null(convert: Convert) -> Convert:
    return lambda value, around: NOTHING if value is None else convert(value, around)


def _plainly(value: Any, _: Around) -> Any:  # noqa: ANN401
    return value


def _always(value: object) -> Convert:
    return lambda _, __: value


def _model_rules(kind: str, backend: str, role: str) -> dict[str, Rule]:
    name = to(
        f"models.use.{role}",
        _of_first(_plainly),
        "the key that its entry stands under; the first one serves the role",
    )
    kinds = (
        Target("models.models.NAME.backend", _always(backend)),
        Target("models.models.NAME.role", _always(role)),
    )
    return {
        f"models.{kind}.name": name,
        f"models.{kind}.type": Rule(kinds),
        f"models.{kind}.model_path": to(
            "models.models.NAME.path",
            _path,
            "from Danzar's project folder; link or copy there what lies elsewhere",
        ),
        f"models.{kind}.vram_mb": to(
            "models.models.NAME.memory",
            mib,
            "books exactly that; without it, the need is read from the file, corrected by what "
            "loads take, and less is tried where room is short",
        ),
    }


_OWN_LIBRARY = "the libraries are Python packages, in worker processes"
_CLIENT = "the queue's client keeps its own connections, and has time limits of its own"
_LOG = "the log goes to standard output, as text; `danzar --verbose` has other commands log, too"
_QUEUE_NOTE = "one address; without Redis, the queue is in the process (memory://)"
_NETWORK_NOTE = "beyond this machine it needs an API key: danzar keys add NAME"

_REST: dict[str, Rule] = {
    "redis.host": to("bot.jobs.url", _queue_url, _QUEUE_NOTE),
    "redis.port": to("bot.jobs.url", _queue_url),
    "redis.db": to("bot.jobs.url", _queue_url),
    "redis.password": gone(
        "no password stands in a file: set DANZAR_BOT__JOBS__URL=redis://:PASSWORD@HOST:PORT/DB in "
        "the environment; over the network, `danzar keys init` makes users and certificates"
    ),
    "redis.max_connections": gone(_CLIENT),
    "redis.socket_timeout": gone(_CLIENT),
    "redis.socket_connect_timeout": gone(_CLIENT),
    "vram.total_mb": to(
        "vram.devices.cuda:0.limit", mib, "the driver says what a card has; this is a limit"
    ),
    "vram.safety_margin_mb": to("vram.placement.margin", mib),
    "vram.monitoring_interval_seconds": to("vram.telemetry.sample_interval_s"),
    "api.host": Rule(
        (Target("bot.api.host"), Target("bot.api.enabled", _always(True))),
        _NETWORK_NOTE,
    ),
    "api.port": to("bot.api.port"),
    "api.workers": gone("one process answers; models are in processes of their own"),
    "agents.heartbeat_interval_seconds": to(
        "bot.node.heartbeat_s", note="of machines; worker processes beat every second"
    ),
    "agents.heartbeat_timeout_seconds": Rule(
        (Target("vram.workers.heartbeat_timeout_s"), Target("bot.node.failure_after_s")),
        "of worker processes, and of machines",
    ),
    "agents.worker_ready_timeout_seconds": to(
        "vram.workers.ready_timeout_s", note="loading has vram.workers.load_timeout_s"
    ),
    "agents.graceful_shutdown_timeout_seconds": to("bot.jobs.drain_s"),
    "agents.eviction_timeout_seconds": to("vram.workers.stop_timeout_s"),
    "jobs.max_queue_size": to("bot.jobs.max_waiting"),
    "jobs.result_ttl_seconds": to("bot.jobs.keep_s"),
    "jobs.default_timeout_seconds": gone(
        "a job has no time limit unless it says one; waiting for room ends by bot.jobs.place_wait_s"
    ),
    "output.base_path": gone("pictures are in the answer, not in a folder"),
    "output.results_path": gone("results are with the jobs (bot.data_dir), for bot.jobs.keep_s"),
    "output.image_result_format": gone("always base64 in the answer; no path of this machine"),
    "logging.level": gone(_LOG),
    "logging.format": gone(_LOG),
    "logging.output": gone(_LOG),
    "metrics.enabled": to("bot.http.enabled"),
    "metrics.port": to("bot.http.port", note="the status API; of this machine only"),
    "metrics.path": gone("always /metrics"),
    "inference.llama_server_path": gone(_OWN_LIBRARY),
    "inference.llama_cli_path": gone(_OWN_LIBRARY),
    "inference.sd_binary_path": gone(_OWN_LIBRARY),
    "security.max_prompt_length": to("bot.api.max_prompt_chars"),
    "security.max_negative_prompt_length": gone("bot.api.max_prompt_chars holds for it, too"),
    "security.subprocess_max_memory_mb": to(
        "vram.devices.cpu.limit", _unless_null(mib), "of all models' processes together"
    ),
    "security.subprocess_max_output_bytes": gone("workers answer in messages, not on a pipe"),
    "security.allowed_model_base_path": gone(
        "only files that models.yaml names are loaded, by their SHA-256 where one is given"
    ),
    "security.validate_model_paths": gone("can't be switched off"),
    "security.validate_binary_paths": gone(_OWN_LIBRARY),
}
_LLM: dict[str, Rule] = {
    **_model_rules("llm", "llama", "chat"),
    "models.llm.config.n_gpu_layers": gone(
        "the planner decides: all of them where they fit, else some, else the CPU"
    ),
    "models.llm.config.n_ctx": to("models.models.NAME.settings.n_ctx"),
    "models.llm.config.n_batch": to("models.models.NAME.settings.n_batch"),
    "models.llm.config.temperature": to(
        "bot.chat.temperature", _of_first(_plainly), "of all chat; a job may say its own"
    ),
    "models.llm.config.max_tokens": to(
        "bot.chat.max_answer_tokens", _of_first(_plainly), "of all chat; a job may say its own"
    ),
    "models.llm": gone("no model is listed"),
}
_DIFFUSION: dict[str, Rule] = {
    **_model_rules("diffusion", "diffusion", "imagine"),
    "models.diffusion.config.width": to("models.models.NAME.settings.width"),
    "models.diffusion.config.height": to("models.models.NAME.settings.height"),
    "models.diffusion.config.sample_steps": to("models.models.NAME.settings.steps"),
    "models.diffusion.config.cfg_scale": to("models.models.NAME.settings.guidance"),
    "models.diffusion": gone("no model is listed"),
}

VRAMCRAM = Program("VramCram", "config.yaml", VramCramConfig, {**_LLM, **_DIFFUSION, **_REST})
