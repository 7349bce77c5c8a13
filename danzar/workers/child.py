"""The worker process: ``python -m danzar.workers.child``, started by ``WorkerProcess`` only.

It reads one JSON line from stdin (keys never touch argv, environment or disk) and ends itself
when stdin closes, because then the bot is gone.
"""

import ctypes
import faulthandler
import os
import signal
import sys
import threading
from typing import Final

import msgspec
import psutil

from danzar.heap import use_one_heap
from danzar.workers import link, protocol
from danzar.workers.host import Host
from danzar.workers.tidy import tidy_until_shutdown
from danzar.workers.trim import allocator

_CLOSE_S: Final = 4.0
_PARENT_GONE: Final = 70
_PR_SET_PDEATHSIG: Final = 1


class Boot(msgspec.Struct, frozen=True):
    """What the bot hands over on stdin.

    Attributes:
        address_space_bytes: Limit on the process's memory (Linux); ``None`` is no limit.
    """

    engine: str
    endpoint: str
    server_key: str
    public_key: str
    secret_key: str
    heartbeat_s: float
    parent_pid: int
    address_space_bytes: int | None = None


class _Vitals:
    """This process's own figures, for heartbeats."""

    def __init__(self) -> None:
        self._process = psutil.Process()

    def read(self, host: Host) -> protocol.Heartbeat:
        rss_bytes = self._process.memory_info().rss
        return protocol.Heartbeat(rss_bytes, allocator(), host.busy(), host.caches())


def main() -> None:
    """Serve until told to shut down or left alone."""
    faulthandler.enable()
    use_one_heap()
    boot = msgspec.json.decode(sys.stdin.buffer.readline(), type=Boot)
    _die_with_parent(boot.parent_pid)
    _limit_memory(boot.address_space_bytes)
    _serve(boot)
    # Not sys.exit: native libraries' teardown can hang or crash after the models are closed.
    os._exit(0)


def _serve(boot: Boot) -> None:
    keys = link.Keys(boot.public_key.encode(), boot.secret_key.encode())
    wire = link.connect(
        lambda data: _receive(host, data), keys, boot.endpoint, boot.server_key.encode()
    )
    host = Host(boot.engine, lambda message: wire.send(protocol.encode(message)))
    vitals = _Vitals()
    wire.send(protocol.encode(protocol.Ready(os.getpid(), boot.engine)))
    wire.start(lambda: wire.send(protocol.encode(vitals.read(host))), boot.heartbeat_s)
    tidy_until_shutdown(host)
    host.close(_CLOSE_S)
    wire.close()


def _receive(host: Host, data: bytes) -> None:
    message = protocol.decode_to_worker(data)
    if message is None:
        sys.stderr.write(f"dropped {len(data)} bytes that are no message\n")
    else:
        host.handle(message)


def _die_with_parent(parent_pid: int) -> None:
    threading.Thread(target=_watch_stdin, name="stdin", daemon=True).start()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent_pid:
            os._exit(_PARENT_GONE)


def _watch_stdin() -> None:
    while os.read(0, 1):
        pass
    os._exit(_PARENT_GONE)


def _limit_memory(address_space_bytes: int | None) -> None:
    if address_space_bytes is not None and sys.platform == "linux":
        import resource  # POSIX only

        resource.setrlimit(resource.RLIMIT_AS, (address_space_bytes, address_space_bytes))


if __name__ == "__main__":
    main()
