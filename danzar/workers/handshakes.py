"""Tells in the log that someone knocked at an encrypted socket with a wrong key, or with none.

ZeroMQ drops such a peer without a word, and the peer tries again several times a second: one line
a minute says how often.
"""

import itertools
import logging
import struct
import time
from typing import Any, Final

import zmq

log = logging.getLogger(__name__)

_EVENTS: Final = int(
    zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)
_EVENT_FRAME: Final = struct.Struct("=hi")
_AGAIN_AFTER_S: Final = 60.0
_WRONG_KEY: Final = "the key is not the one that is allowed"
_NO_HANDSHAKE: Final = "the other side spoke unencrypted, expected another key, or hung up"
_numbers = itertools.count()


class HandshakeWatch:
    """Watches one socket; belongs to the thread that owns it.

    Attributes:
        events: Has something to read when a handshake failed; for that thread's poller.
    """

    def __init__(self, context: zmq.Context[Any], socket: zmq.Socket[bytes]) -> None:
        """Watch from now on; before the socket is bound or connected."""
        address = f"inproc://handshakes-{next(_numbers)}"
        self._socket = socket
        self._failed = 0
        self._told_s: float | None = None
        socket.monitor(address, _EVENTS)
        self.events: zmq.Socket[bytes] = context.socket(zmq.PAIR)
        self.events.connect(address)

    def read(self) -> None:
        """Take what there is, and tell it unless it was told within the last minute."""
        reason = _NO_HANDSHAKE
        while self.events.poll(0):
            event, _ = _EVENT_FRAME.unpack(self.events.recv_multipart()[0])
            reason = _WRONG_KEY if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH else _NO_HANDSHAKE
            self._failed += 1
        now_s = time.monotonic()
        if self._told_s is None or now_s - self._told_s >= _AGAIN_AFTER_S:
            self._told_s = now_s
            log.warning(
                "%d connections at %s failed: %s",
                self._failed,
                self._socket.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0"),
                reason,
            )
            self._failed = 0

    def close(self) -> None:
        """Watch no more. May be repeated."""
        if not self.events.closed:
            self._socket.disable_monitor()
            self.events.close(0)
