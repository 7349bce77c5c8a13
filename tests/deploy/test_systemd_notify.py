"""What systemd is told, on the socket where it listens."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from danzar.systemd_notify import notify, told_to_systemd, watchdog_s

PATIENCE_S = 30


class Listener:
    """The socket, read without holding up the loop."""

    def __init__(self, path: Path) -> None:
        self.environ = {"NOTIFY_SOCKET": str(path)}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)

    def close(self) -> None:
        self._socket.close()

    async def next(self) -> str:
        received = asyncio.get_running_loop().sock_recv(self._socket, 4096)
        return (await asyncio.wait_for(received, PATIENCE_S)).decode()

    async def until(self, text: str) -> str:
        while text not in (said := await self.next()):
            pass
        return said


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Listener]:
    listener = Listener(tmp_path / "notify")
    yield listener
    listener.close()


async def test_it_is_ready_only_when_nothing_is_missing(systemd: Listener) -> None:
    missing = ["Discord's gateway is not connected"]
    async with told_to_systemd(lambda: tuple(missing), lambda: True, systemd.environ):
        assert await systemd.next() == "STATUS=waits for: Discord's gateway is not connected"
        missing.clear()
        assert (await systemd.until("READY=1")).splitlines() == ["READY=1", "STATUS=ready"]
    assert await systemd.next() == "STOPPING=1"


async def test_signs_of_life_come_while_it_works_and_stop_when_it_does_not(
    systemd: Listener,
) -> None:
    environ = {**systemd.environ, "WATCHDOG_USEC": "30000", "WATCHDOG_PID": str(os.getpid())}
    asked = 0

    def alive() -> bool:
        nonlocal asked
        asked += 1
        return asked <= 2

    async with told_to_systemd(tuple, alive, environ):
        await systemd.until("READY=1")
        assert await systemd.next() == "WATCHDOG=1"
        assert await systemd.next() == "WATCHDOG=1"
        while asked < 5:
            await asyncio.sleep(0.01)
    assert await systemd.next() == "STOPPING=1"


async def test_an_error_inside_passes_and_systemd_is_told(systemd: Listener) -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with told_to_systemd(tuple, lambda: True, systemd.environ):
            await systemd.until("READY=1")
            raise ValueError("a port is taken")
    assert caught.group_contains(ValueError, match="a port is taken")
    assert await systemd.next() == "STOPPING=1"


async def test_without_systemd_nothing_is_asked_and_nothing_said() -> None:
    def never() -> tuple[str, ...]:
        raise AssertionError("asked")

    async with told_to_systemd(never, lambda: True, {}):
        await asyncio.sleep(0)
    assert notify("READY=1", {}) is False


def test_a_socket_that_is_gone_is_no_error(tmp_path: Path) -> None:
    assert notify("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "gone")}) is False


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "120000000"}, 120.0),
        ({"WATCHDOG_USEC": "120000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_how_often_systemd_wants_a_sign(environ: dict[str, str], seconds: float | None) -> None:
    assert watchdog_s(environ) == seconds
