from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families as read_text

from danzar.broker.news import (
    LoadEnded,
    LoadOutcome,
    ModelLost,
    NewsDesk,
    PlanMade,
    RequestEnded,
    RequestOutcome,
    UnloadBegan,
)
from danzar.core.asker import RequestClass
from danzar.core.leaving import UnloadCause
from danzar.jobs.contract import JobState
from danzar.metrics import counts as counts_module
from danzar.metrics import names
from danzar.metrics.counts import Counts
from danzar.metrics.tally import Tally
from danzar.metrics.text import render
from danzar.optimizer.results import MemoryOptimizationResult
from danzar.workers.contract import (
    CaptureEnded,
    DetectedBatch,
    Embeddings,
    Generated,
    RankedBatch,
    TextBatch,
    TokenCounts,
)
from tests.gpu_memory.cards import gpu

MODELS = ("chat", "yolo")
CARDS = (gpu(0, 6.0, simulated=True), gpu(1, 4.0))
CARD_0 = ("cuda:0", "GPU-0", "true")


@pytest.fixture
def tally():
    return Tally(lambda: MODELS, lambda: CARDS)


def counted(tally, metric):
    return dict(tally.counts.families()).get(metric, {})


def answered(result, model="chat", kind=RequestClass.CHAT):
    return RequestEnded(model, kind, RequestOutcome.ANSWERED, 2.0, 0.5, result)


def result_of(action, *, success=True, freed=None):
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return MemoryOptimizationResult(action, success, "why", freed, None, None, 1.0, at)


# --- requests --------------------------------------------------------------------------------


def test_an_answer_counts_its_tokens_its_wait_and_its_time(tally):
    tally.hear(answered(Generated("stop", 40, 7, 30)))
    assert counted(tally, names.TOKENS) == {
        ("chat", "prompt"): 10,
        ("chat", "reused"): 30,
        ("chat", "generated"): 7,
    }
    assert counted(tally, names.REQUEST_WAIT)[("chat",)].total == 0.5
    assert counted(tally, names.REQUEST_SECONDS)["chat", "chat"].total == 2.0


@pytest.mark.parametrize("outcome", RequestOutcome)
def test_a_request_counts_once_and_its_other_outcomes_are_known_to_be_0(tally, outcome):
    tally.hear(RequestEnded("chat", RequestClass.JOB, outcome, 1.0, None, None))
    rows = counted(tally, names.REQUESTS)
    assert rows["chat", "job", outcome] == 1
    assert {row[2] for row in rows} == set(RequestOutcome)
    assert sum(rows.values()) == 1


def test_what_never_started_has_no_wait_and_what_failed_no_time(tally):
    tally.hear(RequestEnded("chat", RequestClass.CHAT, RequestOutcome.REFUSED, 9.0, None, None))
    waits = counted(tally, names.REQUEST_WAIT)
    assert set(waits) == {(kind,) for kind in RequestClass}
    assert all(sum(wait.counts) == 0 for wait in waits.values())
    assert not counted(tally, names.REQUEST_SECONDS)


@pytest.mark.parametrize(
    ("result", "frames"),
    [
        (DetectedBatch(((), ())), 2),
        (RankedBatch(((), (), ())), 3),
        (TextBatch(((),)), 1),
        (Embeddings(((1.0,), (1.0,))), 2),
    ],
)
def test_every_picture_that_was_looked_at_counts(tally, result, frames):
    tally.hear(answered(result, "yolo", RequestClass.WATCH))
    assert counted(tally, names.FRAMES) == {("yolo",): frames}


def test_texts_that_were_embedded_count_as_tokens(tally):
    tally.hear(answered(Embeddings(((1.0,),), tokens=12)))
    assert counted(tally, names.TOKENS) == {("chat", "prompt"): 12}


def test_a_capture_says_nothing_about_how_quick_a_model_is(tally):
    tally.hear(answered(CaptureEnded("end", 900), "yolo", RequestClass.WATCH))
    assert not counted(tally, names.REQUEST_SECONDS)
    assert counted(tally, names.REQUESTS)["yolo", "watch", "answered"] == 1


def test_models_that_somebody_invents_make_one_series_together(tally):
    for name in ("gpt-9", "gpt-10", "'; drop"):
        tally.hear(RequestEnded(name, RequestClass.CHAT, RequestOutcome.REFUSED, 0.0, None, None))
        tally.job_ended(name, JobState.FAILED)
    assert counted(tally, names.REQUESTS)["unknown", "chat", "refused"] == 3
    assert counted(tally, names.JOBS)["unknown", "failed"] == 3


# --- loads, unloads, workers -----------------------------------------------------------------


def test_a_load_counts_with_its_card_its_seconds_and_how_far_the_estimate_was_off(tally):
    tally.hear(LoadEnded("chat", "GPU-0", LoadOutcome.LOADED, 3.0, "", 90, 100))
    assert counted(tally, names.LOADS)["chat", *CARD_0, "loaded"] == 1
    assert counted(tally, names.LOAD_SECONDS)[("chat",)].total == 3.0
    assert tally.estimate_errors() == {("chat",): pytest.approx(0.1)}


def test_an_unmeasured_load_says_nothing_about_the_estimate(tally):
    tally.hear(LoadEnded("chat", "GPU-0", LoadOutcome.LOADED, 3.0, "", 90, None))
    assert tally.estimate_errors() == {}


