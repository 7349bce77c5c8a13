"""``POST /v1/completions``: a chat model goes on with a text as it stands."""

import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from danzar.core.asker import Asker, RequestClass
from danzar.http.api_auth import Caller, Seated
from danzar.http.api_errors import documented
from danzar.http.api_parts import ApiParts, Parts
from danzar.http.api_route import ApiRoute
from danzar.http.openai_answers import Finish, TextChoice, TextCompletion, headers_of, usage_of
from danzar.http.openai_ask import Wish
from danzar.http.openai_chat import STREAM_DOCUMENT
from danzar.http.openai_choice import choose_model
from danzar.http.openai_fields import texts_of
from danzar.http.openai_more_bodies import CompletionRequest
from danzar.http.openai_prompt import conversation_of
from danzar.http.openai_stream import (
    DONE,
    AnswerStream,
    begin_stream,
    json_event,
    while_connected,
)
from danzar.http.openai_text import (
    Asked,
    ended,
    sampling_of,
    text_chunks,
    wants_usage,
    whole_text,
)
from danzar.inference import Outcome
from danzar.workers.contract import ChatMessage, Generate

router = APIRouter(route_class=ApiRoute)
_USUAL_TOKENS = 16


@router.post(
    "/completions",
    response_model=TextCompletion,
    responses={**STREAM_DOCUMENT, **documented(404, 409)},
    summary="Go on with a text",
)
async def complete_text(
    body: CompletionRequest, request: Request, parts: Parts, caller: Seated
) -> Response:
    """Continue the prompt, outside of any chat template."""
    asked = _ask(body, parts, caller)
    if body.stream:
        running = await begin_stream(request, _events(parts, asked, body))
        headers = {} if asked.placed is None else headers_of(asked.placed)
        return AnswerStream(running, parts.settings.keep_alive_s, headers)
    text, outcome = await while_connected(request, whole_text(parts, asked))
    answer = _completion(asked, text, outcome)
    return JSONResponse(answer.model_dump(), headers=headers_of(outcome.placed))


def _ask(body: CompletionRequest, parts: ApiParts, caller: Caller) -> Asked:
    model = choose_model(body.model, "chat", parts.config.models, parts.targets())
    messages = (ChatMessage("user", texts_of(body.prompt)[0]),)
    request = Generate(
        messages,
        max_tokens=body.max_tokens or _USUAL_TOKENS,
        conversation=conversation_of(caller.owner, body.user, None, messages),
        raw=True,
        **sampling_of(body, parts.config.bot.chat),
    )
    wish = Wish(model, request, Asker(RequestClass.CHAT, caller.owner))
    return Asked(wish, f"cmpl-{uuid.uuid4().hex}")


class TextShape:
    """How the chunks of a continued text look."""

    def opening(self, asked: Asked) -> dict[str, Any]:
        """An empty piece, which says where it runs."""
        return self.chunk(asked, "", None)

    def chunk(self, asked: Asked, text: str, reason: Finish | None) -> dict[str, Any]:
        """Some words, or the reason why there are no more."""
        choice = {"index": 0, "text": text, "finish_reason": reason, "logprobs": None}
        return {
            "id": asked.id,
            "object": "text_completion",
            "created": asked.created,
            "model": asked.wish.model,
            "choices": [choice],
        }


async def _events(parts: ApiParts, asked: Asked, body: CompletionRequest) -> AsyncGenerator[bytes]:
    chunks = text_chunks(parts, asked, TextShape(), with_usage=wants_usage(body))
    async with aclosing(chunks):
        async for chunk in chunks:
            yield json_event(chunk)
    yield DONE


def _completion(asked: Asked, text: str, outcome: Outcome) -> TextCompletion:
    result, reason = ended(outcome)
    return TextCompletion(
        id=asked.id,
        created=asked.created,
        model=asked.wish.model,
        choices=[TextChoice(text=text, finish_reason=reason)],
        usage=usage_of(result),
        danzar=asked.facts(outcome),
    )
