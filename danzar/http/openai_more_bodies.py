"""The bodies of ``POST /v1/completions``, ``/v1/embeddings`` and ``/v1/images/generations``."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from danzar.http.openai_chat_body import ImageUrl, Sampling
from danzar.http.openai_fields import Body, Ignored, Only, shape_of

MOST_INPUTS = 2048
MOST_PICTURES = 10
_Text = Annotated[str, Field(min_length=1)]
_OneText = Annotated[list[_Text], Field(min_length=1, max_length=1)]
_Prompt = Annotated[
    Annotated[_Text, Tag("text")] | Annotated[_OneText, Tag("list")], Discriminator(shape_of)
]


class CompletionRequest(Sampling):
    """A text to go on with, as it stands: no chat template is put around it."""

    model: str = Field(min_length=1, description="A chat model of GET /v1/models.")
    prompt: _Prompt
    max_tokens: int | None = Field(16, ge=1)
    best_of: Annotated[Any, Only((None, 1), "one text is made")] = None
    echo: Annotated[Any, Only((None, False), "the prompt is not repeated")] = None
    logprobs: Annotated[Any, Only((None,), "the odds of single tokens are not given")] = None
    suffix: Annotated[Any, Only((None, ""), "texts are continued, not filled in")] = None


class PictureInput(Body):
    """Danzar's own: a picture instead of a text, in the same space of vectors."""

    image_url: ImageUrl


_Input = Annotated[
    Annotated[_Text, Tag("text")] | Annotated[PictureInput, Tag("object")],
    Discriminator(
        shape_of,
        custom_error_type="no_text",
        custom_error_message="must be a text, or {{image_url: ...}}. Ids of tokens are not taken: "
        "send the texts themselves (LangChain: check_embedding_ctx_length=False)",
    ),
]
_InputList = Annotated[list[_Input], Field(min_length=1, max_length=MOST_INPUTS)]
_Inputs = Annotated[
    Annotated[_Text, Tag("text")]
    | Annotated[PictureInput, Tag("object")]
    | Annotated[_InputList, Tag("list")],
    Discriminator(shape_of),
]


class EmbeddingsRequest(Body):
    """Texts or pictures to make vectors of."""

    model: str = Field(min_length=1, description="A CLIP model of GET /v1/models (role rank).")
    input: _Inputs
    encoding_format: Literal["float", "base64"] | None = "float"
    dimensions: Annotated[Any, Only((None,), "a CLIP's vectors have one length")] = None
    user: Ignored = None


class ImagesRequest(Body):
    """Words to make pictures of."""

    prompt: str = Field(min_length=1, max_length=32_000)
    model: str | None = Field(None, description="None: the one that use.imagine names.")
    n: int | None = Field(1, ge=1, le=MOST_PICTURES)
    size: str | None = Field(
        None,
        pattern=r"^(auto|[1-9]\d{1,3}x[1-9]\d{1,3})$",
        description="WIDTHxHEIGHT in pixels; auto: as the model is configured.",
        examples=["512x512"],
    )
    response_format: Literal["b64_json", "url"] | None = "b64_json"
    seed: int | None = Field(None, ge=0, lt=2**32, description="Danzar's own, as the next four.")
    negative_prompt: str | None = Field(None, max_length=32_000)
    steps: int | None = Field(None, ge=1, le=1000)
    guidance: float | None = Field(None, ge=0, le=100)
    allow_smaller: bool | None = Field(
        False, description="Where there is no room, make it smaller than its size says."
    )
    stream: bool | None = False
    partial_images: int | None = Field(None, ge=0, le=3)
    output_format: Annotated[Any, Only((None, "png"), "pictures are PNG files")] = None
    background: Annotated[Any, Only((None, "auto", "opaque"), "no part is transparent")] = None
    moderation: Ignored = None
    output_compression: Ignored = None
    quality: Ignored = None
    style: Ignored = None
    user: Ignored = None
