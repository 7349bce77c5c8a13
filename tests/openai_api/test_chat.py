"""Chats through OpenAI's own client, with a real model behind a real socket."""

import asyncio

import httpx
import openai
import pytest

from danzar.errors import PromptTooLong

pytestmark = [
    pytest.mark.process,
    pytest.mark.model,
    pytest.mark.asyncio(loop_scope="package"),
]

FRANCE = [{"role": "user", "content": "What is the capital of France?"}]


async def streamed(client, **asked):
    """Text, finish reason and the chunk with the usage."""
    stream = await client.chat.completions.create(stream=True, **asked)
    text, reason, usage = "", None, None
    async for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reason = choice.finish_reason or reason
    return text, reason, usage


async def test_an_answer_says_what_it_took_and_where(api):
    answer = await api.client.chat.completions.create(
        model="smollm2", messages=FRANCE, max_tokens=8, temperature=0
    )
    choice = answer.choices[0]
    assert choice.message.role == "assistant"
    assert choice.message.content
    assert choice.finish_reason == "length"
    assert answer.usage.completion_tokens == 8
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 8
    assert answer.model_extra["danzar"]["device"] == "cuda:0"
    assert answer.model_extra["danzar"]["simulated"] is True


async def test_a_stream_brings_the_same_words_as_the_answer_in_one_piece(api):
    asked = {"model": "smollm2", "messages": FRANCE, "max_tokens": 12, "temperature": 0}
    whole = await api.client.chat.completions.create(**asked)
    text, reason, usage = await streamed(
        api.client, **asked, stream_options={"include_usage": True}
    )
    assert text == whole.choices[0].message.content
    assert reason == "length"
    assert usage.completion_tokens == whole.usage.completion_tokens
    assert usage.prompt_tokens == whole.usage.prompt_tokens


async def test_a_stream_without_usage_has_none(api):
    _, _, usage = await streamed(api.client, model="echo", messages=FRANCE)
    assert usage is None


async def test_the_client_without_a_loop_can_stream_too(api):
    def ask() -> str:
        with api.sync_client() as client:
            stream = client.chat.completions.create(model="echo", messages=FRANCE, stream=True)
            return "".join(c.choices[0].delta.content or "" for c in stream if c.choices)

    assert await asyncio.to_thread(ask) == "What is the capital of France?"


async def test_a_later_turn_uses_what_was_computed_for_the_earlier_ones(api):
    client = api.client
    messages = [
        {"role": "system", "content": "You are a librarian who likes long-winded greetings."},
        {"role": "user", "content": "Good morning, which books do you have about the sea?"},
    ]
    reused = []
    for _ in range(3):
        answer = await client.chat.completions.create(
            model="smollm2", messages=messages, max_tokens=8, temperature=0
        )
        reused.append(answer.usage.prompt_tokens_details.cached_tokens)
        messages += [
            {"role": "assistant", "content": answer.choices[0].message.content},
            {"role": "user", "content": "And another one?"},
        ]
    assert 30 < reused[1] < reused[2]


async def test_the_same_seed_says_the_same(api):
    asked = {"model": "smollm2", "messages": FRANCE, "max_tokens": 12, "temperature": 1.5}
    client = api.client
    texts = [
        (await client.chat.completions.create(**asked, seed=seed)).choices[0].message.content
        for seed in (7, 7, -3, -3)
    ]
    assert texts[0] == texts[1]
    assert texts[2] == texts[3]
    assert texts[0] != texts[2]


async def test_a_penalty_keeps_the_model_from_saying_it_again(api):
    asked = {"model": "smollm2", "prompt": "la la la la la la", "temperature": 0, "max_tokens": 24}
    asked["extra_body"] = {"repeat_penalty": 1}
    different = []
    for penalty in (-2, 2):
        answer = await api.client.completions.create(**asked, frequency_penalty=penalty)
        different.append(len(set(answer.choices[0].text.split())))
    assert different[0] < different[1]


async def test_a_stop_sequence_ends_the_answer_before_it(api):
    asked = {"model": "smollm2", "messages": FRANCE, "temperature": 0, "max_tokens": 16}
    whole = (await api.client.chat.completions.create(**asked)).choices[0].message.content
    stop = whole.split()[3]
    answer = await api.client.chat.completions.create(**asked, stop=["not said", stop])
    assert answer.choices[0].message.content == whole[: whole.index(stop)]
    assert answer.choices[0].finish_reason == "stop"
    text, reason, _ = await streamed(api.client, **asked, stop=stop)
    assert (text, reason) == (whole[: whole.index(stop)], "stop")


async def test_roles_and_parts_of_text_are_understood(api):
    answer = await api.client.chat.completions.create(
        model="echo",
        messages=[
            {"role": "developer", "content": "Repeat."},
            {"role": "assistant", "content": None, "tool_calls": None},
            {
                "role": "user",
                "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}],
            },
        ],
    )
    assert answer.choices[0].message.content == "one two"


