"""A real redis-server on a free port of loopback, with its data in a folder of its own."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

_PATIENCE_S = 20.0


class RedisServer:
    """The server; ``url`` stays the same when it is stopped and started again."""

    def __init__(self, folder: Path, *, port: int | None = None, options: tuple[str, ...] = ()):
        self.folder = folder
        self.port = _free_port() if port is None else port
        self.options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it with an append-only file that is synced every second; waits until it answers."""
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1"]
        files = ["--dir", str(self.folder), "--appendonly", "yes", "--save", ""]
        log = (self.folder / "redis.log").open("ab")
        with log:
            self._process = subprocess.Popen(
                [*command, *files, *self.options], stdout=log, stderr=log
            )
        self._wait_until_it_answers()

    def stop(self) -> None:
        """Stop it in order: nothing is lost."""
        self._end(kill=False)

    def kill(self) -> None:
        """Kill it: up to the last second may be lost."""
        self._end(kill=True)

    def restart(self, *, kill: bool = False) -> None:
        """Stop or kill it, and start it on the same port with the same data."""
        self._end(kill=kill)
        self.start()

    def command(self, *words: str) -> bytes:
        """What it answers to one command, as it comes over the wire; for small answers."""
        line = "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as wire:
            wire.sendall(f"*{len(words)}\r\n{line}".encode())
            return wire.recv(65536)

    def _end(self, *, kill: bool) -> None:
        if self._process is None:
            return
        if kill:
            self._process.kill()
        else:
            self._process.terminate()
        self._process.wait(timeout=_PATIENCE_S)
        self._process = None

    def _wait_until_it_answers(self) -> None:
        until = time.monotonic() + _PATIENCE_S
        while time.monotonic() < until:
            try:
                if self.command("PING").startswith(b"+PONG"):
                    return
            except OSError:
                pass
            assert self._process is not None
            if self._process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError((self.folder / "redis.log").read_text()[-2000:])


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that runs; tests that use it have the marker ``redis``."""
    if shutil.which("redis-server") is None:
        pytest.skip("there is no redis-server")
    folder = tmp_path / "redis"
    folder.mkdir()
    server = RedisServer(folder)
    server.start()
    yield server
    server.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
