"""The systemd unit: how much it may, by systemd's own measure, and what it hands to Danzar."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from danzar.config.load import load_config

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "systemd"
UNIT = FOLDER / "danzar.service"
LARGEST_EXPOSURE = 3.0


def settings(name: str) -> list[str]:
    """Every value of a setting, in the unit's order."""
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)


def environment() -> dict[str, str]:
    pairs = [pair for line in settings("Environment") for pair in line.split()]
    return dict(pair.split("=", 1) for pair in pairs)


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("unit", ["danzar.service", "danzar-backup.service"])
def test_a_unit_is_exposed_less_than_three_of_ten(unit: str) -> None:
    said = analyze("security", "--offline=true", "--no-pager", str(FOLDER / unit)).stdout
    level = re.search(r"Overall exposure level for danzar[-a-z]*\.service: ([\d.]+)", said)
    assert level is not None, said
    assert float(level[1]) < LARGEST_EXPOSURE


def test_the_backup_finds_the_bots_settings_and_data() -> None:
    ours = {line for line in UNIT.read_text().splitlines() if "DANZAR_" in line and "=/" in line}
    backup = (FOLDER / "danzar-backup.service").read_text().splitlines()
    assert ours
    assert ours <= set(backup)


def test_systemd_knows_every_line_of_it() -> None:
    for unit in sorted(FOLDER.glob("*.service")) + sorted(FOLDER.glob("*.timer")):
        said = analyze("verify", "--man=no", str(unit)).stderr
        # The program is not installed where this is tested.
        wrong = [line for line in said.splitlines() if "is not executable" not in line]
        ours = [line for line in wrong if "danzar" in line]
        assert ours == []


def test_danzar_takes_the_settings_that_it_is_given() -> None:
    given = environment()
    config = load_config(ROOT / "config", environ=given)
    assert config.bot.data_dir == "/var/lib/danzar/state"
    assert config.root == Path("/var/lib/danzar").resolve()


def test_the_token_comes_as_a_credential_and_not_in_the_environment() -> None:
    assert environment()["DISCORD_TOKEN_FILE"] == "%d/discord_token"
    assert settings("LoadCredential") == ["discord_token:/etc/danzar/discord_token"]


def test_only_nvidias_devices_are_let_in() -> None:
    assert settings("DevicePolicy") == ["closed"]
    assert all(value.startswith("char-nvidia") for value in settings("DeviceAllow"))


def test_it_may_write_where_danzar_writes_and_nowhere_else() -> None:
    given = environment()
    assert settings("ProtectSystem") == ["strict"]
    assert settings("StateDirectory") == ["danzar"]
    assert settings("ReadWritePaths") == [given["DANZAR_CONFIG"]]
    assert given["DANZAR_BOT__DATA_DIR"].startswith("/var/lib/danzar/")


def test_it_comes_back_however_often_it_ends_and_outlives_a_worker_without_memory() -> None:
    assert settings("StartLimitIntervalSec") == ["0"]
    assert settings("Restart") == ["on-failure"]
    assert settings("OOMPolicy") == ["continue"]


def test_it_has_longer_to_end_than_its_jobs() -> None:
    minutes = int(settings("TimeoutStopSec")[0].removesuffix("min"))
    assert minutes * 60 > load_config(ROOT / "config", environ={}).bot.jobs.drain_s


def test_the_installer_puts_every_file_in_its_place() -> None:
    script = (FOLDER / "install.sh").read_text()
    for file in FOLDER.iterdir():
        installed = file.name in ("install.sh", "__pycache__") or file.name in script
        assert installed, file.name
