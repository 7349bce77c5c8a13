"""What loading ahead has brought, in words, in JSON and in Discord."""

from dataclasses import replace

from cogs.prefetch_render import render_prefetch
from danzar.broker.prefetch_view import prefetch_view
from danzar.core.events import HintGiven, JobSubmitted, LoadFinished, SnapshotsTaken
from danzar.core.model import Job
from danzar.core.prediction import PredictionRules
from danzar.core.prediction_hints import HintKind
from danzar.explain.prefetch_text import summary_text
from danzar.http.prefetch_json import prefetch_json
from tests.core.worlds import gpu, host, make_scheduler, model

CARD = (gpu(), host())


def scheduler_of(*, enabled=True):
    scheduler = make_scheduler(model("chat", 3), model("yolo", 1), model("sdxl", 20))
    rules = replace(scheduler.state.rules, prediction=PredictionRules(enabled=enabled))
    scheduler.set_rules(rules)
    scheduler.handle(SnapshotsTaken(CARD), 0.0)
    return scheduler


def lived():
    """A hit of chat's, a miss of yolo's; yolo loaded ahead in vain; chat is typed for."""
    scheduler = scheduler_of()
    for name, kind, now_s in (("chat", HintKind.WATCH, 1.0), ("yolo", HintKind.UPLOAD, 20.0)):
        scheduler.handle(HintGiven(name, kind), now_s)
        for load in scheduler.look_ahead(now_s):
            if hasattr(load, "load_id"):
                done = LoadFinished(name, load.load_id, (), CARD, 2.0)
                scheduler.handle(done, now_s + 2)
    scheduler.handle(JobSubmitted(Job(1, "chat", 30.0)), 30.0)
    scheduler.handle(HintGiven("sdxl", HintKind.TYPING), 30.0)
    scheduler.look_ahead(31.0)
    return scheduler


def test_the_accounts_are_told_with_what_is_there_and_what_is_expected():
    text = render_prefetch(prefetch_view(lived().state, 31.0))
    assert "Loaded ahead: 2. Asked for in time: 1. In vain: 0 (0 %" in text
    assert "yolo is loaded ahead for" in text
    assert "an upload has begun" in text
    assert "sdxl: 9" in text
    assert "chat: 1 of 1 loads ahead asked for" in text


def test_a_load_in_vain_is_told_with_its_bytes():
    scheduler = lived()
    scheduler.look_ahead(5000.0)
    body = prefetch_json(prefetch_view(scheduler.state, 5000.0))
    assert body["total"]["wasted"] == 1
    assert body["total"]["wasted_share"] == 0.5
    assert body["total"]["wasted_bytes"] == 1024**3
    assert "In vain: 1 (50 %, 1.0GB)" in body["text"]
    assert {m["name"] for m in body["models"]} == {"chat", "yolo"}


def test_nothing_yet_and_switched_off_are_said_plainly():
    new = prefetch_view(scheduler_of().state, 0.0)
    assert summary_text(new) == "Nothing was loaded ahead yet. Loads nobody foresaw: 0."
    off = prefetch_view(scheduler_of(enabled=False).state, 0.0)
    assert "switched off" in render_prefetch(off)
    assert prefetch_json(off)["total"]["wasted_share"] is None
