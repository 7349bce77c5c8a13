"""Only the one child that was given the keys can speak to the bot, and it only to this bot."""

import contextlib
import queue

import pytest
import zmq

from danzar.workers import link

pytestmark = pytest.mark.process
SILENCE_S = 0.5
PATIENCE_S = 60.0


@pytest.fixture
def listening():
    child = link.make_keys()
    server = link.make_keys()
    inbox = queue.Queue()
    listener = link.listen(inbox.put, server, child.public)
    listener.start()
    yield listener, server, child, inbox
    listener.close()


def connect(listener, keys, server_key):
    inbox = queue.Queue()
    connected = link.connect(inbox.put, keys, listener.endpoint, server_key)
    connected.start()
    return connected, inbox


def test_messages_go_both_ways_in_order(listening):
    listener, server, child, inbox = listening
    peer, peer_inbox = connect(listener, child, server.public)
    for number in range(100):
        peer.send(b"%d" % number)
    assert [inbox.get(timeout=PATIENCE_S) for _ in range(100)] == [b"%d" % n for n in range(100)]
    listener.send(b"back")
    assert peer_inbox.get(timeout=PATIENCE_S) == b"back"
    peer.close()


def test_another_key_pair_gets_nothing_and_says_nothing(listening):
    listener, server, _, inbox = listening
    stranger, stranger_inbox = connect(listener, link.make_keys(), server.public)
    stranger.send(b"let me in")
    listener.send(b"secret")
    with pytest.raises(queue.Empty):
        stranger_inbox.get(timeout=SILENCE_S)
    assert inbox.empty()
    stranger.close()


def test_a_wrong_server_key_gets_nothing(listening):
    listener, _, child, inbox = listening
    peer, _ = connect(listener, child, link.make_keys().public)
    peer.send(b"hello")
    with pytest.raises(queue.Empty):
        inbox.get(timeout=SILENCE_S)
    peer.close()


def test_a_peer_without_encryption_gets_nothing(listening):
    listener, _, _, inbox = listening
    with zmq.Context() as context, context.socket(zmq.DEALER) as plain:
        plain.linger = 0
        plain.connect(listener.endpoint)
        # Refused before it could send, it would wait for ever.
        with contextlib.suppress(zmq.Again):
            plain.send(b"hello", zmq.DONTWAIT)
        with pytest.raises(queue.Empty):
            inbox.get(timeout=SILENCE_S)


def test_keys_do_not_show_their_secret():
    keys = link.make_keys()
    assert keys.secret.decode() not in repr(keys)


def test_closing_twice_and_sending_afterwards_is_harmless(listening):
    listener, *_ = listening
    listener.close()
    listener.close()
    listener.send(b"late")


def test_what_was_sent_before_closing_still_arrives(listening):
    listener, server, child, inbox = listening
    peer, _ = connect(listener, child, server.public)
    peer.send(b"x" * 1_000_000)
    peer.close()
    assert len(inbox.get(timeout=PATIENCE_S)) == 1_000_000
