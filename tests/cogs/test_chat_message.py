from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogs.admission import Admission
from cogs.chat import speaks_to
from cogs.chat_message import decode_text, words_of
from danzar.errors import QueueFull


@pytest.mark.parametrize(
    ("data", "text"),
    [
        pytest.param(b"plain", "plain", id="ascii"),
        pytest.param("naïve 🎮".encode(), "naïve 🎮", id="utf-8"),
        pytest.param(b"\xef\xbb\xbfbom", "bom", id="utf-8 with its mark"),
        pytest.param("wide".encode("utf-16"), "wide", id="utf-16"),
        pytest.param(b"", "", id="nothing"),
        pytest.param(b"\x89PNG\r\n\x1a\n\0\0", None, id="a picture"),
        pytest.param(b"text\0text", None, id="zero bytes"),
        pytest.param(b"caf\xe9", None, id="an encoding nobody named"),
        pytest.param(b"\xff\xfe\x00", None, id="half a letter"),
    ],
)
def test_only_text_is_read_as_text(data, text):
    assert decode_text(data) == text


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(data):
    text = decode_text(data)
    assert text is None or "\0" not in text


def test_each_person_and_each_channel_has_its_limit():
    admission = Admission(per_person=1, per_channel=2)
    with admission.enter(1, 10), admission.enter(2, 10):
        with pytest.raises(QueueFull, match="of yours"), admission.enter(1, 11):
            pass
        with pytest.raises(QueueFull, match="in this channel"), admission.enter(3, 10):
            pass
        with admission.enter(3, 11):
            pass


def test_a_place_is_given_back_after_an_error():
    admission = Admission(per_person=1)
    with pytest.raises(ValueError, match="broken"), admission.enter(1, 10):
        raise ValueError("broken")
    with admission.enter(1, 10):
        pass


def test_a_mention_of_the_bot_s_own_role_counts_as_a_mention():
    # The simulated Discord gives bots no role of their own.
    me = SimpleNamespace(id=9)
    roles = [
        SimpleNamespace(id=number, name="r", tags=SimpleNamespace(bot_id=bot))
        for number, bot in ((5, 9), (6, None))
    ]
    guild = SimpleNamespace(channels=[])
    message = SimpleNamespace(
        content="<@&5> hi <@&6>", role_mentions=roles, mentions=[], guild=guild
    )
    assert speaks_to(message, me, None)
    assert words_of(message, me) == "hi @r"
    message.role_mentions = roles[1:]
    assert not speaks_to(message, me, None)
