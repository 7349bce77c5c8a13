"""A text as the client wants it: in one piece, or as server-sent events."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from danzar.http.api_parts import ApiParts
from danzar.http.openai_answers import headers_of
from danzar.http.openai_chat_body import Sampling
from danzar.http.openai_stream import DONE, AnswerStream, begin_stream, json_event, while_connected
from danzar.http.openai_text import Asked, Shape, text_chunks, wants_usage, whole_text
from danzar.inference import Outcome


@dataclass(frozen=True, slots=True)
class Look:
    """How one endpoint's answers look, in chunks and whole."""

    shape: Shape
    whole: Callable[[Asked, str, Outcome], BaseModel]


async def respond(
    request: Request, parts: ApiParts, asked: Asked, body: Sampling, look: Look
) -> Response:
    """The answer; a client that hangs up stops the computing.

    Raises:
        danzar.errors.DanzarError: With a message for the client.
    """
    if body.stream:
        running = await begin_stream(request, _events(parts, asked, body, look.shape))
        headers = {} if asked.placed is None else headers_of(asked.placed)
        return AnswerStream(running, parts.settings.keep_alive_s, headers)
    text, outcome = await while_connected(request, whole_text(parts, asked))
    answer = look.whole(asked, text, outcome)
    return JSONResponse(answer.model_dump(), headers=headers_of(outcome.placed))


async def _events(
    parts: ApiParts, asked: Asked, body: Sampling, shape: Shape
) -> AsyncGenerator[bytes]:
    chunks = text_chunks(parts, asked, shape, with_usage=wants_usage(body))
    async with aclosing(chunks):
        async for chunk in chunks:
            yield json_event(chunk)
    yield DONE
