import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from danzar.chat.split import MESSAGE_LIMIT, split_message

_PIECES = st.sampled_from(
    [
        "```",
        "```python\n",
        "\n",
        "\n\n",
        " ",
        "word",
        "A sentence. ",
        "x" * 90,
        "`",
        "é",
        "``",
        "🎮",
    ]
)
_TEXTS = st.lists(_PIECES | st.text(max_size=40), max_size=120).map("".join)
_LIMITS = st.integers(64, 300)


def _marks(text: str) -> int:
    return len(re.findall(r"`{3,}", text))


@given(_TEXTS, _LIMITS)
def test_no_message_is_blank_or_longer_than_the_limit(text, limit):
    messages = split_message(text, limit)
    assert all(message.strip() for message in messages)
    assert all(len(message) <= limit for message in messages)


@given(_TEXTS.filter(lambda text: "`" not in text), _LIMITS)
def test_text_without_code_is_kept_letter_by_letter(text, limit):
    joined = "".join(split_message(text, limit))
    assert "".join(joined.split()) == "".join(text.split())


@given(_TEXTS, _LIMITS)
def test_nothing_but_fences_is_lost_or_reordered(text, limit):
    joined = "".join(split_message(text, limit))
    plain = re.sub(r"[`\s]", "", joined).replace("python", "")
    assert plain == re.sub(r"[`\s]", "", text).replace("python", "")


@given(_TEXTS, _LIMITS)
def test_every_message_closes_its_code_blocks(text, limit):
    assert all(_marks(message) % 2 == 0 for message in split_message(text, limit))


@given(_TEXTS, _LIMITS, st.integers(0, 600))
def test_earlier_messages_stay_as_they_are_while_the_text_grows(text, limit, seen):
    grown, full = split_message(text[:seen], limit), split_message(text, limit)
    settled = grown[:-1]
    assert full[: len(settled)] == settled


def test_a_code_block_is_opened_again_with_its_language():
    code = "\n".join(f"print({number})" for number in range(40))
    first, *others = split_message(f"Here:\n```python\n{code}\n```\nDone.", 200)
    assert first.startswith("Here:\n```python\n")
    assert first.endswith("\n```")
    assert all(message.startswith("```python\n") for message in others)
    assert others[-1].endswith("```\nDone.")


@pytest.mark.parametrize(
    ("text", "first"),
    [
        pytest.param("a" * 50 + "\n\n" + "b " * 40, "a" * 50 + "\n\n", id="paragraph"),
        pytest.param("a" * 50 + "\n" + "b " * 40, "a" * 50 + "\n", id="line"),
        pytest.param("a" * 50 + ". " + "b " * 40, "a" * 50 + ". ", id="sentence"),
        pytest.param("a" * 50 + " " + "b" * 80, "a" * 50 + " ", id="word"),
        pytest.param("a" * 120, "a" * 96, id="nowhere better"),
    ],
)
def test_a_message_ends_at_the_best_border(text, first):
    assert split_message(text, 100)[0] == first


def test_an_answer_of_the_default_size_leaves_room_for_the_footer():
    assert all(len(message) <= MESSAGE_LIMIT - 100 for message in split_message("word " * 2000))


def test_nothing_gives_no_message():
    assert split_message("") == []
    assert split_message(" \n ") == []
