"""Vectors by a real CLIP through OpenAI's own client, which asks for base64 by itself."""

import httpx
import openai
import pytest

pytestmark = [
    pytest.mark.process,
    pytest.mark.model,
    pytest.mark.asyncio(loop_scope="package"),
]
CONCEPTS = ["a boss fight", "the map of a level", "an enemy attacks"]


def dot(one, other) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


async def embed(api, given, **more):
    return await api.client.embeddings.create(model="clip-doom", input=given, **more)


async def test_texts_get_vectors_of_length_one_in_their_order(api):
    answer = await embed(api, CONCEPTS)
    assert [item.index for item in answer.data] == [0, 1, 2]
    assert all(dot(e.embedding, e.embedding) == pytest.approx(1, abs=1e-5) for e in answer.data)
    assert answer.usage.prompt_tokens == (3 + 2) + (5 + 2) + (3 + 2)
    alone = await embed(api, CONCEPTS[1])
    assert alone.data[0].embedding == pytest.approx(answer.data[1].embedding, abs=1e-5)


async def test_numbers_and_base64_say_the_same(api):
    asked = {"input": CONCEPTS[0], "model": "clip-doom"}
    headers = {"Authorization": f"Bearer {api.key}"}
    async with httpx.AsyncClient(headers=headers) as plain:
        body = {**asked, "encoding_format": "float"}
        answer = await plain.post(f"{api.address}/v1/embeddings", json=body, timeout=60)
    numbers = answer.json()["data"][0]["embedding"]
    assert isinstance(numbers, list)
    decoded = await api.client.embeddings.create(**asked)  # asks for base64
    assert decoded.data[0].embedding == pytest.approx(numbers, abs=1e-6)


async def test_a_picture_lies_nearest_to_what_it_shows(api, low_health):
    pictured = await embed(api, [{"image_url": {"url": low_health}}, *CONCEPTS])
    picture, boss, level, enemy = (item.embedding for item in pictured.data)
    assert dot(picture, picture) == pytest.approx(1, abs=1e-5)
    assert max(dot(picture, boss), dot(picture, enemy)) > dot(picture, level)


async def test_a_text_that_would_be_cut_unseen_is_refused(api):
    with pytest.raises(openai.BadRequestError, match="reads 32") as refused:
        await embed(api, "word " * 100)
    assert refused.value.code == "context_length_exceeded"


@pytest.mark.parametrize(
    ("given", "more", "says"),
    [
        pytest.param([], {}, "input", id="nothing"),
        pytest.param([[1, 2]], {}, "Ids of tokens", id="ids of tokens"),
        pytest.param([1, 2], {}, "Ids of tokens", id="ids of tokens of one text"),
        pytest.param("a", {"dimensions": 8}, "dimensions", id="another length"),
        pytest.param(
            [{"image_url": {"url": "data:image/png;base64,aGFsbG8="}}], {}, "picture", id="a text"
        ),
    ],
)
async def test_what_has_no_vector_is_refused(api, given, more, says):
    with pytest.raises(openai.BadRequestError, match=says):
        await embed(api, given, **more)
    assert (await embed(api, "goes on")).data


async def test_a_chat_model_makes_no_vectors(api):
    with pytest.raises(openai.BadRequestError, match="/v1/chat/completions"):
        await api.client.embeddings.create(model="smollm2", input="a")
