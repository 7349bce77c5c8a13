"""What the owner configured reaches the core as it was meant."""

from pathlib import Path

import pytest

from danzar.broker.rules import (
    absent_devices,
    ledger_rules,
    monitor_rules,
    scheduler_rules,
    with_rules,
)
from danzar.config.load import load_config
from danzar.core.book import Limit, Reservation
from danzar.core.pressure import Level, next_pressure
from danzar.units import GIB, MIB
from tests.live_config.world import DEVICES, plain_facts


def test_the_defaults_are_the_seeds(folder: Path) -> None:
    (folder / "vram_config.yaml").unlink()
    config = load_config(folder, {})

    rules = scheduler_rules(config)

    assert rules.keep_alive_s == 900
    assert rules.plan.policy == "cost"
    assert rules.plan.min_residence_s == 20
    levels = rules.yields.levels
    assert (levels.warning_pct, levels.critical_pct, levels.oom_pct) == (75, 85, 95)
    alerts = monitor_rules(config.vram.monitor)
    assert (alerts.warning_pct, alerts.low_free_bytes) == (90, GIB)


@pytest.mark.parametrize(
    ("used_pct", "level"),
    [(74, Level.NORMAL), (76, Level.WARNING), (86, Level.CRITICAL), (96, Level.OOM)],
)
def test_each_level_is_reached(folder: Path, used_pct: int, level: Level) -> None:
    rules = scheduler_rules(load_config(folder, {})).yields.levels
    first = next_pressure(None, 100 - used_pct, 100, rules, 0.0)

    assert first.level is Level.NORMAL
    assert next_pressure(first, 100 - used_pct, 100, rules, rules.hold_s).level is level


def test_reserves_and_limits_are_of_the_devices_that_are_there(folder: Path) -> None:
    (folder / "vram_config.yaml").write_text(
        "devices:\n"
        "  cuda:0: {reserve: 6 GiB, limit: 20000 MiB}\n"
        "  GPU-11: {limit: 10000 MiB}\n"
        "  cpu: {limit: 8 GiB}\n"
        "  cuda:7: {limit: 1 GiB}\n"
    )
    config = load_config(folder, {})

    rules = ledger_rules(config, DEVICES)

    assert rules.limits == (
        Limit("GPU-00", 20000 * MIB),
        Limit("cpu", 8 * GIB),
        Limit("GPU-11", 10000 * MIB),
    )
    assert rules.reservations == (
        Reservation("GPU-00", "chat", 8 * GIB),
        Reservation("GPU-00", "games", 6 * GIB),
    )
    assert absent_devices(config, DEVICES) == ("cuda:7",)


def test_a_card_that_is_away_keeps_its_limit(folder: Path) -> None:
    (folder / "vram_config.yaml").write_text("devices: {GPU-ab: {limit: 2 GiB}}\n")

    assert ledger_rules(load_config(folder, {}), DEVICES).limits == (Limit("GPU-ab", 2 * GIB),)


def test_a_uuid_wins_over_an_index(folder: Path) -> None:
    (folder / "vram_config.yaml").write_text(
        "devices: {GPU-00: {limit: 2 GiB}, cuda:0: {limit: 1 GiB}}\n"
    )

    assert ledger_rules(load_config(folder, {}), DEVICES).limits == (Limit("GPU-00", 2 * GIB),)


def test_only_the_chat_model_in_use_is_protected_by_default(folder: Path) -> None:
    config = load_config(folder, {})

    protected = [n for n in config.models.models if with_rules(plain_facts(n), config).protected]

    assert protected == ["small"]


@pytest.mark.parametrize(
    ("extra", "name", "value"),
    [
        ("priority: 7", "priority", 7),
        ("pinned: true", "pinned", True),
        ("protected: true", "protected", True),
        ("fallback: small", "fallback", "small"),
        ("allow_cpu: false", "allow_cpu", False),
        ("device: cuda:1", "preferred", ("cuda:1", "cuda:0")),
        ("device: cpu", "wants_cpu", True),
    ],
)
def test_what_a_model_s_entry_says_reaches_the_planner(
    folder: Path, extra: str, name: str, value: object
) -> None:
    (folder / "models.yaml").write_text(
        "use: {chat: small, detect: null, rank: null, read: null, media: med}\n"
        "models:\n"
        "  small: {backend: llama, role: chat}\n"
        f"  big: {{backend: llama, role: chat, {extra}}}\n"
        "  med: {backend: media, role: media}\n"
    )
    config = load_config(folder, {})

    plain = with_rules(plain_facts("small"), config)
    facts = with_rules(plain_facts("big"), config)

    assert getattr(plain, name) != value or name == "protected"
    assert getattr(facts, name) == value
