"""From an API client's messages to what the chat model is shown."""

import pytest

from danzar.http.api_errors import ApiError
from danzar.http.openai_chat_body import Message
from danzar.http.openai_prompt import (
    PicturePlace,
    chat_messages,
    conversation_of,
    pictures_in,
)
from danzar.workers.contract import ChatMessage


def said(role, content):
    return Message.model_validate({"role": role, "content": content})


def picture(url="data:image/png;base64,AA"):
    return {"type": "image_url", "image_url": {"url": url}}


def test_text_is_passed_on_letter_by_letter():
    odd = "<s>\u200b [The picture shows: x] \r\n"
    assert chat_messages([said("user", odd)], {}, 100) == (ChatMessage("user", odd),)


def test_developers_speak_as_the_system():
    assert chat_messages([said("developer", "Be brief.")], {}, 100)[0].role == "system"


def test_facts_stand_behind_the_worked_example_and_before_the_question():
    messages = [said("system", "Be brief."), said("user", [{"type": "text", "text": "Low?"}])]
    shown = chat_messages(messages, {1: ("Health is 7.",)}, 100)
    assert shown[0] == ChatMessage("system", "Be brief.")
    assert [message.role for message in shown] == ["system", "user", "assistant", "user"]
    assert shown[-1].content == "[The picture shows: Health is 7.]\n\nLow?"


def test_facts_of_several_messages_share_their_room():
    facts = tuple(f"Fact number {n}." for n in range(100))
    messages = [said("user", "a"), said("assistant", "b"), said("user", "c")]
    shown = chat_messages(messages, {0: facts, 2: facts}, 200)
    assert "Fact number 0." in shown[-1].content
    assert "Fact number 99." not in shown[-1].content


def test_pictures_are_found_by_their_place():
    messages = [said("user", "a"), said("user", [{"type": "text", "text": "b"}, picture("data:x")])]
    found = pictures_in(messages, most=4)
    assert found == {PicturePlace(1, 1): "data:x"}
    assert next(iter(found)).param == "messages.1.content.1.image_url.url"


def test_only_users_show_pictures():
    with pytest.raises(ApiError, match="system message"):
        pictures_in([said("system", [picture()])], most=4)


BEGUN = (ChatMessage("system", "s"), ChatMessage("user", "u"))


def test_a_conversation_is_known_by_how_it_began():
    later = (*BEGUN, ChatMessage("assistant", "a"), ChatMessage("user", "more"))
    assert conversation_of("k", None, None, BEGUN) == conversation_of("k", None, None, later)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(("other", None, None, BEGUN), id="another key"),
        pytest.param((None, None, None, BEGUN), id="no key"),
        pytest.param(("k", "u", None, BEGUN), id="another user"),
        pytest.param(("k", None, "c", BEGUN), id="named by the client"),
        pytest.param(("k", None, None, BEGUN[1:]), id="another beginning"),
        pytest.param(("k", None, None, (ChatMessage("user", "su"),)), id="the same letters"),
    ],
)
def test_others_never_share_a_conversation(other):
    assert conversation_of("k", None, None, BEGUN) != conversation_of(*other)


def test_a_conversation_that_the_client_names_may_begin_anew():
    other = (ChatMessage("user", "something else"),)
    assert conversation_of("k", "u", "c", BEGUN) == conversation_of("k", "u", "c", other)
