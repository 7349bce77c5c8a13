"""``POST /v1/images/generations``: pictures from words, with the preflight of ``!imagine``."""

import base64
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from danzar.http.api_auth import Seated
from danzar.http.api_errors import documented
from danzar.http.api_parts import ApiParts, Parts
from danzar.http.api_route import ApiRoute
from danzar.http.openai_answers import ImagesAnswer, MadePicture, headers_of
from danzar.http.openai_draw import (
    Drawing,
    draw,
    drawing_facts,
    drawing_steps,
    files_in,
    plan_drawing,
    size_of,
)
from danzar.http.openai_files import Files, PictureFiles
from danzar.http.openai_more_bodies import ImagesRequest
from danzar.http.openai_stream import (
    AnswerStream,
    begin_stream,
    json_event,
    while_connected,
)
from danzar.inference import Outcome
from danzar.pictures.made import File

router = APIRouter(route_class=ApiRoute)
_EVENTS = (
    "event: image_generation.completed\n"
    'data: {"type": "image_generation.completed", "b64_json": "iVBORw0KGgo...", ...}\n\n'
)


@router.post(
    "/images/generations",
    response_model=ImagesAnswer,
    responses={
        200: {"content": {"text/event-stream": {"example": _EVENTS}}},
        **documented(404, 409),
    },
    summary="Make pictures",
)
async def make_images(
    body: ImagesRequest, request: Request, parts: Parts, caller: Seated, files: Files
) -> Response:
    """Make pictures of a text; ``stream: true`` shows them on their way."""
    drawing = await while_connected(request, plan_drawing(body, parts, caller))
    if body.stream:
        running = await begin_stream(request, _events(parts, drawing, body))
        headers = {} if drawing.placed is None else headers_of(drawing.placed)
        return AnswerStream(running, parts.settings.keep_alive_s, headers)
    outcome = await while_connected(request, draw(parts, drawing))
    made = files_in(parts, drawing, outcome)
    address = str(request.base_url).rstrip("/")
    data = [_told(file, body, files, address) for file in made]
    answer = ImagesAnswer(
        created=drawing.created,
        data=data,
        size=size_of(outcome, drawing),
        danzar=drawing_facts(drawing, outcome),
    )
    return JSONResponse(answer.model_dump(), headers=headers_of(outcome.placed))


def _told(file: File, body: ImagesRequest, files: PictureFiles, address: str) -> MadePicture:
    if body.response_format == "url":
        return MadePicture(url=f"{address}/v1/images/files/{files.add(file.data)}")
    return MadePicture(b64_json=base64.b64encode(file.data).decode("ascii"))


async def _events(parts: ApiParts, drawing: Drawing, body: ImagesRequest) -> AsyncGenerator[bytes]:
    """OpenAI's events: pictures on their way, then each one that is done."""
    shown, most = 0, body.partial_images or 0
    async with aclosing(drawing_steps(parts, drawing)) as steps:
        async for step in steps:
            if isinstance(step, Outcome):
                facts = drawing_facts(drawing, step).model_dump(exclude_none=True)
                for file in files_in(parts, drawing, step):
                    yield _event(drawing, "completed", file.data, {"danzar": facts})
            elif step.preview is not None and shown < most and step.step < step.steps:
                more = {"partial_image_index": shown, "output_format": step.preview.encoding}
                yield _event(drawing, "partial_image", step.preview.data, more)
                shown += 1


def _event(drawing: Drawing, kind: str, data: bytes, more: dict[str, Any]) -> bytes:
    name = f"image_generation.{kind}"
    body = {
        "type": name,
        "b64_json": base64.b64encode(data).decode("ascii"),
        "created_at": drawing.created,
        "size": f"{drawing.request.width}x{drawing.request.height}",
        "quality": "auto",
        "background": "opaque",
        "output_format": "png",
        **more,
    }
    return json_event(body, name)
