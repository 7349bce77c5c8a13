"""A command on this machine reaches the running bot, and nobody else does."""

import json
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from danzar.live.asking import Address, BotSilent
from danzar.live.control import Answer, Wish, ask_bot, find_bots, serve_control
from danzar.units import GIB
from tests.live_config.world import VRAM, World


@pytest.fixture
async def bot(world: World, tmp_path: Path) -> AsyncIterator[Address]:
    data = tmp_path / "data"
    data.mkdir()
    async with serve_control(world.live, data):
        found = next(iter(find_bots(data, world.folder)), None)
        assert found is not None
        yield found


async def test_a_command_changes_a_setting(bot: Address, world: World) -> None:
    answer = await ask_bot(bot, Wish("placement.margin", "1 GiB"))

    assert answer == Answer(["placement.margin: 256.0 MiB -> 1.0 GiB"])
    assert world.manager.scheduler.ledger.book.margins.cuda_bytes == GIB
    assert world.audit[0][0] == "command line"


async def test_a_command_has_the_files_read_again(bot: Address, world: World) -> None:
    (world.folder / "vram_config.yaml").write_text(VRAM.replace("900", "60"))

    answer = await ask_bot(bot, Wish())

    assert answer == Answer(["placement.keep_alive_s: 900.0 -> 60.0"])


async def test_a_refusal_is_told(bot: Address) -> None:
    answer = await ask_bot(bot, Wish("telemetry.mode", "none"))

    assert answer is not None
    assert "restart to apply: telemetry.mode" in str(answer.refused)


@pytest.mark.parametrize("secret", ["", "wrong", "Bearer"])
async def test_who_does_not_know_the_secret_is_refused(
    bot: Address, world: World, secret: str
) -> None:
    rules = world.rules()
    stranger = Address(bot.url, secret, bot.folder)

    assert await ask_bot(stranger, Wish("placement.margin", "1 GiB")) is None
    async with aiohttp.ClientSession() as session:
        body = json.dumps({"key": "placement.margin", "value": "1 GiB"})
        async with session.post(f"{bot.url}/v1/config", data=body) as response:
            assert response.status == 403
    assert world.rules() == rules


@pytest.mark.parametrize("body", [b"", b"[]", b'{"key": 1}', b'{"what": 1}', b"\xff"])
async def test_what_is_no_wish_is_refused(bot: Address, body: bytes) -> None:
    headers = {"Authorization": f"Bearer {bot.secret}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{bot.url}/v1/config", data=body) as response,
    ):
        assert response.status == 400


async def test_the_note_is_for_its_owner_alone_and_goes_with_the_bot(
    world: World, tmp_path: Path
) -> None:
    async with serve_control(world.live, tmp_path):
        if os.name == "posix":
            assert stat.S_IMODE((tmp_path / "control.json").stat().st_mode) == 0o600

    assert find_bots(tmp_path, world.folder) == ()


async def test_a_bot_with_other_settings_is_not_meant(world: World, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    async with serve_control(world.live, tmp_path):
        assert find_bots(tmp_path, other) == ()


async def test_a_bot_that_has_died_is_not_there(bot: Address) -> None:
    assert await ask_bot(Address("http://127.0.0.1:1", "x", bot.folder), Wish()) is None


async def test_a_bot_that_hangs_is_an_error(
    bot: Address, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("danzar.live.control._TIMEOUT_S", 0.05)
    async with world.live._lock:
        with pytest.raises(BotSilent, match="does not answer"):
            await ask_bot(bot, Wish("placement.margin", "1 GiB"))
