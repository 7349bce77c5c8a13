"""The body of ``POST /v1/chat/completions``."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from danzar.http.openai_fields import Body, Ignored, Only, shape_of

_NO_TOOLS = "the models here call no tools"
_NO_ODDS = "the odds of single tokens are not given"
_NO_FORMATS = "answers are free text"
_NO_AUDIO = "answers are text"
MOST_STOPS = 16


class TextPart(Body):
    """A piece of text."""

    type: Literal["text"]
    text: str


class ImageUrl(Body):
    """Where a picture is: a ``data:`` URL, or an address that the owner allows."""

    url: str = Field(min_length=1, examples=["data:image/png;base64,iVBORw0KGgo..."])
    detail: Ignored = None


class ImagePart(Body):
    """A picture."""

    type: Literal["image_url"]
    image_url: ImageUrl


ContentPart = Annotated[TextPart | ImagePart, Field(discriminator="type")]
Content = Annotated[
    Annotated[str, Tag("text")] | Annotated[list[ContentPart], Tag("list")],
    Discriminator(shape_of),
]


class Message(Body):
    """One turn. Clients send back what they got, so the empty extras of answers pass."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Content | None = None
    name: Ignored = None
    refusal: Ignored = None
    annotations: Ignored = None
    audio: Annotated[Any, Only((None,), _NO_AUDIO)] = None
    tool_calls: Annotated[Any, Only((None, []), _NO_TOOLS)] = None
    function_call: Annotated[Any, Only((None,), _NO_TOOLS)] = None


class StreamOptions(Body):
    """What a stream tells beside the text."""

    include_usage: bool | None = Field(
        None, description="One more chunk before the end, with the counts of tokens."
    )
    include_obfuscation: Ignored = None


_StopList = Annotated[list[str], Field(max_length=MOST_STOPS)]
Stops = Annotated[
    Annotated[str, Tag("text")] | Annotated[_StopList, Tag("list")], Discriminator(shape_of)
]


class Sampling(Body):
    """How words are chosen, for chats and completions alike.

    What is not given is as ``chat`` in ``bot_config.yaml`` has it.
    """

    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    repeat_penalty: float | None = Field(
        None, ge=0.1, le=10, description="Danzar's own: above 1 keeps small models from looping."
    )
    seed: int | None = Field(None, ge=-(2**63), lt=2**63, description="The same gives the same.")
    stop: Stops | None = None
    n: int | None = Field(1, ge=1, le=1, description="One answer; ask again for another one.")
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    user: str | None = Field(None, description="Keeps the caches of your own users apart.")
    logit_bias: Annotated[Any, Only((None, {}), _NO_ODDS)] = None


class ChatRequest(Sampling):
    """A conversation to go on with."""

    model: str = Field(min_length=1, description="A chat model of GET /v1/models.")
    messages: list[Message] = Field(min_length=1, max_length=4096)
    max_completion_tokens: int | None = Field(
        None, ge=1, description="At most; without it, what is left of the context."
    )
    max_tokens: int | None = Field(None, ge=1, description="The older name of the same.")
    prompt_cache_key: str | None = Field(
        None, description="Which conversation this is, so that its computed beginning is used."
    )
    danzar_conversation: str | None = Field(None, description="Danzar's own name of the same.")
    danzar_measured: bool | None = Field(
        True,
        description="Danzar's own: what was measured in a picture, and was asked for, stands "
        "before the model's own words, as small models phrase it wrongly.",
    )

    logprobs: Annotated[Any, Only((None, False), _NO_ODDS)] = None
    top_logprobs: Annotated[Any, Only((None, 0), _NO_ODDS)] = None
    response_format: Annotated[Any, Only((None, {"type": "text"}), _NO_FORMATS)] = None
    tools: Annotated[Any, Only((None, []), _NO_TOOLS)] = None
    tool_choice: Annotated[Any, Only((None, "none", "auto"), _NO_TOOLS)] = None
    functions: Annotated[Any, Only((None, []), _NO_TOOLS)] = None
    function_call: Annotated[Any, Only((None, "none", "auto"), _NO_TOOLS)] = None
    modalities: Annotated[Any, Only((None, ["text"]), _NO_AUDIO)] = None
    audio: Annotated[Any, Only((None,), _NO_AUDIO)] = None
    web_search_options: Annotated[Any, Only((None,), "nothing is looked up on the web")] = None
    moderation: Annotated[Any, Only((None,), "nothing is moderated")] = None

    metadata: Ignored = None
    store: Ignored = None
    service_tier: Ignored = None
    safety_identifier: Ignored = None
    parallel_tool_calls: Ignored = None
    prediction: Ignored = None
    prompt_cache_options: Ignored = None
    prompt_cache_retention: Ignored = None
    reasoning_effort: Ignored = None
    verbosity: Ignored = None
