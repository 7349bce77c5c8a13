"""What the API answers when it refuses: one shape, which OpenAI's clients know."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel, Field

from danzar.config.secrets import redact
from danzar.errors import (
    BadInput,
    BadPicture,
    BadUrl,
    Cancelled,
    CannotPlace,
    DanzarError,
    ModelError,
    ModelMissing,
    OutOfMemory,
    PromptTooLong,
    QueueFull,
    WorkerError,
    WorkerHung,
)
from danzar.jobs.contract import JobMissing, JobNotCompleted, JobQueueFull, QueueUnavailable

Json = dict[str, Any]

INVALID = "invalid_request_error"
_DEFAULT_RETRY_S = 5.0
_LIMITED = 429

# OpenAI's clients try 409 again by themselves, unless they are told not to.
_NOT_AGAIN = {"x-should-retry": "false"}


class _Answer(NamedTuple):
    """What is answered to one kind of error."""

    status: int
    code: str | None = None
    param: str | None = None


# The first that fits.
_ANSWERS: tuple[tuple[type[DanzarError], _Answer], ...] = (
    (QueueFull, _Answer(429, "queue_full")),
    (JobNotCompleted, _Answer(409)),
    (JobMissing, _Answer(404, "job_not_found")),
    (ModelMissing, _Answer(404, "model_not_found", "model")),
    (PromptTooLong, _Answer(400, "context_length_exceeded")),
    (BadPicture, _Answer(400, "invalid_image")),
    (BadUrl, _Answer(400, "invalid_image_url")),
    (BadInput, _Answer(400)),
    (Cancelled, _Answer(409, "cancelled")),
    (WorkerHung, _Answer(504)),
    (CannotPlace, _Answer(503, "no_room")),
    (OutOfMemory, _Answer(503, "out_of_memory")),
    (WorkerError, _Answer(503, "model_failed")),
    (ModelError, _Answer(503, "model_failed")),
    (QueueUnavailable, _Answer(503, "queue_unavailable")),
    (DanzarError, _Answer(503)),
)

# Kind (OpenAI's ``type``) and meaning of every status that a route may answer besides its own.
STATUSES: dict[int, tuple[str, str]] = {
    400: (INVALID, "The request can't be used; `param` names the key."),
    401: ("authentication_error", "The API key is missing or not (any more) valid."),
    403: ("permission_error", "A page of another origin, or a name this machine is not known by."),
    404: ("not_found_error", "There is no such job, model or path."),
    405: (INVALID, "The path knows other methods; `Allow` names them."),
    408: ("timeout_error", "The request was not here whole in time."),
    409: ("conflict_error", "The job has no result: `code` says its state."),
    413: (INVALID, "The request is larger than `api.max_body`."),
    429: ("rate_limit_error", "A limit of the key, or of the queue; `Retry-After` says when."),
    500: ("server_error", "An error of Danzar's own; its log has more, under `X-Request-ID`."),
    503: ("server_error", "No room, no queue, or the model failed; the message says which."),
    504: ("timeout_error", "The answer did not begin in time."),
}
# What any route may answer before or instead of its own work.
EVERYWHERE = (400, 401, 403, 408, 413, 429, 500, 503, 504)


class ErrorFacts(BaseModel):
    """What went wrong, for a person and for a program."""

    message: str = Field(description="What happened, with which value, and what to do.")
    type: str = Field(description="The kind of error.")
    param: str | None = Field(description="The key of the request that it is about.")
    code: str | None = Field(description="A word that programs may compare.")


class ErrorBody(BaseModel):
    """The body of every refusal."""

    error: ErrorFacts


class ApiError(DanzarError):
    """An answer other than the wanted one.

    Attributes:
        kind: OpenAI's ``type``; ``None`` takes the one of the status.
        param: The key of the request that it is about.
        retry_after_s: When to try again.
    """

    def __init__(  # noqa: PLR0913 - one for each part of the answer
        self,
        status: int,
        message: str,
        *,
        kind: str | None = None,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind or STATUSES.get(status, (INVALID, ""))[0]
        self.param = param
        self.code = code
        self.retry_after_s = retry_after_s
        self.more_headers = dict(headers or {})

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the answer."""
        if self.retry_after_s is None:
            return self.more_headers
        return {**self.more_headers, "Retry-After": str(max(1, math.ceil(self.retry_after_s)))}

    @property
    def body(self) -> Json:
        """The answer's body, without secrets."""
        return error_body(str(self), self.kind, self.param, self.code)


def error_body(
    message: str, kind: str = INVALID, param: str | None = None, code: str | None = None
) -> Json:
    """``{"error": {...}}`` as OpenAI's clients read it; secrets are left out of the message."""
    facts = {"message": redact(message), "type": kind, "param": param, "code": code}
    return {"error": facts}


def error_of(error: DanzarError) -> ApiError:
    """What the API answers where this happened."""
    if isinstance(error, ApiError):
        return error
    answer = next(answer for kind, answer in _ANSWERS if isinstance(error, kind))
    return ApiError(
        answer.status,
        str(error),
        param=answer.param,
        code=_state_of(error) or answer.code,
        retry_after_s=_retry_after_s(error),
        headers=_NOT_AGAIN if isinstance(error, Cancelled) else None,
    )


def _state_of(error: DanzarError) -> str | None:
    return error.view.state.value if isinstance(error, JobNotCompleted) else None


def _retry_after_s(error: DanzarError) -> float | None:
    if isinstance(error, JobQueueFull):
        return error.retry_after_s
    return _DEFAULT_RETRY_S if isinstance(error, QueueFull) else None


def documented(*statuses: int) -> dict[int | str, Json]:
    """For ``responses=`` of a route or of the whole API."""
    return {status: _document(status) for status in statuses}


def _document(status: int) -> Json:
    kind, meaning = STATUSES[status]
    document: Json = {
        "model": ErrorBody,
        "description": meaning,
        "content": {"application/json": {"example": error_body(meaning, kind)}},
    }
    if status == _LIMITED:
        document["headers"] = {
            "Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}
        }
    return document
