"""The answers of OpenAI's endpoints, as their clients read them. Pure.

Beside OpenAI's own fields there is ``danzar``: where it was computed, and what was worse there.
"""

from typing import Any, Literal

from pydantic import BaseModel, Field

from danzar.inference import Outcome, Placed
from danzar.workers.contract import Generated

Finish = Literal["stop", "length"]
Json = dict[str, Any]


class DanzarFacts(BaseModel):
    """What Danzar tells beside the answer."""

    device: str = Field(description="Where the model ran.", examples=["cuda:0"])
    simulated: bool = Field(description="The card is simulated, and the CPU did the work.")
    degraded: str | None = Field(None, description="What forced a worse place, with its number.")
    waited_s: float | None = None
    seconds: float | None = None
    pictures: list[Json] | None = Field(None, description="What was measured in each picture.")
    seed: int | None = None
    notes: list[str] | None = None


class CachedTokens(BaseModel):
    """Tokens of the prompt that were known from earlier requests."""

    cached_tokens: int


class Usage(BaseModel):
    """Counts of tokens."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: CachedTokens


class AnswerMessage(BaseModel):
    """What the model said."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class ChatChoice(BaseModel):
    """The one answer."""

    index: int = 0
    message: AnswerMessage
    finish_reason: Finish
    logprobs: None = None


class ChatCompletion(BaseModel):
    """Answer of ``/v1/chat/completions``."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int = Field(description="Seconds since the epoch.")
    model: str
    choices: list[ChatChoice]
    usage: Usage
    danzar: DanzarFacts


class TextChoice(BaseModel):
    """The one continuation."""

    index: int = 0
    text: str
    finish_reason: Finish
    logprobs: None = None


class TextCompletion(BaseModel):
    """Answer of ``/v1/completions``."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int = Field(description="Seconds since the epoch.")
    model: str
    choices: list[TextChoice]
    usage: Usage
    danzar: DanzarFacts


class ModelFacts(BaseModel):
    """A model that may be asked."""

    id: str
    object: Literal["model"] = "model"
    created: int = Field(0, description="Always 0: it is not known.")
    owned_by: str = "danzar"
    danzar: Json = Field(description="Its role, and where it is.")


class ModelList(BaseModel):
    """Answer of ``/v1/models``."""

    object: Literal["list"] = "list"
    data: list[ModelFacts]


class Embedding(BaseModel):
    """One vector: numbers, or the base64 of 32-bit numbers, little-endian."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingsUsage(BaseModel):
    """Counts of tokens."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsAnswer(BaseModel):
    """Answer of ``/v1/embeddings``."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: EmbeddingsUsage
    danzar: DanzarFacts


class MadePicture(BaseModel):
    """One picture."""

    b64_json: str | None = None
    url: str | None = None
    revised_prompt: None = None


class ImagesAnswer(BaseModel):
    """Answer of ``/v1/images/generations``."""

    created: int = Field(description="Seconds since the epoch.")
    data: list[MadePicture]
    size: str
    output_format: Literal["png"] = "png"
    danzar: DanzarFacts


def usage_of(result: Generated) -> Usage:
    """What a text took."""
    return Usage(
        prompt_tokens=result.prompt_tokens,
        completion_tokens=result.completion_tokens,
        total_tokens=result.prompt_tokens + result.completion_tokens,
        prompt_tokens_details=CachedTokens(cached_tokens=result.reused_tokens),
    )


def facts_of(placed: Placed, outcome: Outcome | None = None, **more: Any) -> DanzarFacts:  # noqa: ANN401
    """Where it runs; with the outcome also how long it took."""
    return DanzarFacts(
        device=placed.device,
        simulated=placed.simulated,
        degraded=placed.degraded,
        waited_s=round(outcome.waited_s, 4) if outcome else None,
        seconds=round(outcome.seconds, 4) if outcome else None,
        **more,
    )


def headers_of(placed: Placed) -> dict[str, str]:
    """Headers that tell the same to programs that don't read the body."""
    headers = {"Danzar-Device": _ascii(placed.device_text)}
    if placed.degraded is not None:
        headers["Danzar-Degraded"] = _ascii(placed.degraded)
    return headers


def _ascii(text: str) -> str:
    """A header's value: printable ASCII on one line."""
    plain = text.encode("ascii", errors="replace").decode("ascii")
    return "".join(char if char.isprintable() else " " for char in plain)
