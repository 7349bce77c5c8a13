"""What a client sees while it waits, and when something goes wrong on the way."""

import asyncio
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import SimpleNamespace

import httpx
import msgspec
import openai
import pytest
from PIL import Image

from danzar.config.bot import BotConfig
from danzar.config.models import ModelEntry, ModelsConfig, RoleChoice
from danzar.config.settings import Config
from danzar.errors import CannotPlace, QueueFull, WorkerDied
from danzar.http import openai_stream
from danzar.http.api import make_api
from danzar.http.api_parts import ApiParts
from danzar.http.api_server import serve_api
from danzar.inference import Placed
from danzar.inference_fake import Hold, ScriptedInference, says
from danzar.pictures.service import Parts as PictureParts
from danzar.resources.requirement import OptimizationSuggestion
from danzar.workers.contract import (
    Generate,
    Generated,
    GeneratedImages,
    GenerateImages,
    Picture,
    TextDelta,
)

HELLO = {"model": "chat", "messages": [{"role": "user", "content": "Hello"}]}


class OpenDoor:
    """No key is needed."""

    async def find(self, text: str) -> None:
        return None

    async def any_exists(self) -> bool:
        return False


@dataclass
class Scripted:
    inference: ScriptedInference
    address: str
    client: openai.AsyncOpenAI

    def on_hello(self, *script) -> None:
        self.inference.on("chat", Generate, list(script))

    async def raw(self, body: dict) -> list[str]:
        """The lines of a streamed answer."""
        url = f"{self.address}/v1/chat/completions"
        async with (
            httpx.AsyncClient(timeout=30) as client,
            client.stream("POST", url, json={**body, "stream": True}) as answer,
        ):
            return [line async for line in answer.aiter_lines() if line]


@dataclass
class Planned:
    """What the preflight says."""

    verdict: str
    request: GenerateImages
    suggestions: tuple[OptimizationSuggestion, ...]
    text: str


async def small_card(_model: str, request: GenerateImages) -> Planned:
    """Has room for 256 pixels a side."""
    if request.width <= 256:
        return Planned("ready", request, (), "")
    smaller = msgspec.structs.replace(request, width=256, height=256)
    change = OptimizationSuggestion(
        parameter="resolution",
        current_value=request.width,
        suggested_value=256,
        reason="9.0 GiB are needed",
        effect="7.0 GiB less",
        quality_impact="moderate",
        rank=20,
    )
    return Planned("changed", smaller, (change,), "")


@pytest.fixture
async def scripted(tmp_path) -> AsyncIterator[Scripted]:
    """The API on a real socket, with a model that plays scripts."""
    models = {
        "chat": ModelEntry(backend="echo", role="chat"),
        "media": ModelEntry(backend="media", role="media"),
        "sketch": ModelEntry(backend="diffusion", role="imagine"),
    }
    use = RoleChoice(chat="chat", detect=None, rank=None, read=None, media="media")
    config = Config(root=tmp_path, models=ModelsConfig(use=use, models=models))
    api = config.bot.api.model_copy(update={"port": 0, "keep_alive_s": 0.05})
    config = config.model_copy(update={"bot": config.bot.model_copy(update={"api": api})})
    inference = ScriptedInference()
    parts = ApiParts(
        inference=inference,
        jobs=SimpleNamespace(),
        config=config,
        keys=OpenDoor(),
        models=lambda: (),
        devices=lambda: (),
        targets=dict,
        pictures=PictureParts(inference, preflight=small_card),
    )
    async with (
        serve_api(make_api(parts), api, parts.closing) as address,
        httpx.AsyncClient(verify=False, timeout=30) as http,  # without reading certificates
        openai.AsyncOpenAI(
            base_url=f"{address}/v1", api_key="none", max_retries=0, http_client=http
        ) as client,
    ):
        yield Scripted(inference, address, client)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (QueueFull("5 wait already"), openai.RateLimitError),
        (CannotPlace("no card has room: 9.0 GiB are needed"), openai.InternalServerError),
        (WorkerDied("the worker was killed"), openai.InternalServerError),
    ],
)
async def test_what_goes_wrong_before_the_first_word_has_its_own_status(
    scripted, error, kind, stream
):
    scripted.on_hello(error)
    with pytest.raises(kind) as refused:
        await scripted.client.chat.completions.create(**HELLO, stream=stream)
    assert str(error) in refused.value.body["message"]
    if kind is openai.RateLimitError:
        assert int(refused.value.response.headers["Retry-After"]) >= 1


async def test_what_goes_wrong_later_is_the_last_event(scripted):
    scripted.on_hello(TextDelta("Hel"), WorkerDied("the worker was killed"))
    stream = await scripted.client.chat.completions.create(**HELLO, stream=True)
    text = ""
    with pytest.raises(openai.APIError, match="the worker was killed"):
        async for chunk in stream:
            text += chunk.choices[0].delta.content or ""
    assert text == "Hel"


