"""``danzar config set`` and ``reload``, with a bot that runs and without one."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from danzar.commands.config import Changed, change, reload
from danzar.config.changes import changes_between
from danzar.config.load import load_config
from danzar.config.settings import Config
from danzar.errors import ConfigError
from danzar.live.control import serve_control
from danzar.live.live_config import LiveConfig, Step
from danzar.services import open_services
from danzar.units import GIB

VRAM = "placement:\n  margin: 256 MiB  # left free\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config"
    path.mkdir()
    (path / "vram_config.yaml").write_text(VRAM)
    (path / "bot_config.yaml").write_text(f"data_dir: {tmp_path / 'data'}\n")
    (tmp_path / "data").mkdir()
    for name in [name for name in os.environ if name.startswith("DANZAR_")]:
        monkeypatch.delenv(name)
    return path


def vram(folder: Path) -> str:
    return (folder / "vram_config.yaml").read_text()


class Bot:
    """What runs by the settings, and what it heard."""

    def __init__(self, folder: Path) -> None:
        config = load_config(folder)
        self.heard: list[str] = []
        self.live = LiveConfig(config, [self._follow], audit=self._audit, environ={})
        self.data = folder.parent / "data"

    def _follow(self, old: Config, new: Config) -> Step:
        async def step() -> None:
            self.heard += map(str, changes_between(old, new))

        return step

    async def _audit(self, *_: str) -> None: ...


async def test_without_a_bot_the_file_is_changed(folder: Path) -> None:
    changed = await change(folder, "placement.margin", "1 GiB", later=False)

    assert changed == Changed(("placement.margin: 256.0 MiB -> 1.0 GiB",), applied=False)
    assert vram(folder) == "placement:\n  margin: 1 GiB  # left free\n"


async def test_without_a_bot_any_setting_may_be_changed(folder: Path) -> None:
    await change(folder, "telemetry.mode", "none", later=False)

    assert load_config(folder, {}).vram.telemetry.mode == "none"


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("placement.margin", "12 GB", "is no size"),
        ("placement.margn", "1 GiB", "did you mean placement.margin"),
        ("placement", "1 GiB", "is a section"),
        ("discord.token", "x", "no setting is called"),
    ],
)
async def test_a_mistake_changes_no_file(folder: Path, key: str, value: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        await change(folder, key, value, later=False)

    assert vram(folder) == VRAM


async def test_a_running_bot_goes_by_it_at_once(folder: Path) -> None:
    bot = Bot(folder)
    async with serve_control(bot.live, bot.data):
        changed = await change(folder, "placement.margin", "1 GiB", later=False)

    assert changed.applied
    assert bot.heard == ["placement.margin: 256.0 MiB -> 1.0 GiB"]
    assert "margin: 1 GiB  # left free" in vram(folder)


async def test_what_a_running_bot_refuses_changes_no_file(folder: Path) -> None:
    bot = Bot(folder)
    async with serve_control(bot.live, bot.data):
        with pytest.raises(ConfigError, match=r"restart to apply: telemetry\.mode"):
            await change(folder, "telemetry.mode", "none", later=False)

    assert vram(folder) == VRAM
    assert bot.heard == []


async def test_later_leaves_the_running_bot_alone(folder: Path) -> None:
    bot = Bot(folder)
    async with serve_control(bot.live, bot.data):
        changed = await change(folder, "telemetry.mode", "none", later=True)

    assert not changed.applied
    assert bot.heard == []
    assert load_config(folder, {}).vram.telemetry.mode == "none"


async def test_a_running_bot_reads_the_files_again(folder: Path) -> None:
    bot = Bot(folder)
    async with serve_control(bot.live, bot.data):
        (folder / "vram_config.yaml").write_text("placement: {margin: 2 GiB}\n")
        changed = await reload(folder)

    assert changed.changes == ("placement.margin: 256.0 MiB -> 2.0 GiB",)
    assert len(bot.heard) == 1


async def test_without_a_bot_nothing_can_be_reloaded(folder: Path) -> None:
    with pytest.raises(ConfigError, match="no bot is running"):
        await reload(folder)


def test_many_commands_at_once_lose_no_change(folder: Path) -> None:
    async def all_at_once() -> list[Changed | BaseException]:
        bot = Bot(folder)
        async with serve_control(bot.live, bot.data):
            return await asyncio.gather(
                *(change(folder, f"pressure.{key}", "9", later=False)
                  for key in ("hold_s", "calm_s", "gap_pct", "move_interval_s")),
                return_exceptions=True,
            )  # fmt: skip

    assert all(isinstance(done, Changed) for done in asyncio.run(all_at_once()))
    pressure = load_config(folder, {}).vram.pressure
    assert pressure.hold_s == pressure.calm_s == pressure.gap_pct == pressure.move_interval_s == 9


class TestProcess:
    """The command as a person types it."""

    def test_set_changes_the_file_and_says_so(self, danzar, folder: Path) -> None:
        ended = danzar("config", "set", "placement.margin", "1 GiB", "--config", str(folder))

        assert ended.status == 0, ended.err
        assert "placement.margin: 256.0 MiB -> 1.0 GiB" in ended.out
        assert "margin: 1 GiB  # left free" in vram(folder)

    def test_a_refusal_is_one_line(self, danzar, folder: Path) -> None:
        ended = danzar("config", "set", "placement.margn", "1", "--config", str(folder))

        assert ended.status == 1
        assert ended.err == (
            "danzar: no setting is called 'placement.margn'; did you mean placement.margin?\n"
        )

    def test_json_is_as_documented(self, danzar, folder: Path) -> None:
        arguments = ("placement.margin", "1 GiB", "--config", str(folder), "--json")

        answer = json.loads(danzar("config", "set", *arguments).out)

        assert answer == {
            "version": 1,
            "changes": ["placement.margin: 256.0 MiB -> 1.0 GiB"],
            "applied": False,
        }

    def test_reload_without_a_bot_fails(self, danzar, folder: Path) -> None:
        ended = danzar("config", "reload", "--config", str(folder))

        assert ended.status == 1
        assert "no bot is running" in ended.err


async def test_the_bot_s_own_parts_go_by_it(folder: Path) -> None:
    """With everything below Discord as `danzar run` builds it, on simulated cards."""
    (folder / "vram_config.yaml").write_text(f"telemetry: {{mode: simulated}}\n{VRAM}")
    data = folder.parent / "data"
    async with open_services(load_config(folder)) as services, serve_control(services.live, data):
        while not services.manager.scheduler.snapshots:
            await asyncio.sleep(0.01)
        await change(folder, "placement.margin", "1 GiB", later=False)
        await change(folder, "devices.cuda:1.limit", "5 GiB", later=False)
        await change(folder, "placement.policy", "lru", later=False)

        book = services.manager.scheduler.ledger.book
        assert book.margins.cuda_bytes == GIB
        assert [limit.size_bytes for limit in book.limits] == [5 * GIB]
        assert services.manager.scheduler.state.rules.plan.policy == "lru"
        audit = await services.store.recent_audit(10)
    assert [(line.actor, line.action) for line in audit] == [("command line", "config.set")] * 3
