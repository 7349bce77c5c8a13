"""Where the chaos takes place: two machines in network namespaces of their own, or on loopback.

In namespaces, each machine has one wire to the host, where Redis listens with TLS and ACLs made by
``danzar keys init``. Where namespaces are not permitted, both are processes on loopback.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from danzar.keys.home import Wish, init_home

MACHINES = ("pc1", "pc2")
_FIRST_OCTETS = f"10.{64 + os.getpid() % 128}"  # runs at the same time do not meet
_PATIENCE_S = 30.0


@dataclass
class Ground:
    """What each process of the run needs to know.

    Attributes:
        note: What the ground is, in words.
        start_redis: Its command line.
        queue: Options of every process, by its name; ``front`` accepts the jobs.
        inside: Words before a machine's command, which put it into its namespace.
    """

    note: str
    start_redis: list[str]
    port: int
    queue: dict[str, dict[str, str]]
    inside: dict[str, list[str]] = field(default_factory=dict)

    def wait_for_redis(self) -> None:
        """Until somebody listens on its port."""
        end_s = time.monotonic() + _PATIENCE_S
        while time.monotonic() < end_s:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            time.sleep(0.05)
        raise RuntimeError("redis-server did not start")


@contextlib.contextmanager
def make_ground(folder: Path, *, namespaces: bool) -> Iterator[Ground]:
    """Namespaces where they are wanted and permitted, else loopback with a note that says why."""
    if not namespaces:
        yield _loopback(folder, "processes on loopback, as asked for")
        return
    refused = why_no_namespaces()
    if refused is not None:
        yield _loopback(folder, f"processes on loopback: {refused}")
        return
    with _wires() as (inside, hosts):
        yield _over_tls(folder, inside, hosts)


def why_no_namespaces() -> str | None:
    """Why network namespaces can't be made here; ``None`` where they can."""
    if shutil.which("ip") is None:
        return "there is no ip command"
    name = f"dzprobe{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        return f"network namespaces are not permitted ({made.stderr.strip()})"
    _ip("netns", "del", name)
    return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _loopback(folder: Path, note: str) -> Ground:
    data = folder / "redis"
    data.mkdir()
    port = _free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(data), "--save", ""]
    command = ["redis-server", *options, "--appendonly", "yes", "--appendfsync", "everysec"]
    queue = {"url": f"redis://127.0.0.1:{port}/0"}
    return Ground(note, command, port, dict.fromkeys((*MACHINES, "front"), queue))


def _over_tls(folder: Path, inside: dict[str, list[str]], hosts: tuple[str, ...]) -> Ground:
    home, port = folder / "keys", _free_port()
    nodes = ("front", *MACHINES)
    init_home(home, Wish((*hosts, "127.0.0.1"), nodes, port), datetime.now(UTC))
    (home / "server" / "data").mkdir(exist_ok=True)
    queue = {
        name: {
            "url": f"rediss://{hosts[0]}:{port}/0",
            "keys": str(home / "nodes" / name),
        }
        for name in nodes
    }
    command = ["redis-server", str(home / "server" / "redis.conf")]
    note = "two machines in network namespaces, Redis with TLS, client certificates and ACLs"
    return Ground(note, command, port, queue, inside)


@contextlib.contextmanager
def _wires() -> Iterator[tuple[dict[str, list[str]], tuple[str, ...]]]:
    """A namespace for each machine, and the host's address on its wire."""
    names = {machine: f"dz{os.getpid()}{machine}" for machine in MACHINES}
    with contextlib.ExitStack() as stack:
        hosts = tuple(
            stack.enter_context(_wire(name, number)) for number, name in enumerate(names.values())
        )
        yield {m: ["ip", "netns", "exec", name] for m, name in names.items()}, hosts


@contextlib.contextmanager
def _wire(name: str, number: int) -> Iterator[str]:
    host, guest = (f"{_FIRST_OCTETS}.{number}.{last}" for last in (1, 2))
    near, far = f"dzn{os.getpid() % 100000}{number}", f"dzf{os.getpid() % 100000}{number}"
    _ip("netns", "add", name)
    try:
        _ip("link", "add", near, "type", "veth", "peer", "name", far)
        _ip("link", "set", far, "netns", name)
        _ip("addr", "add", f"{host}/30", "dev", near)
        _ip("link", "set", near, "up")
        within = ("-n", name)
        _ip(*within, "addr", "add", f"{guest}/30", "dev", far)
        _ip(*within, "link", "set", far, "up")
        _ip(*within, "link", "set", "lo", "up")
        _ip(*within, "route", "add", "default", "via", host)
        yield host
    finally:
        subprocess.run(["ip", "link", "del", near], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
