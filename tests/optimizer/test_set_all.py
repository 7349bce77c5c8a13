"""Several settings change as one: all of them, or none."""

from pathlib import Path

import pytest

from danzar.errors import ConfigError
from tests.live_config.world import World

WHO = "command line"


async def test_thresholds_that_must_rise_move_together(world: World) -> None:
    wanted = {
        "vram.optimizer.memory_threshold_warning": "0.96",
        "vram.optimizer.memory_threshold_critical": "0.97",
        "vram.optimizer.memory_threshold_oom": "0.98",
    }

    applied = await world.live.set_all(wanted, who=WHO, action="optimizer.configure")

    assert len(applied.changes) == 3
    config = world.live.config.vram.optimizer
    assert (config.memory_threshold_warning, config.memory_threshold_oom) == (0.96, 0.98)
    assert {line[:2] for line in world.audit} == {(WHO, "optimizer.configure")}
    assert "optimizer.memory_threshold_oom: 0.95 -> 0.98" in {line[2] for line in world.audit}


async def test_two_files_change_together(world: World) -> None:
    wanted = {"gpu_memory.memory_check_interval": "5", "placement.margin": "1 GiB"}

    await world.live.set_all(wanted, who=WHO)

    assert "memory_check_interval: 5" in (world.folder / "vision_config.yaml").read_text()
    assert "margin: 1 GiB" in (world.folder / "vram_config.yaml").read_text()


@pytest.mark.parametrize(
    "wanted",
    [
        {"optimizer.strategy": "adaptive", "optimizer.memory_threshold_critical": "0.7"},
        {"optimizer.strategy": "adaptive", "telemetry.mode": "none"},
        {"optimizer.strategy": "adaptive", "optimizer.nothing": "1"},
        {"optimizer.strategy": "[1"},
    ],
    ids=["out of order", "needs a restart", "unknown", "no YAML"],
)
async def test_one_that_is_refused_stops_them_all(
    world: World,
    wanted: dict[str, str],
) -> None:
    files, rules = world.files(), world.rules()

    with pytest.raises(ConfigError):
        await world.live.set_all(wanted, who=WHO)

    assert world.files() == files
    assert world.rules() == rules
    assert world.audit == []


async def test_a_file_that_can_not_be_written_takes_the_other_back(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files, rules = world.files(), world.rules()

    def fail(file: Path, before: bytes, after: bytes) -> None:
        if file.name == "vram_config.yaml":
            raise ConfigError("the disk is full")
        file.write_bytes(after) if after else file.unlink()

    monkeypatch.setattr("danzar.live.live_config.replace_file", fail)
    with pytest.raises(ConfigError, match="the disk is full"):
        await world.live.set_all(
            {"gpu_memory.memory_check_interval": "5", "placement.margin": "1 GiB"}, who=WHO
        )

    assert world.files() == files
    assert world.rules() == rules