async def test_defaults_that_clients_send_along_are_harmless(api):
    answer = await api.client.chat.completions.create(
        model="echo",
        messages=FRANCE,
        n=1,
        tools=[],
        tool_choice="none",
        logprobs=False,
        logit_bias={},
        response_format={"type": "text"},
        metadata={"a": "b"},
        store=False,
        service_tier="auto",
        reasoning_effort="low",
        parallel_tool_calls=True,
        user="somebody",
    )
    assert answer.choices[0].message.content == FRANCE[0]["content"]


@pytest.mark.parametrize(
    ("more", "param"),
    [
        pytest.param({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        pytest.param({"logprobs": True}, "logprobs"),
        pytest.param({"response_format": {"type": "json_object"}}, "response_format"),
        pytest.param({"n": 2}, "n"),
        pytest.param({"logit_bias": {"5": 1}}, "logit_bias"),
        pytest.param({"temperature": 3}, "temperature"),
        pytest.param({"max_tokens": 0}, "max_tokens"),
        pytest.param({"extra_body": {"temprature": 1}}, "temprature"),
    ],
)
async def test_what_would_change_the_answer_and_cannot_be_is_refused_by_name(api, more, param):
    with pytest.raises(openai.BadRequestError) as refused:
        await api.client.chat.completions.create(model="echo", messages=FRANCE, **more)
    assert refused.value.param == param
    assert param in refused.value.body["message"]
    assert refused.value.type == "invalid_request_error"


async def test_a_model_that_is_not_there_is_not_found(api):
    with pytest.raises(openai.NotFoundError) as refused:
        await api.client.chat.completions.create(model="smolm2", messages=FRANCE)
    assert refused.value.code == "model_not_found"
    assert "did you mean smollm2?" in refused.value.body["message"]


async def test_a_model_of_another_role_says_where_to_ask_it(api):
    with pytest.raises(openai.BadRequestError, match="/v1/embeddings") as refused:
        await api.client.chat.completions.create(model="clip-doom", messages=FRANCE)
    assert refused.value.param == "model"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_conversation_beyond_the_context_has_its_own_code(api, stream):
    long = [{"role": "user", "content": "word " * 3000}]
    with pytest.raises(openai.BadRequestError) as refused:
        await api.client.chat.completions.create(model="smollm2", messages=long, stream=stream)
    assert refused.value.code == "context_length_exceeded"
    assert "1024" in refused.value.body["message"]
    assert PromptTooLong.__name__ not in refused.value.body["message"]


async def test_a_wrong_key_is_refused_with_openais_own_error(api):
    with pytest.raises(openai.AuthenticationError) as refused:
        await api.client.with_options(api_key="sk-wrong").chat.completions.create(
            model="echo", messages=FRANCE
        )
    assert refused.value.code == "invalid_api_key"


async def test_many_chats_at_once_are_all_answered(api):
    client = api.client
    answers = await asyncio.gather(
        *(
            client.chat.completions.create(
                model="smollm2", messages=[{"role": "user", "content": f"Say {n}"}], max_tokens=4
            )
            for n in range(6)
        )
    )
    assert all(answer.usage.completion_tokens <= 4 for answer in answers)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_hangs_up_stops_the_computing(api, stream):
    """Else it would go on for 100 s."""
    body = {
        "model": "slow-echo",
        "messages": [{"role": "user", "content": "word " * 2000}],
        "stream": stream,
    }
    headers = {"Authorization": f"Bearer {api.key}"}
    async with (
        httpx.AsyncClient(base_url=api.base_url, headers=headers, timeout=60) as client,
        asyncio.TaskGroup() as group,
    ):
        asking = group.create_task(_read_a_little(client, body))
        await api.until_busy("slow-echo")
        if not stream:
            asking.cancel()
    await api.until_idle("slow-echo")


async def _read_a_little(client: httpx.AsyncClient, body: dict) -> None:
    async with client.stream("POST", "/chat/completions", json=body) as answer:
        async for line in answer.aiter_lines():
            if "word" in line:
                return


async def test_a_text_is_continued_as_it_stands(api):
    client = api.client
    asked = {"model": "smollm2", "prompt": "The capital of France is", "temperature": 0}
    whole = await client.completions.create(**asked, max_tokens=4)
    assert "Paris" in whole.choices[0].text
    assert whole.usage.prompt_tokens == 5  # no chat template around it
    stream = await client.completions.create(**asked, max_tokens=4, stream=True)
    assert "".join([c.choices[0].text async for c in stream]) == whole.choices[0].text


async def test_models_are_listed_with_their_route(api):
    listed = (await api.client.models.list()).data
    routes = {model.id: model.model_extra["danzar"]["route"] for model in listed}
    assert routes["smollm2"] == "/v1/chat/completions"
    assert routes["clip-doom"] == "/v1/embeddings"
    assert "media" not in routes
    one = await api.client.models.retrieve("smollm2")
    assert one.model_extra["danzar"]["role"] == "chat"
    with pytest.raises(openai.NotFoundError):
        await api.client.models.retrieve("nope")
