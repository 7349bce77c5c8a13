"""A node obeys what a known operator really sent to it, just now, once; and nothing else."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from danzar.keys.commands import (
    CLOCK_SKEW_S,
    MAX_COMMAND_BYTES,
    MOST_VALID_S,
    CommandGate,
    new_operator_key,
    sign_command,
)
from danzar.keys.errors import CommandRefused, KeyFileBad
from danzar.keys.operators import (
    operator_key_pem,
    operators_text,
    read_operator_key,
    read_operators,
)

KEY = new_operator_key("main")
OTHER = new_operator_key("main")
NOW_S = 1_800_000_000.0


def gate(node="pc2", started_s=NOW_S - 1000, operators=None):
    return CommandGate(node, {"main": KEY.public} if operators is None else operators, started_s)


@given(st.binary(max_size=2000), st.floats(1, MOST_VALID_S), st.floats(0, 1))
def test_a_good_command_comes_out_as_it_went_in(body, valid_s, part):
    data = sign_command(KEY, "pc2", body, NOW_S, valid_s)
    opened = gate().open(data, NOW_S + part * valid_s)
    assert (opened.operator, opened.body) == ("main", body)


@given(st.data())
def test_no_changed_byte_gets_through(data):
    signed = sign_command(KEY, "pc2", b'{"unload": "qwen"}', NOW_S)
    place = data.draw(st.integers(0, len(signed) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != signed[place]))
    changed = signed[:place] + bytes([byte]) + signed[place + 1 :]
    try:
        opened = gate().open(changed, NOW_S)
    except CommandRefused:
        return
    # Base64's last character has bits that mean nothing: the command is then the same one.
    assert opened == gate().open(signed, NOW_S)


@given(st.binary(max_size=300))
def test_noise_is_refused(noise):
    with pytest.raises(CommandRefused):
        gate().open(noise, NOW_S)


def test_a_command_counts_once():
    door, data = gate(), sign_command(KEY, "pc2", b"x", NOW_S)
    door.open(data, NOW_S)
    with pytest.raises(CommandRefused, match="second time"):
        door.open(data, NOW_S + 1)


def test_the_same_command_signed_again_counts_again():
    door = gate()
    for _ in range(3):
        door.open(sign_command(KEY, "pc2", b"x", NOW_S), NOW_S)


def test_another_node_does_not_take_it():
    with pytest.raises(CommandRefused, match="for pc2, not for pc3"):
        gate("pc3").open(sign_command(KEY, "pc2", b"x", NOW_S), NOW_S)


@pytest.mark.parametrize(
    "operators",
    [
        pytest.param({}, id="nobody may"),
        pytest.param({"other": KEY.public}, id="the key under another name"),
        pytest.param({"main": OTHER.public}, id="the name with another key"),
    ],
)
def test_strangers_are_refused(operators):
    with pytest.raises(CommandRefused):
        gate(operators=operators).open(sign_command(KEY, "pc2", b"x", NOW_S), NOW_S)


@given(st.floats(-10_000, 10_000))
def test_it_is_good_from_its_moment_to_its_end_give_or_take_the_clocks(passed_s):
    data = sign_command(KEY, "pc2", b"x", NOW_S, 30.0)
    good = -CLOCK_SKEW_S <= passed_s <= 30.0 + CLOCK_SKEW_S
    try:
        gate(started_s=NOW_S - 20_000).open(data, NOW_S + passed_s)
        taken = True
    except CommandRefused:
        taken = False
    # At the very edge, rounding of seconds since the epoch may decide either way.
    if min(abs(passed_s + CLOCK_SKEW_S), abs(passed_s - 30.0 - CLOCK_SKEW_S)) > 1e-3:
        assert taken == good


def test_a_node_believes_no_command_from_before_its_start():
    data = sign_command(KEY, "pc2", b"x", NOW_S, 300.0)
    with pytest.raises(CommandRefused, match="older than this start"):
        gate(started_s=NOW_S + 60).open(data, NOW_S + 61)


def test_nobody_can_sign_a_command_that_is_good_for_long():
    with pytest.raises(ValueError, match="300"):
        sign_command(KEY, "pc2", b"x", NOW_S, MOST_VALID_S + 1)
    with pytest.raises(ValueError, match="too large"):
        sign_command(KEY, "pc2", b"x" * MAX_COMMAND_BYTES, NOW_S)


def test_a_signature_for_another_purpose_is_none():
    statement = msgspec.json.decode(sign_command(KEY, "pc2", b"x", NOW_S))["statement"]
    bare = KEY.secret.sign(msgspec.json.decode(b'"' + statement.encode() + b'"', type=bytes))
    envelope = {"statement": statement, "signature": bare}
    with pytest.raises(CommandRefused, match="not signed"):
        gate().open(msgspec.json.encode(envelope), NOW_S)


def test_what_a_node_remembers_is_bounded(monkeypatch):
    monkeypatch.setattr("danzar.keys.commands.MAX_NONCES", 10)
    door = gate()
    for _ in range(10):
        door.open(sign_command(KEY, "pc2", b"x", NOW_S), NOW_S)
    with pytest.raises(CommandRefused, match="within minutes"):
        door.open(sign_command(KEY, "pc2", b"x", NOW_S), NOW_S)
    later_s = NOW_S + 100
    door.open(sign_command(KEY, "pc2", b"x", later_s), later_s)


def test_keys_outlive_their_files_and_hide_their_secret(tmp_path):
    (tmp_path / "operator.key").write_bytes(operator_key_pem(KEY))
    (tmp_path / "operators.txt").write_bytes(operators_text({"main": KEY.public}))
    key = read_operator_key(tmp_path / "operator.key")
    door = gate(operators=read_operators(tmp_path / "operators.txt"))
    assert door.open(sign_command(key, "pc2", b"x", NOW_S), NOW_S).operator == "main"
    assert repr(key) == "OperatorKey('main')"


@pytest.mark.parametrize("content", [b"", b"nonsense", b"main AAAA\n", b"main not-base64!\n"])
def test_a_damaged_key_file_is_named(tmp_path, content):
    file = tmp_path / "f"
    file.write_bytes(content)
    with pytest.raises(KeyFileBad, match=str(file)):
        read_operator_key(file)
    if content:
        with pytest.raises(KeyFileBad, match=str(file)):
            read_operators(file)
