import json
from datetime import UTC, datetime
from pathlib import Path

from danzar.broker.decision import DecisionKind, make_decision
from danzar.broker.queue_view import QueueView, RunningView, WaitingView
from danzar.broker.reservations import Asked
from danzar.core.asker import RequestClass
from danzar.core.book import Book, Lease, LeaseState, Reservation
from danzar.core.device import ProcessUse
from danzar.core.eviction import Resident
from danzar.core.instance import InstanceState
from danzar.core.placement import plan_placement
from danzar.core.plan import Demand, PlanInputs, PlanRules
from danzar.core.variant import Rung, Variant
from danzar.explain.plan_explain import Verdict, explain
from danzar.http.model_json import explanation_json, model_json
from danzar.http.queue_json import queue_json
from danzar.http.status_json import (
    AlertFact,
    BotFacts,
    StatusFacts,
    WatchFact,
    devices_json,
    status_json,
)
from tests.gpu_memory.cards import cpu, gib, gpu, memories, seed_ledger
from tests.local.panel_status import share, view

CHAT = view(
    "chat",
    state=InstanceState.READY,
    shares=(share("cuda:0", gib(5), gib(6)), share("cpu", gib(1), gib(1))),
    rung=Rung.FULL,
    pinned=True,
    in_flight=1,
)


def test_the_body_is_exactly_the_documented_one():
    game = (ProcessUse(812, "game.exe", gib(1)),)
    (device,) = memories(
        gpu(0, 4.0, processes=game, simulated=True), ledger=seed_ledger(chat_gib=6.0)
    )
    facts = StatusFacts(
        bot=BotFacts("Danzar", True, 0.04, loop_lag_p99_s=0.002, rss_bytes=100),
        devices=[device],
        models=[CHAT, view("yolo", purpose="vision", waiting=2)],
        watches=[WatchFact(1, "sample", 120, "cuda:1")],
        alerts=[AlertFact("full", datetime(2026, 1, 1, tzinfo=UTC))],
        decisions=[make_decision(0.0, DecisionKind.LOAD, "chat", "room", "cuda:0")],
        asked=[Asked("GPU-0", "chat", gib(8), "ann", 0.0)],
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
                "reservations": [{"purpose": "chat", "bytes": gib(8), "by": "ann"}],
                "leases": [
                    {"model": "chat", "purpose": "chat", "bytes": gib(6), "state": "resident"}
                ],
            }
        ],
        "models": [
            {
                "name": "chat",
                "purpose": "chat",
                "state": "ready",
                "device": "cuda:0",
                "simulated": True,
                "queue": 0,
                "in_flight": 1,
                "rung": "full",
                "rung_text": "as configured",
                "degraded": None,
                "bytes": gib(6),
                "beside_bytes": gib(1),
                "estimated_bytes": gib(5),
                "shares": [
                    {
                        "uuid": "GPU-0",
                        "device": "cuda:0",
                        "bytes": gib(6),
                        "estimated_bytes": gib(5),
                        "lease": "resident",
                        "layers": None,
                    },
                    {
                        "uuid": "cpu",
                        "device": "cpu",
                        "bytes": gib(1),
                        "estimated_bytes": gib(1),
                        "lease": "resident",
                        "layers": None,
                    },
                ],
                "pinned": True,
                "protected": False,
                "priority": 0,
                "reload_s": 9.4,
                "reload_warm": False,
                "reload_measured": True,
                "standby": False,
                "warm_bytes": 0,
                "use_probability": 0.35,
                "idle_s": None,
                "yielded": False,
                "error": None,
                "text": "ready on cuda:0 (simulated); 6.0GB on cuda:0 (and 1.0GB of host RAM), "
                "measured; 5.0GB were estimated; 1 running · reload 9.4 s · "
                "wanted within 2 min: 35 %",
            },
            {
                **model_json(view("yolo", purpose="vision", waiting=2)),
                "state": "cold",
                "device": None,
                "bytes": None,
                "queue": 2,
            },
        ],
        "watches": [{"id": 1, "source": "sample", "frames": 120, "device": "cuda:1"}],
        "alerts": [{"text": "full", "at": "2026-01-01T00:00:00+00:00"}],
        "decisions": [
            {
                "at": "1970-01-01T00:00:00.000+00:00",
                "kind": "load",
                "model": "chat",
                "device": "cuda:0",
                "reason": "room",
                "text": "load chat on cuda:0: room",
            }
        ],
        "messages": ["00:00:00 load chat on cuda:0: room"],
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
            [CHAT],
            [WatchFact(1, "sample", 1, None)],
            [AlertFact("x", datetime(2026, 1, 1, tzinfo=UTC))],
            [make_decision(0.0, DecisionKind.LOAD, "chat", "room", "cuda:0")],
        )
    )
    assert {key for key in keys_of(body) if f'"{key}"' not in page} == set()


def test_every_key_of_an_explanation_is_in_the_documentation():
    page = Path("docs/status-api.md").read_text(encoding="utf-8")
    body = explanation_json(explain(*evicting()), evicting()[0], age_s=1.0)
    assert body["leaving"]
    assert body["devices"][0]["kept"]
    assert {key for key in keys_of(body) if f'"{key}"' not in page} == set()


def test_a_decisions_kind_and_an_explanations_words_are_documented():
    page = Path("docs/status-api.md").read_text(encoding="utf-8")
    words = [*DecisionKind, *Verdict, *(r for r in Rung if r is not Rung.MODEL), *LeaseState]
    assert [word for word in words if f"`{word}`" not in page] == []


def evicting():
    """A plan that has someone leave, on a device that keeps something."""
    lease = Lease(1, "clip", "vision", "GPU-0", gib(4), LeaseState.RESIDENT)
    kept = Reservation("GPU-0", "games", gib(1))
    clip = Resident("clip", (("GPU-0", 1, gib(4)),), reload_s=2.0, use_probability=0.25)
    demand = Demand("chat", "chat", (Variant(Rung.FULL, gib(5), gib(5)),), 0, 0, ("GPU-0",))
    book = Book((kept,), leases=(lease,))
    inputs = PlanInputs(demand, (gpu(0, 3.0),), book, (clip,), PlanRules(), 0.0)
    return inputs, plan_placement(inputs)


def keys_of(value):
    if isinstance(value, dict):
        return set(value) | {key for inner in value.values() for key in keys_of(inner)}
    if isinstance(value, list):
        return {key for inner in value for key in keys_of(inner)}
    return set()


def test_every_key_of_the_queue_is_in_the_documentation():
    page = Path("docs/status-api.md").read_text(encoding="utf-8")
    running = RunningView(1, RequestClass.CHAT, 3.0, 0.0, "4711")
    waiting = WaitingView(2, RequestClass.WATCH, 1, 2.5, None, 90.0, "4711")
    body = queue_json([QueueView("chat", InstanceState.READY, 1, 4.1, (running,), (waiting,))])
    row = body["queues"][0]
    assert row["running"][0]["person"] == row["waiting"][0]["person"] == 1
    assert {key for key in keys_of(body) if f'"{key}"' not in page} == set()
