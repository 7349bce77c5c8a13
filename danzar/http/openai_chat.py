"""``POST /v1/chat/completions``: conversations with a chat model, streamed or in one piece."""

import uuid
from typing import Any

from fastapi import APIRouter, Request, Response

from danzar.core.asker import Asker, RequestClass
from danzar.http.api_auth import Caller, Seated
from danzar.http.api_errors import documented
from danzar.http.api_parts import ApiParts, Parts
from danzar.http.api_route import ApiRoute
from danzar.http.openai_answers import (
    AnswerMessage,
    ChatChoice,
    ChatCompletion,
    Finish,
    usage_of,
)
from danzar.http.openai_ask import Wish
from danzar.http.openai_chat_body import ChatRequest
from danzar.http.openai_choice import choose_model
from danzar.http.openai_desk import Desk
from danzar.http.openai_pictures import PictureDesk
from danzar.http.openai_prompt import chat_messages, conversation_of
from danzar.http.openai_respond import Look, respond
from danzar.http.openai_stream import (
    while_connected,
)
from danzar.http.openai_text import (
    REST_OF_CONTEXT,
    Asked,
    ended,
    sampling_of,
)
from danzar.inference import Outcome
from danzar.workers.contract import Generate

router = APIRouter(route_class=ApiRoute)

_EVENTS = (
    'data: {"object": "chat.completion.chunk", "choices": [{"delta": {"content": "Paris"}, ...}], '
    "...}\n\ndata: [DONE]\n\n"
)
STREAM_DOCUMENT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer; with `stream: true` as server-sent events.",
        "content": {"text/event-stream": {"example": _EVENTS}},
    }
}
_DEFAULT_CONTEXT = 4096  # of the llama backend


@router.post(
    "/chat/completions",
    response_model=ChatCompletion,
    responses={**STREAM_DOCUMENT, **documented(404, 409)},
    summary="Go on with a conversation",
)
async def complete_chat(
    body: ChatRequest, request: Request, parts: Parts, caller: Seated, desk: Desk
) -> Response:
    """Answer the last message; pictures in messages are looked at by the vision models first."""
    asked = await while_connected(request, ask_chat(body, parts, caller, desk))
    return await respond(request, parts, asked, body, Look(ChatShape(), _completion))


async def ask_chat(body: ChatRequest, parts: ApiParts, caller: Caller, desk: PictureDesk) -> Asked:
    """What the model will be asked.

    Raises:
        ApiError: There is no such model, or a picture can't be used.
    """
    model = choose_model(body.model, "chat", parts.config.models, parts.targets())
    seen = await desk.look(body.messages, Asker(RequestClass.VISION, caller.owner))
    messages = chat_messages(body.messages, seen.facts, _context_tokens(parts, model) // 2)
    key = body.danzar_conversation or body.prompt_cache_key
    request = Generate(
        messages,
        max_tokens=body.max_completion_tokens or body.max_tokens or REST_OF_CONTEXT,
        conversation=conversation_of(caller.owner, body.user, key, messages),
        **sampling_of(body, parts.config.bot.chat, facts=bool(seen.facts)),
    )
    wish = Wish(model, request, Asker(RequestClass.CHAT, caller.owner))
    lead = f"{seen.measured}\n\n" if seen.measured and body.danzar_measured else ""
    return Asked(wish, f"chatcmpl-{uuid.uuid4().hex}", lead, seen)


class ChatShape:
    """How the chunks of a chat look."""

    def opening(self, asked: Asked) -> dict[str, Any]:
        """Who speaks."""
        return _chunk(asked, {"role": "assistant", "content": ""}, None)

    def chunk(self, asked: Asked, text: str, reason: Finish | None) -> dict[str, Any]:
        """Some words, or the reason why there are no more."""
        return _chunk(asked, {} if reason else {"content": text}, reason)


def _chunk(asked: Asked, delta: dict[str, str], reason: Finish | None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}
    return {
        "id": asked.id,
        "object": "chat.completion.chunk",
        "created": asked.created,
        "model": asked.wish.model,
        "choices": [choice],
    }


def _completion(asked: Asked, text: str, outcome: Outcome) -> ChatCompletion:
    result, reason = ended(outcome)
    return ChatCompletion(
        id=asked.id,
        created=asked.created,
        model=asked.wish.model,
        choices=[ChatChoice(message=AnswerMessage(content=text), finish_reason=reason)],
        usage=usage_of(result),
        danzar=asked.facts(outcome),
    )


def _context_tokens(parts: ApiParts, model: str) -> int:
    entry = parts.config.models.models.get(model)
    return int(entry.settings.get("n_ctx", 0) if entry else 0) or _DEFAULT_CONTEXT
