"""What a completed job brought, as a body or as files. Pure; may take tens of milliseconds."""

import base64
from dataclasses import dataclass
from typing import Any

import msgspec

from danzar.errors import BackendFailed
from danzar.http.api_bodies import AnyResult, DiffusionResult, LlmResult, OtherResult, VideoResult
from danzar.http.api_errors import ApiError
from danzar.jobs.contract import JobOutput
from danzar.workers.contract import Generated, GeneratedImages, GeneratedVideo, Picture

PNG, MP4, TEXT = "image/png", "video/mp4", "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class ResultFile:
    """One file of a result."""

    media_type: str
    data: bytes


def result_of(job_id: str, output: JobOutput) -> AnyResult:
    """The body of ``GET /jobs/{id}/result``.

    Raises:
        BackendFailed: The job was said to be completed, but there is no picture.
    """
    match output.result:
        case Generated() as made:
            return LlmResult(
                text=output.text,
                job_id=job_id,
                finish_reason=made.finish_reason,
                prompt_tokens=made.prompt_tokens,
                completion_tokens=made.completion_tokens,
            )
        case GeneratedImages() as made:
            return _diffusion(job_id, made)
        case GeneratedVideo() as made:
            return VideoResult(
                video=data_url(MP4, made.data),
                job_id=job_id,
                width=made.width,
                height=made.height,
                frames=made.frames,
                fps=made.fps,
                seed=made.seed,
            )
        case other:
            value: dict[str, Any] = msgspec.to_builtins(other)
            return OtherResult(kind=value.pop("type"), value=value, job_id=job_id)


def result_json(job_id: str, output: JobOutput) -> bytes:
    """The same as JSON."""
    return result_of(job_id, output).model_dump_json().encode()


def result_file(output: JobOutput, number: int) -> ResultFile:
    """One of its files, counted from 0: a text, a picture or a video as it is.

    Raises:
        ApiError: 404; it has no such file.
    """
    files = _files(output)
    if number >= len(files):
        count = f"{len(files)} file{'s' if len(files) != 1 else ''}"
        raise ApiError(404, f"the result has {count}, counted from 0; there is no {number}")
    return files[number]


def data_url(media_type: str, data: bytes) -> str:
    """The file as an address that holds it."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def picture_url(picture: Picture) -> str:
    """A picture that is a file already, as an address that holds it."""
    return data_url(f"image/{picture.encoding}", picture.data)


def _diffusion(job_id: str, made: GeneratedImages) -> DiffusionResult:
    if not made.pictures:
        raise BackendFailed("the model returned no picture; ask again")
    first, *others = made.pictures
    return DiffusionResult(
        image=picture_url(first),
        more_images=[picture_url(picture) for picture in others],
        job_id=job_id,
        width=first.width,
        height=first.height,
        seed=made.seed,
    )


def _files(output: JobOutput) -> list[ResultFile]:
    match output.result:
        case Generated():
            return [ResultFile(TEXT, output.text.encode())]
        case GeneratedImages(pictures=pictures):
            return [ResultFile(f"image/{p.encoding}", p.data) for p in pictures]
        case GeneratedVideo(data=data):
            return [ResultFile(MP4, data)]
        case _:
            return []
