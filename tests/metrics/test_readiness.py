from dataclasses import replace

import pytest

from danzar.readiness import Check, ModelFate, NeededModel, Readiness, ReadyFacts, judge

WELL = ReadyFacts(
    started=True,
    connected=True,
    figures_age_s=0.4,
    figures_stale=False,
    figures_error=None,
    models=(
        NeededModel("smollm2", "chat", ModelFate.LOADED),
        NeededModel("media", "media", ModelFate.ON_DEMAND),
    ),
    queue_up=True,
)


def broken(error):
    return (NeededModel("smollm2", "chat", ModelFate.BROKEN, error),)


def test_with_everything_there_it_is_ready_and_nothing_is_missing():
    readiness = judge(WELL)
    assert readiness.ready
    assert readiness.missing == ()
    assert [c.name for c in readiness.checks] == ["start", "discord", "telemetry", "models", "jobs"]


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        pytest.param({"started": False}, "Danzar is still starting", id="before the first loads"),
        pytest.param(
            {"connected": False}, "Discord's gateway is not connected", id="without its gateway"
        ),
        pytest.param(
            {"figures_age_s": 42.0, "figures_stale": True, "figures_error": "the driver hangs"},
            "the devices' figures are 42 s old: the driver hangs",
            id="figures too old",
        ),
        pytest.param(
            {"figures_age_s": float("inf"), "figures_stale": True},
            "there were no figures of the devices yet",
            id="no figures yet",
        ),
        pytest.param(
            {"models": broken("no such file")},
            "the model smollm2 (chat) can't be loaded: no such file",
            id="a model that can't start",
        ),
        pytest.param(
            {"models": (NeededModel("media", "media", ModelFate.COMING),)},
            "the model media is being loaded",
            id="the first load under way",
        ),
        pytest.param(
            {"queue_up": False}, "the queue of jobs does not answer", id="the queue is away"
        ),
    ],
)
def test_what_is_missing_is_said_in_words(change, missing):
    readiness = judge(replace(WELL, **change))
    assert not readiness.ready
    assert readiness.missing == (missing,)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"models": ()}, id="no model is used"),
        pytest.param(
            {"models": (NeededModel("smollm2", "chat", ModelFate.ON_DEMAND),)},
            id="a model left for a game, or because it was idle",
        ),
        pytest.param({"figures_age_s": 4.0, "figures_stale": True}, id="the driver hiccups"),
        pytest.param({"figures_error": "hangs"}, id="one answer of the driver was missed"),
    ],
)
def test_what_passes_by_itself_is_no_reason_to_be_unready(change):
    assert judge(replace(WELL, **change)).ready


def test_what_is_not_asked_for_has_no_check():
    readiness = judge(replace(WELL, connected=None, queue_up=None))
    assert [check.name for check in readiness.checks] == ["start", "telemetry", "models"]
    assert readiness.ready


def test_all_that_is_missing_is_listed():
    readiness = Readiness(
        (Check("a", False, "no a"), Check("b", True, "b"), Check("c", False, "c!"))
    )
    assert readiness.missing == ("no a", "c!")
