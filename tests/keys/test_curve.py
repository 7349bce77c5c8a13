"""Between processes: a wrong key, or none, gets nothing, and both sides' logs say so."""

import logging
import queue
import time

import pytest
import zmq

from danzar.workers import link

pytestmark = pytest.mark.process
PATIENCE_S = 20.0


@pytest.fixture
def listening():
    child, server, inbox = link.make_keys(), link.make_keys(), queue.Queue()
    listener = link.listen(inbox.put, server, child.public)
    listener.start()
    yield listener, server, child, inbox
    listener.close()


def told(caplog, words):
    """Wait until the log has a line with these words; all warnings so far."""
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        lines = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
        if any(words in line for line in lines):
            return lines
        time.sleep(0.01)
    raise AssertionError(f"nobody said {words!r}")


def hex_and_text(*keys):
    return [key.secret.decode() for key in keys] + [key.public.decode() for key in keys]


def test_a_strangers_key_gets_nothing_and_is_told(listening, caplog):
    listener, server, child, inbox = listening
    stranger, heard = link.make_keys(), queue.Queue()
    peer = link.connect(heard.put, stranger, listener.endpoint, server.public)
    peer.start()
    peer.send(b"let me in")
    listener.send(b"a secret")
    lines = told(caplog, "the key is not the one that is allowed")
    peer.close()
    assert inbox.empty()
    assert heard.empty()
    assert listener.endpoint in " ".join(lines)
    assert not any(key in line for key in hex_and_text(stranger, child) for line in lines)


def test_a_server_with_another_key_gets_nothing_and_both_sides_say_so(listening, caplog):
    listener, _, child, inbox = listening
    peer = link.connect(lambda data: None, child, listener.endpoint, link.make_keys().public)
    peer.start()
    peer.send(b"a prompt")
    end_s = time.monotonic() + PATIENCE_S
    while len(told(caplog, "expected another key")) < 2 and time.monotonic() < end_s:
        time.sleep(0.01)
    peer.close()
    assert len(told(caplog, "expected another key")) == 2
    assert inbox.empty()


def test_a_peer_without_any_key_gets_nothing_and_is_told_once_a_minute(listening, caplog):
    listener, _, _, inbox = listening
    with zmq.Context() as context, context.socket(zmq.DEALER) as plain:
        plain.linger = 0
        plain.reconnect_ivl = 10
        plain.connect(listener.endpoint)
        plain.send(b"hello")
        told(caplog, "spoke unencrypted")
        assert not plain.poll(500)
    lines = [line for line in told(caplog, "spoke unencrypted") if listener.endpoint in line]
    assert len(lines) == 1
    assert inbox.empty()


def test_the_right_key_is_let_in_without_a_word(listening, caplog):
    listener, server, child, inbox = listening
    peer = link.connect(lambda data: None, child, listener.endpoint, server.public)
    peer.start()
    peer.send(b"hello")
    assert inbox.get(timeout=PATIENCE_S) == b"hello"
    peer.close()
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]
