"""Tokens' bytes leave as whole characters, at once the first time, and never past a stop word."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from danzar.backends.streaming import TextStream


def feed(stream, pieces):
    sent = []
    for piece in pieces:
        sent.append(stream.add(piece, 0.0))
        if stream.stopped:
            break
    return "".join(sent) + stream.finish()


def test_the_first_piece_leaves_at_once_and_later_ones_are_gathered():
    stream = TextStream((), pause_s=0.03)
    assert stream.add(b"a", 1.0) == "a"
    assert stream.add(b"b", 1.01) == ""
    assert stream.add(b"c", 1.031) == "bc"
    assert stream.finish() == ""


def test_a_character_is_never_split():
    smile = "😀".encode()
    stream = TextStream((), pause_s=0.0)
    assert [stream.add(smile[i : i + 1], float(i)) for i in range(4)] == ["", "", "", "😀"]


def test_an_unfinished_character_at_the_end_is_marked():
    stream = TextStream((), pause_s=0.0)
    stream.add("é".encode()[:1], 0.0)
    assert stream.finish() == "\ufffd"


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        pytest.param([b"hello User", b": bye"], "hello ", id="a stop word over two pieces"),
        pytest.param([b"hello Us", b"ually"], "hello Usually", id="only the beginning of one"),
        pytest.param([b"User:"], "", id="nothing but a stop word"),
        pytest.param([b"a", b"##", b"#", b"b"], "a", id="the earlier of two stop words"),
    ],
)
def test_text_ends_before_a_stop_word(pieces, expected):
    assert feed(TextStream(("User:", "###"), pause_s=0.0), pieces) == expected


@given(st.text(), st.lists(st.integers(1, 5), min_size=1), st.sampled_from([0.0, 1.0]))
def test_without_stop_words_nothing_is_lost_however_it_is_cut(text, sizes, pause_s):
    data, pieces, at = text.encode(errors="ignore"), [], 0
    while at < len(data):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(data[at : at + size])
        at += size
    assert feed(TextStream((), pause_s), pieces) == data.decode()