async def test_an_answer_that_is_long_in_coming_shows_signs_of_life(scripted, monkeypatch):
    monkeypatch.setattr(openai_stream, "_HEAD_WITHIN_S", 0.01)
    go_on = asyncio.Event()
    scripted.on_hello(Hold(go_on), *says("Hello"))
    url = f"{scripted.address}/v1/chat/completions"
    lines = []
    async with (
        httpx.AsyncClient(timeout=30) as client,
        client.stream("POST", url, json={**HELLO, "stream": True}) as answer,
    ):
        assert answer.status_code == 200
        async for line in answer.aiter_lines():
            lines += [line] if line else []
            go_on.set()
    assert lines[0] == ": keep-alive"
    assert lines[-1] == "data: [DONE]"
    assert any("Hello" in line for line in lines)


async def test_an_error_after_signs_of_life_is_an_event(scripted, monkeypatch):
    monkeypatch.setattr(openai_stream, "_HEAD_WITHIN_S", 0.01)
    go_on = asyncio.Event()
    scripted.on_hello(Hold(go_on), CannotPlace("no card has room"))
    asking = scripted.client.chat.completions.create(**HELLO, stream=True)
    stream = await asking
    go_on.set()
    with pytest.raises(openai.APIError, match="no card has room"):
        async for _ in stream:
            pass


@pytest.mark.parametrize("stream", [False, True])
async def test_a_worse_place_is_told_in_a_header_and_in_the_body(scripted, stream):
    sentence = "on the CPU: cuda:0 has 1.0 GiB of headroom, ≥ 9.0 GiB are needed"
    scripted.inference.placed = Placed("chat", "cpu", simulated=False, degraded=sentence)
    scripted.on_hello(*says("Hello"))
    asking = scripted.client.chat.completions.with_raw_response
    raw = await asking.create(**HELLO, stream=stream)
    assert raw.headers["Danzar-Degraded"] == sentence.replace("≥", "?")
    assert raw.headers["Danzar-Device"] == "cpu"
    parsed = raw.parse()
    told = [chunk.model_extra async for chunk in parsed] if stream else [parsed.model_extra]
    assert told[0]["danzar"]["degraded"] == sentence


async def test_an_answer_that_somebody_stopped_is_not_passed_off_as_whole(scripted):
    scripted.on_hello(TextDelta("Hel"), Generated("cancelled", 3, 1))
    with pytest.raises(openai.ConflictError):
        await scripted.client.chat.completions.create(**HELLO)


async def test_what_the_client_leaves_out_is_as_the_bot_has_it(scripted):
    scripted.on_hello(*says("Hello"))
    await scripted.client.chat.completions.create(**HELLO)
    await scripted.client.chat.completions.create(
        **HELLO, temperature=0.5, top_p=0.5, frequency_penalty=1, presence_penalty=-1, max_tokens=9
    )
    usual, asked = scripted.inference.requests(Generate)
    chat = BotConfig().chat
    assert (usual.temperature, usual.top_p) == (chat.temperature, chat.top_p)
    assert usual.repeat_penalty == chat.repeat_penalty
    assert (asked.temperature, asked.top_p, asked.max_tokens) == (0.5, 0.5, 9)
    assert (asked.frequency_penalty, asked.presence_penalty) == (1, -1)


async def test_pictures_are_refused_where_nobody_looks(scripted):
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    messages = [{"role": "user", "content": [picture]}]
    with pytest.raises(openai.BadRequestError, match="vision is switched off"):
        await scripted.client.chat.completions.create(model="chat", messages=messages)


async def test_where_nothing_draws_the_setting_is_named(scripted):
    with pytest.raises(openai.NotFoundError, match=r"use\.imagine.*Listed: sketch"):
        await scripted.client.images.generate(prompt="a castle")
    with pytest.raises(openai.NotFoundError, match="dall-e-3"):
        await scripted.client.images.generate(prompt="a castle", model="dall-e-3")


def drawn(request: GenerateImages) -> list:
    size = (request.width, request.height)
    file = io.BytesIO()
    Image.new("RGB", size).save(file, "PNG")
    return [GeneratedImages((Picture(*size, "png", file.getvalue()),), seed=1)]


async def test_a_size_that_does_not_fit_is_not_made_smaller_in_silence(scripted):
    asked = {"prompt": "a castle", "model": "sketch", "size": "512x512"}
    with pytest.raises(openai.InternalServerError, match="256") as refused:
        await scripted.client.images.generate(**asked)
    assert refused.value.code == "insufficient_memory"
    assert refused.value.status_code == 503
    assert not scripted.inference.asked


@pytest.mark.parametrize("more", [{"size": "auto"}, {"extra_body": {"allow_smaller": True}}])
async def test_where_the_client_allows_it_what_fits_is_made_and_told(scripted, more):
    scripted.inference.on("sketch", GenerateImages, drawn)
    asked = {"prompt": "a castle", "model": "sketch", "size": "512x512", **more}
    answer = await scripted.client.images.generate(**asked)
    assert answer.size == "256x256"
    assert "resolution 512 → 256" in answer.model_extra["danzar"]["notes"][0]
