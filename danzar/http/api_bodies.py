"""The bodies of the seed's routes, with Danzar's further keys behind the seed's. Pure."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from danzar.config.base import Settings
from danzar.http.api_params import DiffusionParams, LlmParams, VideoParams, Whole
from danzar.jobs.contract import MAX_PRIORITY, MIN_PRIORITY, JobState, JobView

_DAY_S = 86_400.0
_MS_PER_S = 1000

Json = dict[str, Any]


class JobBody(Settings):
    """A job as it is asked for."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={
            "example": {
                "model": "llama-ministral",
                "prompt": "Explain quantum computing in simple terms",
                "params": {"max_tokens": 200},
            }
        },
    )

    model: str = Field(min_length=1, max_length=200, description="Name in models.yaml.")
    prompt: str = Field(min_length=1, description="What to write, draw or film.")
    params: dict[str, Any] = Field(
        {}, description="By kind of model: see LlmParams, DiffusionParams and VideoParams."
    )
    priority: Whole = Field(
        0, ge=MIN_PRIORITY, le=MAX_PRIORITY, description="Higher is served earlier."
    )
    deadline_s: float | None = Field(
        None, gt=0, le=30 * _DAY_S, description="Fails unless it has ended after so many seconds."
    )
    keep_s: float | None = Field(
        None, gt=0, le=30 * _DAY_S, description="How long its result is kept after its end."
    )
    max_attempts: Whole = Field(3, ge=1, le=10, description="Starts, at most.")


class Submitted(BaseModel):
    """An accepted job: it is on disk, and ends exactly once."""

    job_id: str
    status: JobState
    model: str
    created_at: datetime
    position: int | None = Field(None, description="1 is next; null where that is not known.")


class JobStatus(BaseModel):
    """A job as it is now."""

    job_id: str
    status: JobState
    model: str
    created_at: datetime
    started_at: datetime | None = Field(None, description="When it was started last.")
    completed_at: datetime | None = Field(None, description="When it ended, however it did.")
    duration_ms: int | None = Field(None, description="From its start to its end.")
    error: str | None = Field(None, description="Why it failed or was cancelled.")
    priority: int
    position: int | None = Field(None, description="1 is next; null unless it waits.")
    progress: float | None = Field(None, description="0 to 1; null where that is not known.")
    attempt: int = Field(description="How often it was started.")
    node: str | None = Field(None, description="The machine that runs or ran it.")
    device: str | None = Field(None, description="cuda:N or cpu on that machine.")
    degraded: str | None = Field(None, description="Why it ran worse than asked for.")


class LlmResult(BaseModel):
    """What a model wrote."""

    type: Literal["llm"] = "llm"
    text: str
    job_id: str
    status: Literal["completed"] = "completed"
    finish_reason: Literal["stop", "length", "cancelled"]
    prompt_tokens: int
    completion_tokens: int


class DiffusionResult(BaseModel):
    """What a model drew, as `data:` addresses of PNG files."""

    type: Literal["diffusion"] = "diffusion"
    image: str = Field(description="The first picture: data:image/png;base64,...")
    more_images: list[str] = Field(description="The others, where `count` was above 1.")
    job_id: str
    status: Literal["completed"] = "completed"
    width: int
    height: int
    seed: int = Field(description="Of the first picture; the others count on from it.")


class VideoResult(BaseModel):
    """What a model filmed, as a `data:` address of an MP4 file."""

    type: Literal["video"] = "video"
    video: str = Field(description="data:video/mp4;base64,...")
    job_id: str
    status: Literal["completed"] = "completed"
    width: int
    height: int
    frames: int
    fps: int
    seed: int


class OtherResult(BaseModel):
    """What any other request of Danzar's own brought (`danzar jobs submit`)."""

    type: Literal["other"] = "other"
    kind: str = Field(description="For example detected, ranked, embeddings.")
    value: Json
    job_id: str
    status: Literal["completed"] = "completed"


AnyResult = Annotated[
    LlmResult | DiffusionResult | VideoResult | OtherResult, Field(discriminator="type")
]


class ModelInfo(BaseModel):
    """A model, as the seed lists it, and where it is."""

    name: str
    type: str = Field(description="llm, diffusion, video; or what it does for Danzar itself.")
    vram_mb: int | None = Field(description="MiB it takes, or will; null where not known.")
    loaded: bool
    state: str | None = Field(description="On this machine; null where it does not have it.")
    device: str | None = Field(description="cuda:N or cpu, while it is loaded.")
    simulated: bool = Field(description="Its card is simulated.")
    takes_jobs: bool
    nodes: list[str] = Field(description="Other machines that take jobs for it.")


class Health(BaseModel):
    """How this machine is."""

    status: Literal["healthy", "unhealthy"]
    vram_free_mb: int | None = Field(description="MiB, of all cards; null where not known.")
    loaded_models: list[str]
    models_available: int
    jobs_queued: int | None = Field(description="Jobs that wait; null: the queue can't be asked.")
    redis_connected: bool = Field(description="The queue's server answers (embedded: always).")
    simulated: bool = Field(description="There are simulated cards among them.")
    version: str


PARAMS_DOCUMENTED = (LlmParams, DiffusionParams, VideoParams)


def submitted(view: JobView) -> Submitted:
    """The answer to ``POST /jobs``."""
    return Submitted(
        job_id=view.job_id,
        status=view.state,
        model=view.model,
        created_at=_time(view.submitted_at),
        position=view.position,
    )


def job_status(view: JobView) -> JobStatus:
    """The answer to ``GET /jobs/{id}``."""
    return JobStatus(
        job_id=view.job_id,
        status=view.state,
        model=view.model,
        created_at=_time(view.submitted_at),
        started_at=None if view.started_at is None else _time(view.started_at),
        completed_at=None if view.ended_at is None else _time(view.ended_at),
        duration_ms=_duration_ms(view),
        error=view.error,
        priority=view.priority,
        position=view.position,
        progress=view.progress,
        attempt=view.attempt,
        node=view.node,
        device=view.device,
        degraded=view.degraded,
    )


def _time(epoch_s: float) -> datetime:
    return datetime.fromtimestamp(epoch_s, UTC)


def _duration_ms(view: JobView) -> int | None:
    if view.started_at is None or view.ended_at is None:
        return None
    return max(0, round((view.ended_at - view.started_at) * _MS_PER_S))
