"""Whoever listens on the wire between two machines reads nothing of a job."""

import asyncio
import base64
import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.keys.servers import TOLD_BY_NOBODY
from tests.keys.wire_client import one_job

pytestmark = pytest.mark.redis
ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
PATIENCE_S = 60.0
TLS_DATA = b"\x17\x03\x03"


def seen(prompt: str, wire: bytes) -> bool:
    """Whether the prompt can be read there, as it is or as base64."""
    inner = [base64.b64encode(b"x" * shift + prompt.encode())[4:-4] for shift in range(3)]
    return prompt.encode() in wire or any(each in wire for each in inner)


class RecordingProxy:
    """Passes everything on, in both directions, and keeps a copy. In threads of its own."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.wire: list[bytes] = []
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self):
        self._threads[0].start()
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE_S)
        self._listener.close()

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(near,))
            thread.start()
            self._threads.append(thread)

    def _serve(self, near):
        far = socket.create_connection(self._target)
        with near, far:
            back = threading.Thread(target=self._copy, args=(far, near))
            back.start()
            self._copy(near, far)
            back.join(PATIENCE_S)

    def _copy(self, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                self.wire.append(data)
                sink.sendall(data)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


async def recorded(url: str, port: int, folder: Path, prompt: str) -> bytes:
    with RecordingProxy(("127.0.0.1", port)) as proxy:
        through = url.replace(f":{port}/", f":{proxy.port}/")
        assert through != url
        async with asyncio.timeout(PATIENCE_S):
            await one_job(through, folder, prompt)
    return b"".join(proxy.wire)


async def test_without_tls_the_prompt_is_there_to_read(plain_redis, tmp_path):
    prompt = f"zebra-{secrets.token_hex(8)}"
    wire = await recorded(plain_redis.url, plain_redis.port, tmp_path, prompt)
    assert seen(prompt, wire)
    assert TOLD_BY_NOBODY.encode() in wire
    assert b"danzar:jobs" in wire
    assert b"echo" in wire


async def test_with_tls_neither_prompt_nor_password_nor_names_are(tls_redis, tmp_path):
    prompt = f"zebra-{secrets.token_hex(8)}"
    address = tls_redis.address(TOLD_BY_NOBODY)
    wire = await recorded(address.text, tls_redis.port, tmp_path, prompt)
    assert TLS_DATA in wire
    assert not seen(prompt, wire)
    password = address.text.partition(f"{TOLD_BY_NOBODY}:")[2].partition("@")[0].encode()
    assert password
    for hidden in (password, TOLD_BY_NOBODY.encode(), b"danzar:jobs", b"echo"):
        assert hidden not in wire


async def test_a_job_over_tls_needs_no_right_that_a_node_has_not(tls_redis, tmp_path):
    with tls_redis.admin() as admin:
        admin.acl_log_reset()
    await one_job(tls_redis.address(TOLD_BY_NOBODY).text, tmp_path, "hello")
    # redis-py tells its own version to servers that want it; nothing depends on that.
    denied = [each for each in tls_redis.denied() if "client|" not in each]
    assert denied == []


@dataclass(frozen=True)
class TwoMachines:
    """Two network namespaces and the cable between them."""

    near: str
    far: str
    near_address: str
    card: str

    def run(self, where: str, *command: str, **options) -> subprocess.Popen:
        return subprocess.Popen(
            ["ip", "netns", "exec", where, *command],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            **options,
        )


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=PATIENCE_S)


@pytest.fixture(scope="module")
def two_machines():
    """Skips where this machine can't make them (no root, no ip, a container without the right)."""
    mark = f"dz{os.getpid() % 100_000}"
    near, far, card, other = f"{mark}near", f"{mark}far", f"{mark}a", f"{mark}b"
    if shutil.which("ip") is None or os.name == "nt" or os.geteuid() != 0:
        pytest.skip("network namespaces need root and the program ip")
    try:
        ip("netns", "add", near)
        ip("netns", "add", far)
        ip("link", "add", card, "netns", near, "type", "veth", "peer", "name", other, "netns", far)
        for where, link, address in ((near, card, "10.203.0.1"), (far, other, "10.203.0.2")):
            ip("-n", where, "address", "add", f"{address}/24", "dev", link)
            for each in (link, "lo"):
                ip("-n", where, "link", "set", each, "up")
        yield TwoMachines(near, far, "10.203.0.1", card)
    except subprocess.CalledProcessError as exc:
        pytest.skip(f"network namespaces can't be made here: {exc.stderr.decode().strip()}")
    finally:
        for each in (near, far):
            subprocess.run(["ip", "netns", "del", each], check=False, capture_output=True)


def captured(machines, server_command, url, folder, prompt, port) -> bytes:
    """All frames on the cable while the far machine works on one job of the near one's Redis."""
    file = folder / "frames"
    (folder / "url").write_text(url)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = machines.run(machines.near, *server_command, **quiet)
    sniffer = machines.run(
        machines.near, sys.executable, str(HERE / "sniffer.py"), machines.card, str(file), **pipes
    )
    try:
        assert sniffer.stdout.readline() == b"ready\n"
        wait = (
            "import socket,time\nfor _ in range(500):\n"
            f" try: socket.create_connection(('{machines.near_address}',{port}),1); break\n"
            " except OSError: time.sleep(0.02)\nelse: raise SystemExit(1)"
        )
        waiting = machines.run(machines.far, sys.executable, "-c", wait)
        assert waiting.wait(PATIENCE_S) == 0
        program = str(HERE / "wire_client.py")
        client = machines.run(
            machines.far, sys.executable, program, str(folder / "url"), str(folder), prompt
        )
        assert client.wait(PATIENCE_S) == 0
        sniffer.communicate(timeout=PATIENCE_S)
    finally:
        for process in (server, sniffer):
            process.kill()
            process.wait(PATIENCE_S)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
    return file.read_bytes()


def test_a_capture_between_two_machines_shows_the_prompt_without_tls(
    redis_program, two_machines, tmp_path
):
    prompt = f"zebra-{secrets.token_hex(8)}"
    command = f"redis-server --port 6379 --bind {two_machines.near_address} --save".split()
    command += ["", "--protected-mode", "no", "--dir", str(tmp_path)]
    url = f"redis://{two_machines.near_address}:6379/0"
    assert seen(prompt, captured(two_machines, command, url, tmp_path, prompt, 6379))


def test_a_capture_between_two_machines_shows_nothing_with_tls(
    redis_program, two_machines, tmp_path
):
    from datetime import UTC, datetime

    from danzar.keys.address import queue_address
    from danzar.keys.home import Wish, init_home, node_home, server_conf

    prompt = f"zebra-{secrets.token_hex(8)}"
    home = tmp_path / "home"
    names = ("main", TOLD_BY_NOBODY)
    init_home(home, Wish((two_machines.near_address,), names), datetime.now(UTC))
    address = queue_address(None, node_home(home, TOLD_BY_NOBODY))
    command = ["redis-server", str(server_conf(home))]
    frames = captured(two_machines, command, address.text, tmp_path, prompt, 6380)
    assert TLS_DATA in frames
    assert not seen(prompt, frames)
    password = address.text.partition(f"{TOLD_BY_NOBODY}:")[2][:43].encode()
    assert password
    for hidden in (TOLD_BY_NOBODY.encode(), b"danzar:jobs", password):
        assert hidden not in frames
