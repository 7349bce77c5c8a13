"""``POST /v1/completions``: a chat model goes on with a text as it stands."""

import uuid
from typing import Any

from fastapi import APIRouter, Request, Response

from danzar.core.asker import Asker, RequestClass
from danzar.http.api_auth import Caller, Seated
from danzar.http.api_errors import documented
from danzar.http.api_parts import ApiParts, Parts
from danzar.http.api_route import ApiRoute
from danzar.http.openai_answers import Finish, TextChoice, TextCompletion, usage_of
from danzar.http.openai_ask import Wish
from danzar.http.openai_chat import STREAM_DOCUMENT
from danzar.http.openai_choice import choose_model
from danzar.http.openai_fields import texts_of
from danzar.http.openai_more_bodies import CompletionRequest
from danzar.http.openai_prompt import conversation_of
from danzar.http.openai_respond import Look, respond
from danzar.http.openai_text import (
    Asked,
    ended,
    sampling_of,
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
    return await respond(request, parts, asked, body, Look(TextShape(), _completion))


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
