"""Every command as a person types it, on a bot's own parts: real workers, simulated cards."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from danzar.config.load import load_config
from danzar.config.optimizer import MemoryConfig
from tests.cli.test_commands import failed_with_one_line
from tests.optimizer.running import Bot, danzar, danzar_here, make_folder, running_bot

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one_bot(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bot]:
    async with running_bot(tmp_path_factory.mktemp("bot")) as bot:
        yield bot


@pytest_asyncio.fixture(loop_scope="module")
async def bot(one_bot: Bot) -> AsyncIterator[Bot]:
    yield one_bot
    await one_bot.tidy_up()


async def test_a_benchmark_measures_every_size_and_judges_the_choice(
    bot: Bot, tmp_path: Path
) -> None:
    file = tmp_path / "r.json"
    await bot.json("configure", "--max-batch-size", "4")
    measured = await bot.json("benchmark", "--duration", "2", "--output", str(file))

    rows = {row["batch"]: row for row in measured["rows"]}
    assert set(rows) == {1, 2, 4}
    assert all(row["simulated"] and row["pictures"] >= size for size, row in rows.items())
    (choice,) = measured["choices"]
    assert rows[choice["best"]]["pictures_per_s"] == max(r["pictures_per_s"] for r in rows.values())
    kept = json.loads(file.read_text())
    assert kept.pop("version") == 1
    assert kept == measured
    assert "yolo-nano: chosen" in await bot.last_audit("benchmark")
    assert bot.services.optimizer.status().manual_batch_size is None


async def test_a_batch_size_is_set_and_taken_back(bot: Bot) -> None:
    await bot.services.manager.load("yolo-nano")
    ended = await bot.type("set-batch-size", "3")

    assert ended.out.endswith("-> 3\n"), ended.err
    async with asyncio.timeout(30):
        while bot.services.manager.batch_size("yolo-nano") != 3:
            await asyncio.sleep(0.01)
    status = await bot.json("status")
    assert status["manual_batch_size"] == status["batch_size"] == 3
    assert status["devices"][1]["current_batch_size"] == 3
    assert (await bot.json("set-batch-size", "auto"))["before"] == "3"
    assert await bot.last_audit("set-batch-size") == "3 -> auto (3 now)"


async def test_as_a_process_it_ends_as_every_command_does(bot: Bot) -> None:
    shown, refused = await asyncio.gather(
        asyncio.to_thread(danzar, bot.folder, "optimizer", "status"),
        asyncio.to_thread(danzar, bot.folder, "optimizer", "configure", "--gc-threshold", "7"),
    )

    assert shown.status == 0, shown.err
    assert "(simulated)" in shown.out
    assert "gc_threshold: is 7.0; allowed: above 0, at most 1" in failed_with_one_line(refused)


async def test_a_batch_size_out_of_range_is_refused(bot: Bot) -> None:
    line = failed_with_one_line(await bot.type("set-batch-size", "17"))

    assert "allowed: 1 to 16" in line
    assert bot.services.optimizer.status().manual_batch_size is None


async def test_optimizing_tells_what_every_worker_gave_back(bot: Bot) -> None:
    await bot.services.manager.load("yolo-nano")

    result = await bot.json("optimize")

    assert result["success"]
    assert result["action_taken"].startswith("trim")
    assert "torch on cuda:1 (simulated)" in result["reason"]
    assert result["memory_freed_bytes"] >= 0
    assert (await bot.json("history"))["history"][-1] == result
    assert result["reason"] in await bot.last_audit("optimize")


async def test_settings_change_in_the_file_and_in_what_runs(bot: Bot) -> None:
    changed = await bot.json(
        "configure", "--strategy", "adaptive", "--warning-threshold", "0.5",
        "--critical-threshold", "0.6", "--oom-threshold", "0.7",
    )  # fmt: skip

    assert changed["applied"]
    assert "optimizer.memory_threshold_oom: 0.95 -> 0.7" in changed["changes"]
    rules = bot.services.manager.scheduler.state.rules.batch
    assert rules is not None
    assert (rules.strategy, rules.oom_share) == ("adaptive", 0.7)
    assert load_config(bot.folder, {}).vram.optimizer == bot.services.optimizer.config


async def test_thresholds_out_of_order_change_nothing(bot: Bot) -> None:
    before = (bot.folder / "vram_config.yaml").read_text()

    line = failed_with_one_line(await bot.type("configure", "--critical-threshold", "0.4"))

    assert "memory_threshold_critical: is 0.4; allowed: above memory_threshold_warning" in line
    assert (bot.folder / "vram_config.yaml").read_text() == before
    assert bot.services.optimizer.config == MemoryConfig()


async def test_what_was_exported_is_imported_as_it_was(bot: Bot, tmp_path: Path) -> None:
    exported = tmp_path / "mine.json"
    await bot.json("configure", "--strategy", "conservative", "--gc-threshold", "0.5")
    await bot.json("export-config", "--output", str(exported))
    await bot.json("configure", "--strategy", "aggressive", "--gc-threshold", "0.9")

    assert (await bot.json("import-config", str(exported)))["applied"]

    assert bot.services.optimizer.config == MemoryConfig(strategy="conservative", gc_threshold=0.5)
    assert await bot.last_audit("import-config") == "optimizer.gc_threshold: 0.9 -> 0.5"


async def test_a_wrong_file_changes_nothing_and_every_mistake_is_told(
    bot: Bot, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text('{"max_batch_sise": 4, "min_batch_size": 0}')

    line = failed_with_one_line(await bot.type("import-config", str(broken)))

    assert "did you mean max_batch_size?" in line
    assert "min_batch_size: is 0" in line
    assert bot.services.optimizer.config == MemoryConfig()


async def test_disabled_it_stands_still_and_enabled_it_goes_on(bot: Bot) -> None:
    assert (await bot.type("disable")).status == 0

    assert bot.services.manager.scheduler.state.rules.batch is None
    assert (await bot.json("status"))["batch_size"] == bot.services.config.bot.watch.batch_size
    off = await bot.type("optimize")
    assert off.status == 1
    assert "danzar optimizer enable" in off.err
    assert (await bot.type("enable")).status == 0
    assert bot.services.manager.scheduler.state.rules.batch is not None


async def test_monitoring_is_switched_and_the_audit_tells_it(bot: Bot) -> None:
    assert await bot.json("stop-monitoring") == {"before": "on", "after": "off"}
    assert bot.services.upkeep.paused
    assert await bot.json("start-monitoring") == {"before": "off", "after": "on"}
    assert not bot.services.upkeep.paused

    listed = await asyncio.to_thread(danzar, bot.folder, "audit", "--last", "2")

    assert listed.status == 0, listed.err
    for line, action in zip(listed.out.splitlines()[1:], ("stop", "start"), strict=True):
        assert "command line" in line
        assert f"optimizer.{action}-monitoring" in line


async def test_monitor_looks_again_and_again(bot: Bot) -> None:
    seen = await bot.json("monitor", "--duration", "1", "--interval", "0.4")

    assert len(seen["samples"]) >= 2
    assert all(d["simulated"] for sample in seen["samples"] for d in sample["devices"])


class TestWithoutABot:
    """What needs one says how to start it; what is a setting waits for the next start."""

    @pytest.mark.parametrize("command", ["status", "set-batch-size 4"])
    async def test_it_says_how_to_start_one(self, tmp_path: Path, command: str) -> None:
        folder = make_folder(tmp_path)
        ended = await asyncio.to_thread(danzar_here, folder, *command.split())

        line = failed_with_one_line(ended)
        assert "no bot is running" in line
        assert "`danzar run` or `danzar demo`" in line

    async def test_a_setting_is_written_and_audited(self, tmp_path: Path) -> None:
        folder = make_folder(tmp_path)
        command = ("configure", "--max-batch-size", "12")
        ended = await asyncio.to_thread(danzar_here, folder, *command)

        assert ended.status == 0, ended.err
        assert "no bot is running" in ended.out
        assert load_config(folder, {}).vram.optimizer.max_batch_size == 12
        lines = json.loads(danzar(folder, "audit", "--json").out)["lines"]
        assert [(line["action"], line["detail"]) for line in lines] == [
            ("optimizer.configure", "optimizer.max_batch_size: 16 -> 12")
        ]

    async def test_an_audit_that_can_not_be_written_undoes_nothing(self, tmp_path: Path) -> None:
        folder = make_folder(tmp_path)
        (tmp_path / "data").write_text("in the way")

        assert (await asyncio.to_thread(danzar_here, folder, "disable")).status == 0
        assert not load_config(folder, {}).vram.optimizer.enabled

    @pytest.mark.parametrize(
        ("command", "words"),
        [("configure", "name at least one setting"), ("set-batch-size 8x", "neither a number")],
    )
    async def test_a_wrong_call_is_told_as_one(
        self, tmp_path: Path, command: str, words: str
    ) -> None:
        folder = make_folder(tmp_path)
        ended = await asyncio.to_thread(danzar_here, folder, *command.split())

        assert ended.status == 2
        assert words in ended.err
