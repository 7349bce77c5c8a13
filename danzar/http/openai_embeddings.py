"""``POST /v1/embeddings``: vectors of texts and of pictures, in one space, by CLIP."""

import base64
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from danzar.core.asker import Asker, RequestClass
from danzar.errors import BackendFailed, DanzarError
from danzar.http.api_auth import Caller, Seated
from danzar.http.api_errors import documented
from danzar.http.api_parts import ApiParts, Parts
from danzar.http.api_route import ApiRoute
from danzar.http.openai_answers import (
    Embedding,
    EmbeddingsAnswer,
    EmbeddingsUsage,
    facts_of,
    headers_of,
)
from danzar.http.openai_ask import Wish, ask_once
from danzar.http.openai_choice import choose_model
from danzar.http.openai_desk import Desk
from danzar.http.openai_more_bodies import EmbeddingsRequest, PictureInput
from danzar.http.openai_pictures import PictureDesk, refused_picture
from danzar.http.openai_stream import while_connected
from danzar.inference import Outcome
from danzar.workers.contract import (
    DecodedPicture,
    DecodePicture,
    Embeddings,
    EmbedPictures,
    EmbedTexts,
    Picture,
)

router = APIRouter(route_class=ApiRoute)
Vector = tuple[float, ...]


@dataclass(slots=True)
class _Vectors:
    """Vectors by the place of their input, and what they took."""

    by_place: dict[int, Vector]
    tokens: int
    last: Outcome


@router.post(
    "/embeddings",
    response_model=EmbeddingsAnswer,
    responses=documented(404, 409),
    summary="Vectors of texts or pictures",
)
async def embed(
    body: EmbeddingsRequest, request: Request, parts: Parts, caller: Seated, desk: Desk
) -> Response:
    """Vectors of length 1: the more two inputs have in common, the larger their dot product."""
    model = choose_model(body.model, "rank", parts.config.models, parts.targets())
    made = await while_connected(request, _Embedder(parts, caller, desk, model).embed(body))
    answer = EmbeddingsAnswer(
        data=[
            Embedding(index=place, embedding=_written(made.by_place[place], body.encoding_format))
            for place in sorted(made.by_place)
        ],
        model=model,
        usage=EmbeddingsUsage(prompt_tokens=made.tokens, total_tokens=made.tokens),
        danzar=facts_of(made.last.placed, made.last),
    )
    return JSONResponse(answer.model_dump(), headers=headers_of(made.last.placed))


@dataclass(frozen=True, slots=True)
class _Embedder:
    """Asks one model for one caller."""

    parts: ApiParts
    caller: Caller
    desk: PictureDesk
    model: str

    async def embed(self, body: EmbeddingsRequest) -> _Vectors:
        inputs = body.input if isinstance(body.input, list) else [body.input]
        texts = {place: one for place, one in enumerate(inputs) if isinstance(one, str)}
        urls = {
            place: one.image_url.url
            for place, one in enumerate(inputs)
            if isinstance(one, PictureInput)
        }
        made: list[_Vectors] = []
        if texts:
            request = EmbedTexts(tuple(texts.values()))
            made.append(_placed_vectors(list(texts), await self._ask(request)))
        if urls:
            pictures = await self._decode_all(urls)
            made.append(_placed_vectors(list(urls), await self._ask(EmbedPictures(pictures))))
        for more in made[1:]:
            made[0].by_place |= more.by_place
        return made[0]

    async def _ask(self, request: EmbedTexts | EmbedPictures) -> Outcome:
        asker = Asker(RequestClass.VISION, self.caller.owner)
        return await ask_once(self.parts, Wish(self.model, request, asker))

    async def _decode_all(self, urls: dict[int, str]) -> tuple[Picture, ...]:
        return tuple([await self._decode(url, f"input.{n}") for n, url in urls.items()])

    async def _decode(self, url: str, param: str) -> Picture:
        """An upright picture; the file is a stranger's, so a worker opens it."""
        limits = self.parts.config.bot.pictures
        data = await self.desk.read(url, param)
        request = DecodePicture(data, limits.max_pixels, limits.max_side)
        asker = Asker(RequestClass.VISION, self.caller.owner)
        try:
            outcome = await self.parts.inference.call(
                self.parts.config.models.use.media, request, asker=asker
            )
        except DanzarError as error:
            raise refused_picture(error, param) from error
        if not isinstance(outcome.result, DecodedPicture):
            raise BackendFailed(f"the picture was answered with {type(outcome.result).__name__}")
        return outcome.result.picture


def _placed_vectors(places: Sequence[int], outcome: Outcome) -> _Vectors:
    result = outcome.result
    if not isinstance(result, Embeddings):
        raise BackendFailed(f"{outcome.placed.model} answered with {type(result).__name__}")
    return _Vectors(dict(zip(places, result.vectors, strict=True)), result.tokens, outcome)


def _written(vector: Vector, encoding: str | None) -> list[float] | str:
    if encoding == "base64":
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode("ascii")
    return list(vector)
