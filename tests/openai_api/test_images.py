"""Pictures from words through OpenAI's own client, by a real (untrained) diffusion pipeline."""

import base64
import io

import httpx
import openai
import pytest
from PIL import Image

pytestmark = [
    pytest.mark.process,
    pytest.mark.model,
    pytest.mark.asyncio(loop_scope="package"),
]
CASTLE = {"prompt": "a castle at night", "extra_body": {"seed": 7}}


def opened(data: str | bytes) -> Image.Image:
    file = base64.b64decode(data) if isinstance(data, str) else data
    return Image.open(io.BytesIO(file))


async def test_words_become_pictures_of_the_size_asked_for(api):
    answer = await api.client.images.generate(**CASTLE, model="tiny-sd", size="64x64", n=2)
    assert [opened(picture.b64_json).size for picture in answer.data] == [(64, 64)] * 2
    assert answer.data[0].b64_json != answer.data[1].b64_json
    assert answer.size == "64x64"
    assert answer.model_extra["danzar"]["seed"] == 7
    again = await api.client.images.generate(**CASTLE, size="64x64")  # the model in use
    assert again.data[0].b64_json == answer.data[0].b64_json


async def test_a_url_gives_the_picture_to_whoever_knows_it(api):
    answer = await api.client.images.generate(**CASTLE, size="64x64", response_format="url")
    async with httpx.AsyncClient() as stranger:
        got = await stranger.get(answer.data[0].url)
        assert opened(got.content).size == (64, 64)
        assert got.headers["content-type"] == "image/png"
        assert (await stranger.get(f"{answer.data[0].url}x")).status_code == 404


async def test_a_stream_shows_the_picture_on_its_way(api):
    stream = await api.client.images.generate(**CASTLE, size="64x64", stream=True, partial_images=1)
    events = [event async for event in stream]
    assert [event.type for event in events] == [
        "image_generation.partial_image",
        "image_generation.completed",
    ]
    assert all(opened(event.b64_json).size for event in events)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        pytest.param({"size": "65x64"}, "64x64", id="a side that can't be: the nearest is named"),
        pytest.param({"size": "big"}, "size", id="no size"),
        pytest.param({"n": 99}, "n", id="too many"),
        pytest.param({"output_format": "webp"}, "PNG", id="another format"),
        pytest.param({"prompt": "  "}, "nothing to make", id="no words"),
        pytest.param({"model": "smollm2"}, "/v1/chat/completions", id="a chat model"),
    ],
)
async def test_what_cannot_be_drawn_is_refused(api, asked, says):
    with pytest.raises(openai.BadRequestError, match=says):
        await api.client.images.generate(**{**CASTLE, **asked})