def test_a_failed_load_has_an_outcome_and_no_seconds(tally):
    tally.hear(LoadEnded("chat", "GPU-0", LoadOutcome.OUT_OF_MEMORY, 3.0, "full"))
    assert counted(tally, names.LOADS)["chat", *CARD_0, "out_of_memory"] == 1
    assert not counted(tally, names.LOAD_SECONDS)


def test_an_eviction_counts_by_its_reason_and_steps_from_0(tally):
    tally.hear(LoadEnded("chat", "GPU-0", LoadOutcome.LOADED, 3.0))
    assert set(counted(tally, names.EVICTIONS).values()) == {0}
    tally.hear(UnloadBegan("chat", "GPU-0", UnloadCause.OTHER_PROGRAMS))
    assert counted(tally, names.EVICTIONS)["chat", *CARD_0, "other_programs"] == 1


def test_what_ends_on_a_card_that_is_gone_keeps_the_cards_name(tally):
    cards = [*CARDS]
    tally = Tally(lambda: MODELS, lambda: tuple(cards))
    tally.hear(UnloadBegan("chat", "GPU-0", UnloadCause.IDLE))
    cards.clear()
    tally.hear(UnloadBegan("chat", "GPU-0", UnloadCause.IDLE))
    assert counted(tally, names.EVICTIONS) == {("chat", *CARD_0, "idle"): 2}


def test_a_lost_worker_counts_for_each_of_its_models(tally):
    assert counted(tally, names.WORKER_LOST) == {("chat",): 0, ("yolo",): 0}
    tally.hear(ModelLost("yolo", "GPU-1"))
    assert counted(tally, names.WORKER_LOST)[("yolo",)] == 1


# --- the optimizer ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "counts"),
    [
        (result_of("trim", freed=10), (1, 1, 1, 0, 10)),
        (result_of("recycle"), (1, 1, 1, 0, 0)),
        (result_of("batch"), (1, 1, 0, 1, 0)),
        (result_of("trim+recycle+batch", freed=7), (1, 1, 1, 1, 7)),
        (result_of("none"), (1, 1, 0, 0, 0)),
        (result_of("trim", success=False), (1, 0, 1, 0, 0)),
    ],
)
def test_the_seeds_five_count_what_was_done(tally, result, counts):
    five = (
        names.OPTIMIZATIONS,
        names.OPTIMIZATIONS_SUCCESS,
        names.CLEANUPS,
        names.BATCH_OPTIMIZATIONS,
        names.FREED_BYTES,
    )
    assert [counted(tally, metric)[()] for metric in five] == [0] * 5
    tally.optimized(result)
    assert tuple(counted(tally, metric)[()] for metric in five) == counts


# --- it never falls over ---------------------------------------------------------------------

_models = st.sampled_from([*MODELS, "nobody's"])
_uuids = st.sampled_from(["GPU-0", "GPU-1", "cpu", "GPU-gone"])
_seconds = st.floats(0, 1e6)
_results = st.sampled_from(
    [None, Generated("stop", 3, 4, 5), DetectedBatch(((),)), TokenCounts((1,)), Embeddings(())]
)
_news = st.one_of(
    st.builds(
        RequestEnded,
        _models,
        st.sampled_from(RequestClass),
        st.sampled_from(RequestOutcome),
        _seconds,
        st.none() | _seconds,
        _results,
    ),
    st.builds(
        LoadEnded,
        _models,
        _uuids,
        st.sampled_from(LoadOutcome),
        _seconds,
        st.just(""),
        st.integers(0, 2**40),
        st.none() | st.integers(0, 2**40),
    ),
    st.builds(UnloadBegan, _models, _uuids, st.sampled_from(UnloadCause)),
    st.builds(ModelLost, _models, _uuids),
    st.builds(PlanMade, _seconds),
)


@given(st.lists(_news, max_size=40))
def test_whatever_happens_counters_only_grow_and_the_text_can_be_read(events):
    tally = Tally(lambda: MODELS, lambda: CARDS)
    before = {}
    for event in events:
        tally.hear(event)
        text = render(tally.counts.families(), "n").decode()
        after = {
            (s.name, tuple(sorted(s.labels.items()))): s.value
            for family in read_text(text)
            for s in family.samples
        }
        assert all(after[key] >= value for key, value in before.items())
        before = after


def test_series_are_bounded_whatever_comes(monkeypatch, caplog):
    monkeypatch.setattr(counts_module, "MOST_SERIES", 3)
    counts = Counts()
    for number in range(10):
        counts.add(names.FRAMES, f"model-{number}")
        counts.observe(names.LOAD_SECONDS, 1.0, f"model-{number}")
    assert [len(rows) for _, rows in counts.families()] == [3, 3]
    assert len(caplog.records) == 2


def test_a_listener_that_fails_is_told_of_once_and_disturbs_no_other(caplog):
    desk, heard = NewsDesk(), []

    def broken(_news):
        raise ValueError("no")

    desk.add_listener(broken)
    desk.add_listener(heard.append)
    desk.tell(PlanMade(0.1))
    desk.tell(PlanMade(0.2))
    assert [news.seconds for news in heard] == [0.1, 0.2]
    assert len(caplog.records) == 1
