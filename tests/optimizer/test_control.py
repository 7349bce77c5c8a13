"""A command on this machine works the optimizer of the running bot, and nobody else does."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import msgspec
import pytest

from danzar.commands.optimizer import ask
from danzar.config.load import load_config
from danzar.errors import BadInput
from danzar.live.asking import Address, NoBot
from danzar.live.control import DEMO_FILE, NOTE_VARIABLE, find_bots, serve_control
from danzar.optimizer.ask import ask_optimizer
from danzar.optimizer.desk import OptimizerDesk
from danzar.optimizer.serve import optimizer_routes
from danzar.optimizer.wishes import (
    PATH,
    AnyWish,
    Benchmark,
    Configure,
    History,
    Optimize,
    Progress,
    SetBatchSize,
    SetMonitoring,
    Status,
)
from tests.live_config.world import World
from tests.optimizer.rig import Rig, make_rig

WHO = "command line"


class NoBench:
    """Where nobody measures."""

    async def run(self, duration_s, tell, *, who):
        await tell(Progress(0.5, "half"))
        raise BadInput(f"{who} wanted {duration_s} s")


@dataclass
class Bot:
    address: Address
    rig: Rig
    world: World

    @property
    def audit(self) -> list[tuple[str, str, str]]:
        return self.world.audit

    async def ask(self, wish: AnyWish) -> dict:
        answer = await ask_optimizer(self.address, wish)
        assert answer is not None
        return answer


@pytest.fixture
async def bot(world: World, tmp_path: Path) -> AsyncIterator[Bot]:
    rig = make_rig()

    async def audit(who: str, action: str, detail: str) -> None:
        world.audit.append((who, action, detail))

    desk = OptimizerDesk(rig.optimizer, world.live, audit)
    async with serve_control(world.live, tmp_path, optimizer_routes(desk, NoBench())):
        found = next(iter(find_bots(tmp_path, world.folder)), None)
        assert found is not None
        yield Bot(found, rig, world)


async def test_the_status_is_everything(bot: Bot) -> None:
    answer = await bot.ask(Status())

    assert answer["config"] == bot.rig.optimizer.config.model_dump(mode="json")
    assert [d["device"] for d in answer["devices"]] == ["cuda:0", "cuda:1"]
    assert answer["batch_size"] == 8
    assert answer["batches"][0]["limit"] == 16
    assert bot.audit == []


async def test_optimizing_is_audited_with_the_bytes(bot: Bot) -> None:
    answer = await bot.ask(Optimize())

    assert answer["memory_freed_bytes"] == 120 * 1024**2
    ((who, action, detail),) = bot.audit
    assert (who, action) == (WHO, "optimizer.optimize")
    assert "trim; 120MB freed; batch 8 -> 8" in detail
    assert (await bot.ask(History()))["history"] == [answer]


async def test_a_batch_size_is_audited_before_and_after(bot: Bot) -> None:
    answer = await bot.ask(SetBatchSize(4))

    assert answer == {"before": "auto (8 now)", "after": "4"}
    assert bot.audit == [(WHO, "optimizer.set-batch-size", "auto (8 now) -> 4")]


async def test_a_refusal_is_told_and_changes_nothing(bot: Bot) -> None:
    with pytest.raises(BadInput, match="allowed: 1 to 16"):
        await bot.ask(SetBatchSize(99))

    assert bot.rig.models.fixed == []
    assert bot.audit == []


async def test_monitoring_is_switched_and_audited(bot: Bot) -> None:
    assert await bot.ask(SetMonitoring(False)) == {"before": "on", "after": "off"}

    assert not bot.rig.optimizer.is_monitoring
    assert bot.audit == [(WHO, "optimizer.stop-monitoring", "monitoring on -> off")]


async def test_settings_change_in_the_file_and_are_audited_by_name(bot: Bot) -> None:
    answer = await bot.ask(Configure({"strategy": "adaptive", "max_batch_size": 12}))

    assert answer["changes"] == [
        "optimizer.strategy: 'balanced' -> 'adaptive'",
        "optimizer.max_batch_size: 16 -> 12",
    ]
    assert [line[1] for line in bot.audit] == ["optimizer.configure"] * 2
    text = (bot.world.folder / "vram_config.yaml").read_text()
    assert "strategy: adaptive" in text
    assert bot.world.live.config.vram.optimizer.max_batch_size == 12


async def test_what_is_so_already_is_audited_too(bot: Bot) -> None:
    answer = await bot.ask(Configure({"enabled": True}, "enable"))

    assert answer["changes"] == []
    assert bot.audit == [(WHO, "optimizer.enable", "nothing changed: it is so already")]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"memory_threshold_critical": 0.7}, "above memory_threshold_warning"),
        ({"max_batch_sise": 2}, "did you mean optimizer.max_batch_size"),
        ({"strategy": "bold", "max_batch_size": 2}, "allowed: conservative or balanced"),
    ],
)
async def test_wrong_settings_change_nothing(bot: Bot, values: dict, words: str) -> None:
    files, rules = bot.world.files(), bot.world.rules()

    with pytest.raises(BadInput, match=words):
        await bot.ask(Configure(values))

    assert bot.world.files() == files
    assert bot.world.rules() == rules
    assert bot.audit == []


async def test_progress_comes_before_the_answer(bot: Bot) -> None:
    steps: list[Progress] = []

    with pytest.raises(BadInput, match="command line wanted 5"):
        await ask_optimizer(bot.address, Benchmark(5.0), steps.append)

    assert steps == [Progress(0.5, "half")]


@pytest.mark.parametrize("secret", ["", "wrong"])
async def test_who_does_not_know_the_secret_is_refused(bot: Bot, secret: str) -> None:
    stranger = Address(bot.address.url, secret, bot.address.folder)

    assert await ask_optimizer(stranger, SetBatchSize(4)) is None
    assert bot.rig.models.fixed == []


@pytest.mark.parametrize("body", [b"", b"[]", b'{"ask": "nothing"}', b'{"ask": "set-batch-size"}'])
async def test_what_is_no_wish_is_refused(bot: Bot, body: bytes) -> None:
    headers = {"Authorization": f"Bearer {bot.address.secret}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(bot.address.url + PATH, data=body) as response,
    ):
        assert response.status == 400


async def test_a_bot_that_has_died_is_not_there() -> None:
    assert await ask_optimizer(Address("http://127.0.0.1:1", "x", "y"), Status()) is None


async def test_a_bug_in_the_bot_is_told_as_one(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(bot.rig.cards, "devices", fail)
    with pytest.raises(BadInput, match="an unexpected RuntimeError in the bot"):
        await bot.ask(Status())


async def test_a_demos_bot_is_found_behind_one_that_has_died(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, own = tmp_path / "data", tmp_path / "of the demo"
    data.mkdir()
    own.mkdir()
    dead = Address("http://127.0.0.1:1", "x", str(world.folder.resolve()))
    (data / "control.json").write_bytes(msgspec.json.encode(dead))
    monkeypatch.setenv(NOTE_VARIABLE, str(data / DEMO_FILE))
    desk = OptimizerDesk(make_rig().optimizer, world.live, no_audit)
    config = load_config(world.folder, {"DANZAR_BOT__DATA_DIR": str(data)})

    async with serve_control(world.live, own, optimizer_routes(desk, NoBench())):
        assert (await ask(config, Status()))["batch_size"] == 8
    with pytest.raises(NoBot, match="no bot is running"):
        await ask(config, Status())


async def no_audit(_who: str, _action: str, _detail: str) -> None:
    return None
