"""The settings of alerts: what may stand there, and that the running parts follow them."""

from datetime import time
from pathlib import Path

import pytest

from danzar.config.alerts import AlertSettings
from danzar.config.bot import BotConfig
from danzar.config.changes import can_change_live
from danzar.config.keys import Key
from danzar.config.load import load_config
from danzar.config.problems import InvalidConfig
from danzar.config.settings import Config
from danzar.core.incident import IncidentRules
from danzar.core.ledger import Ledger
from danzar.gpu_memory import GpuMemoryManager
from danzar.live.followers import follow_alerts
from danzar.monitor import MemoryMonitor
from tests.gpu_memory.cards import FixedFigures, gpu
from tests.gpu_memory.test_monitor import RULES


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('"09:00"', time(9)),
        ("09:00", time(9)),
        ("10:30", time(10, 30)),  # YAML 1.1 reads 630
        ("7:05", time(7, 5)),
        ("null", None),
    ],
)
def test_the_time_of_the_digest_is_read_however_it_is_written(tmp_path, written, meant):
    (tmp_path / "bot_config.yaml").write_text(f"alerts: {{digest_at: {written}}}\n")
    assert load_config(tmp_path, {}).bot.alerts.digest_time == meant


@pytest.mark.parametrize("written", ["24:00", "9", "nine", "09:60", "-1", "9:5"])
def test_what_is_no_time_is_refused_with_what_to_write(tmp_path, written):
    (tmp_path / "bot_config.yaml").write_text(f'alerts: {{digest_at: "{written}"}}\n')
    with pytest.raises(InvalidConfig, match=r"digest_at.*a time of day such as 09:00"):
        load_config(tmp_path, {})


def test_all_but_what_is_kept_changes_while_danzar_runs():
    live = {
        name for name in AlertSettings.model_fields if can_change_live(Key("bot", ("alerts", name)))
    }
    assert AlertSettings.model_fields.keys() - live == {"keep_days", "keep"}


async def test_the_monitor_and_the_sources_follow_the_settings():
    memory = GpuMemoryManager(FixedFigures(gpu(0, 8.0)), Ledger(), RULES)
    monitor = MemoryMonitor(memory, interval_s=30.0)
    told = []

    class Parts:
        def configure(self, settings) -> None:
            told.append(settings.queue_waiting)

    alerts = AlertSettings(tell_after_s=1, calm_s=2, reopen_s=3, queue_waiting=4)
    new = Config(root=Path(), bot=BotConfig(alerts=alerts))
    await follow_alerts(monitor, Parts())(Config(root=Path()), new)()
    assert monitor.rules == IncidentRules(1, 2, 3)
    assert told == [4]
