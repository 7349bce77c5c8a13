"""One encrypted socket and the thread that owns it; the same for the bot and for a worker.

A thread, not ``zmq.asyncio``: on Windows that one needs the selector event loop, under which
asyncio can't spawn processes. The thread sleeps in ``poll`` and never spins.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import zmq
from zmq.utils import z85

from danzar.workers.handshakes import HandshakeWatch

log = logging.getLogger(__name__)

_ZAP_ENDPOINT: Final = "inproc://zeromq.zap.01"
_ZAP_KEY_FRAME: Final = 6
_MAX_MESSAGE_BYTES: Final = 512 * 1024**2
_LINGER_MS: Final = 500

Poller = zmq.Poller
Socket = zmq.Socket[bytes]


@dataclass(frozen=True, slots=True)
class Keys:
    """A CURVE key pair as Z85 text. Never logged: ``repr`` hides the secret."""

    public: bytes
    secret: bytes

    def __repr__(self) -> str:
        return "Keys(...)"


def make_keys() -> Keys:
    """A fresh key pair."""
    public, secret = zmq.curve_keypair()
    return Keys(public, secret)


class Link:
    """Sends and receives whole messages; made by ``listen`` or ``connect``, ended by ``close``.

    ``on_message`` and ``on_tick`` are called in the link's own thread and must not block.
    """

    def __init__(
        self,
        context: zmq.Context[Any],
        socket: Socket,
        on_message: Callable[[bytes], None],
        *,
        watch: HandshakeWatch,
        zap: Socket | None = None,
        allowed_key: bytes = b"",
    ) -> None:
        self._context = context
        self._socket = socket
        self._watch = watch
        self._on_message = on_message
        self._zap = zap
        self._allowed_key = allowed_key
        self._outbox_lock = threading.Lock()
        self._inbox, self._outbox = _make_pipe(context)
        self._closed = False
        self._on_tick: Callable[[], None] | None = None
        self._tick_s: float | None = None
        self._next_tick_s = 0.0
        self._thread = threading.Thread(target=self._pump, name="danzar-link", daemon=True)

    @property
    def endpoint(self) -> str:
        """Where the socket listens."""
        return self._socket.getsockopt(zmq.LAST_ENDPOINT).decode().rstrip("\0")  # type: ignore[union-attr]

    def start(self, on_tick: Callable[[], None] | None = None, tick_s: float | None = None) -> None:
        """Begin; ``on_tick`` is called about every ``tick_s`` seconds, the first time at once."""
        self._on_tick = on_tick
        self._tick_s = tick_s
        self._thread.start()

    def send(self, data: bytes) -> None:
        """Hand over one message. Any thread; never blocks; dropped once the link is closed."""
        with self._outbox_lock:
            if not self._closed:
                self._outbox.send(data, copy=False)

    def close(self) -> None:
        """Send what waits (bounded), then end the thread and the sockets. May be repeated."""
        with self._outbox_lock:
            if self._closed:
                return
            self._closed = True
            self._outbox.send(b"")
        if self._thread.is_alive():
            self._thread.join()
        else:
            self._close_sockets()
        self._outbox.close(0)
        self._context.term()

    def _pump(self) -> None:
        poller = Poller()
        for socket in (self._socket, self._inbox, self._watch.events, self._zap):
            if socket is not None:
                poller.register(socket, zmq.POLLIN)
        try:
            while self._turn(poller):
                pass
        finally:
            self._close_sockets()

    def _turn(self, poller: Poller) -> bool:
        """Handle what is there, or sleep until something is. False at the end."""
        ready = dict(poller.poll(self._tick()))
        if self._zap in ready:
            self._authenticate()
        if self._watch.events in ready:
            self._watch.read()
        if self._socket in ready:
            _drain(self._socket, self._receive)
        return self._inbox not in ready or self._forward()

    def _tick(self) -> int | None:
        """Milliseconds until the next tick is due; ``None`` without ticks."""
        if self._on_tick is None or self._tick_s is None:
            return None
        now_s = time.monotonic()
        if now_s >= self._next_tick_s:
            self._next_tick_s = now_s + self._tick_s
            self._on_tick()
        return max(1, round((self._next_tick_s - now_s) * 1000))

    def _receive(self, data: bytes) -> None:
        try:
            self._on_message(data)
        except Exception:  # the thread must outlive any one message
            log.exception("message of %d bytes could not be handled", len(data))

    def _forward(self) -> bool:
        while True:
            try:
                frame = self._inbox.recv(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return True
            if not len(frame):
                return False
            # Without a peer (gone, or never let in) sending would block: then no one waits for it.
            with contextlib.suppress(zmq.Again):
                self._socket.send(frame, zmq.NOBLOCK, copy=False)

    def _authenticate(self) -> None:
        """Answer one ZAP question (ZeroMQ RFC 27): only the one known key may come in."""
        if self._zap is None:
            return
        frames = self._zap.recv_multipart()
        known = frames[_ZAP_KEY_FRAME:] == [z85.decode(self._allowed_key)]
        status = [b"200", b"OK"] if known else [b"400", b"unknown key"]
        self._zap.send_multipart([frames[0], frames[1], *status, b"", b""])

    def _close_sockets(self) -> None:
        self._watch.close()
        self._socket.close(_LINGER_MS)
        self._inbox.close(0)
        if self._zap is not None:
            self._zap.close(0)


def listen(on_message: Callable[[bytes], None], keys: Keys, allowed_key: bytes) -> Link:
    """A link on loopback that only the owner of ``allowed_key`` can connect to."""
    context = zmq.Context()
    zap: Socket = context.socket(zmq.REP)
    zap.bind(_ZAP_ENDPOINT)
    socket = _make_socket(context, keys)
    watch = HandshakeWatch(context, socket)
    socket.curve_server = True
    socket.zap_domain = b"danzar"
    socket.bind("tcp://127.0.0.1:*")
    return Link(context, socket, on_message, watch=watch, zap=zap, allowed_key=allowed_key)


def connect(
    on_message: Callable[[bytes], None], keys: Keys, endpoint: str, server_key: bytes
) -> Link:
    """A link to the one listener that owns ``server_key``."""
    context = zmq.Context()
    socket = _make_socket(context, keys)
    watch = HandshakeWatch(context, socket)
    socket.curve_serverkey = server_key
    socket.connect(endpoint)
    return Link(context, socket, on_message, watch=watch)


def _make_socket(context: zmq.Context[Any], keys: Keys) -> Socket:
    socket: Socket = context.socket(zmq.DEALER)
    socket.curve_publickey, socket.curve_secretkey = keys.public, keys.secret
    # Frames are limited by FrameTaken, texts by their request; nothing may be dropped in between.
    socket.sndhwm = socket.rcvhwm = 0
    socket.maxmsgsize = _MAX_MESSAGE_BYTES
    return socket


def _make_pipe(context: zmq.Context[Any]) -> tuple[Socket, Socket]:
    inbox: Socket = context.socket(zmq.PULL)
    outbox: Socket = context.socket(zmq.PUSH)
    inbox.rcvhwm = outbox.sndhwm = 0
    inbox.bind("inproc://outbox")
    outbox.connect("inproc://outbox")
    return inbox, outbox


def _drain(socket: Socket, receive: Callable[[bytes], None]) -> None:
    while True:
        try:
            data = socket.recv(zmq.NOBLOCK)
        except zmq.Again:
            return
        receive(data)
