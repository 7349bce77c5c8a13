"""SIGHUP applies what the files say now."""

import asyncio
import os
import signal

import pytest

from danzar.live.hangup import reload_on_hangup
from tests.live_config.world import VRAM, World

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")


@pytest.fixture(autouse=True)
def _no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)


async def test_the_files_are_read_again(world: World) -> None:
    (world.folder / "vram_config.yaml").write_text(VRAM.replace("900", "60"))
    async with reload_on_hangup(world.live), asyncio.timeout(10):
        os.kill(os.getpid(), signal.SIGHUP)
        while world.manager.scheduler.state.rules.keep_alive_s != 60:
            await asyncio.sleep(0.01)

    assert world.audit[0][0] == "SIGHUP"


async def test_a_mistake_in_them_is_logged_and_the_next_signal_heard(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    file = world.folder / "vram_config.yaml"
    file.write_text("placement: {margn: 1}\n")
    async with reload_on_hangup(world.live), asyncio.timeout(10):
        os.kill(os.getpid(), signal.SIGHUP)
        while "did you mean margin?" not in caplog.text:
            await asyncio.sleep(0.01)
        file.write_text(VRAM.replace("900", "60"))
        os.kill(os.getpid(), signal.SIGHUP)
        while world.manager.scheduler.state.rules.keep_alive_s != 60:
            await asyncio.sleep(0.01)


async def test_afterwards_the_signal_means_what_it_did(world: World) -> None:
    before = signal.getsignal(signal.SIGHUP)
    async with reload_on_hangup(world.live):
        assert signal.getsignal(signal.SIGHUP) is not before

    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
