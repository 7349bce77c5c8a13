import json
from datetime import UTC, datetime
from pathlib import Path

from danzar.core.device import ProcessUse
from danzar.http.status_json import (
    AlertFact,
    BotFacts,
    ModelFact,
    StatusFacts,
    WatchFact,
    devices_json,
    status_json,
)
from tests.gpu_memory.cards import cpu, gib, gpu, memories, seed_ledger


def test_the_body_is_exactly_the_documented_one():
    game = (ProcessUse(812, "game.exe", gib(1)),)
    (device,) = memories(
        gpu(0, 4.0, processes=game, simulated=True), ledger=seed_ledger(chat_gib=6.0)
    )
    facts = StatusFacts(
        bot=BotFacts("Danzar", True, 0.04, loop_lag_p99_s=0.002, rss_bytes=100),
        devices=[device],
        models=[ModelFact("chat", "ready", "cuda:0", 0), ModelFact("yolo", "cold", None, 2)],
        watches=[WatchFact(1, "sample", 120, "cuda:1")],
        alerts=[AlertFact("full", datetime(2026, 1, 1, tzinfo=UTC))],
        messages=["hello"],
    )
    assert status_json(facts) == {
        "version": 1,
        "bot": {
            "name": "Danzar",
            "ready": True,
            "latency_s": 0.04,
            "loop_lag_p99_s": 0.002,
            "rss_bytes": 100,
        },
        "devices": [
            {
                "uuid": "GPU-0",
                "label": "cuda:0",
                "name": "NVIDIA GeForce RTX 4070",
                "simulated": True,
                "total_bytes": gib(12),
                "free_bytes": gib(4),
                "used_bytes": gib(8),
                "foreign_bytes": gib(2),
                "foreign": [{"pid": 812, "name": "game.exe", "used_bytes": gib(1)}],
                "utilisation_pct": 12.0,
                "temperature_c": 61.0,
                "reservations": [{"purpose": "chat", "bytes": gib(8)}],
                "leases": [
                    {"model": "chat", "purpose": "chat", "bytes": gib(6), "state": "resident"}
                ],
            }
        ],
        "models": [
            {"name": "chat", "state": "ready", "device": "cuda:0", "queue": 0},
            {"name": "yolo", "state": "cold", "device": None, "queue": 2},
        ],
        "watches": [{"id": 1, "source": "sample", "frames": 120, "device": "cuda:1"}],
        "alerts": [{"text": "full", "at": "2026-01-01T00:00:00+00:00"}],
        "messages": ["hello"],
    }


def test_unknown_is_null_and_never_nan_or_zero():
    facts = StatusFacts(BotFacts("Danzar", False, float("nan")), memories(gpu(0, None), cpu()))
    body = json.loads(json.dumps(status_json(facts), allow_nan=False))
    assert body["bot"]["latency_s"] is None
    device = body["devices"][0]
    assert device["free_bytes"] is None
    assert device["used_bytes"] is None
    assert device["foreign_bytes"] is None
    assert body["devices"][1]["label"] == "cpu"
    assert body["devices"][1]["utilisation_pct"] is None


def test_devices_alone_are_versioned_too():
    body = devices_json(memories(gpu(0, 4.0)))
    assert body["version"] == 1
    assert [d["label"] for d in body["devices"]] == ["cuda:0"]


def test_every_key_is_in_the_documentation():
    page = Path("docs/status-api.md").read_text(encoding="utf-8")
    body = status_json(
        StatusFacts(
            BotFacts("Danzar", True, 0.04),
            memories(
                gpu(0, 4.0, processes=(ProcessUse(1, "game.exe", 1),)),
                ledger=seed_ledger(chat_gib=6.0),
            ),
            [ModelFact("chat", "ready", None, 0)],
            [WatchFact(1, "sample", 1, None)],
            [AlertFact("x", datetime(2026, 1, 1, tzinfo=UTC))],
        )
    )
    assert {key for key in keys_of(body) if f'"{key}"' not in page} == set()


def keys_of(value):
    if isinstance(value, dict):
        return set(value) | {key for inner in value.values() for key in keys_of(inner)}
    if isinstance(value, list):
        return {key for inner in value for key in keys_of(inner)}
    return set()
