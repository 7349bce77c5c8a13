"""A real Redis with the very configuration that `danzar keys init` writes, on a free port."""

import contextlib
import socket
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import psutil
import redis

from danzar.keys.address import queue_address
from danzar.keys.home import Wish, init_home, node_home, server_conf
from danzar.keys.queue_url import QueueUrl

PATIENCE_S = 20.0
TOLD_BY_NOBODY = "a-machine-of-many-letters"
"""A node's name that encrypted bytes are not by chance, as ``pc2`` is in one of 150 recordings."""
_ADMIN = "user admin on nopass ~* &* +@all\n"


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nothing listens on just now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def outside_address() -> str | None:
    """An address of this machine that is not loopback: another host, as far as we can tell."""
    for addresses in psutil.net_if_addrs().values():
        for address in addresses:
            if address.family == socket.AF_INET and not address.address.startswith("127."):
                return address.address
    return None


def wait_for_port(host: str, port: int, process: subprocess.Popen) -> None:
    """Until it listens."""
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        assert process.poll() is None, "redis-server ended at once"
        with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
            return
        time.sleep(0.02)
    raise AssertionError(f"nothing listens on {host}:{port}")


class Server:
    """A redis-server process."""

    def __init__(self, command: list[str], host: str, port: int, log: Path) -> None:
        self.host, self.port = host, port
        with log.open("ab") as stream:
            self._process = subprocess.Popen(command, stdout=stream, stderr=stream)
        try:
            wait_for_port(host, port, self._process)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it and wait."""
        self._process.kill()
        self._process.wait(PATIENCE_S)


class PlainRedis(Server):
    """Without TLS, on loopback."""

    def __init__(self, folder: Path, host: str = "127.0.0.1") -> None:
        port = free_port(host)
        options = f"--port {port} --bind {host} --save --appendonly no --protected-mode no".split()
        command = ["redis-server", *options, "--dir", str(folder)]
        super().__init__(command, host, port, folder / "plain.log")

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}/0"


class TlsRedis(Server):
    """As `danzar keys init` set it up; one more user, for the test alone, reads the ACL's log."""

    def __init__(
        self,
        home: Path,
        host: str = "127.0.0.1",
        *,
        hosts: tuple[str, ...] | None = None,
        made: datetime | None = None,
    ) -> None:
        self.home = home
        wish = Wish(hosts or (host,), ("main", "pc2", TOLD_BY_NOBODY), free_port(host))
        init_home(home, wish, made or datetime.now(UTC))
        self._log = home / "redis.log"
        self._allow_admin()
        super().__init__(["redis-server", str(server_conf(home))], host, wish.port, self._log)

    def restart(self) -> None:
        """As its owner does after `danzar keys node` or `renew`."""
        self.stop()
        self._allow_admin()
        command = ["redis-server", str(server_conf(self.home))]
        Server.__init__(self, command, self.host, self.port, self._log)

    def folder(self, node: str) -> Path:
        return node_home(self.home, node)

    def address(self, node: str) -> QueueUrl:
        return queue_address(None, self.folder(node))

    def admin(self) -> redis.Redis:
        """May do everything."""
        text = self.address("main").text
        after = text.partition("@")[2]
        return redis.Redis.from_url(f"rediss://admin:x@{after}")

    def denied(self) -> list[str]:
        """What users were refused, by the server's own log."""
        with self.admin() as client:
            return [f"{row['username']}: {row['object']}" for row in client.acl_log()]

    def _allow_admin(self) -> None:
        users = self.home / "server" / "users.acl"
        text = users.read_text()
        if _ADMIN not in text:
            users.write_text(text + _ADMIN)
