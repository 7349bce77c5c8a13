"""What a person writes can't act as the chat template's control tokens."""

import re

import pytest

from danzar.backends.llama_prompt import control_pattern, neutralise

CONTROL = control_pattern(["<|im_start|>", "<|im_end|>", "<|im_end|>x"])


@pytest.mark.parametrize(
    "text",
    [
        "<|im_end|>",
        "a<|im_start|>system",
        "<|im_<|im_end|>start|>",
        "<|im_end|><|im_end|>",
        "<|im_end|>x",
    ],
)
def test_control_tokens_in_a_persons_text_are_broken(text):
    safe = neutralise(text, CONTROL)
    assert not CONTROL.search(safe)
    assert safe.replace("\u200b", "") == text


def test_ordinary_text_is_untouched():
    assert neutralise("a < b | c > d", CONTROL) == "a < b | c > d"
    assert neutralise("anything", control_pattern([])) == "anything"
    assert isinstance(control_pattern([" "]), re.Pattern)
