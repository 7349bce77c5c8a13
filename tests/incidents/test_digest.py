"""The daily digest: when it is due, whatever the clocks do, and what it tells."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from danzar.broker.news import (
    LoadEnded,
    LoadOutcome,
    RequestEnded,
    RequestOutcome,
    UnloadBegan,
)
from danzar.core.asker import RequestClass
from danzar.core.leaving import UnloadCause
from danzar.core.pressure import Level
from danzar.incidents.day import DayLog
from danzar.incidents.digest import (
    DigestFacts,
    digest_sections,
    due_day,
)
from danzar.incidents.record import IncidentRecord
from danzar.local_days import local_in, next_due
from danzar.workers.contract import Generated
from tests.gpu_memory.cards import gpu, memories

BERLIN = ZoneInfo("Europe/Berlin")
LOCAL = local_in(BERLIN)
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
BEGINNINGS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1))  # noqa: DTZ001


def berlin(*when, fold=0):
    return datetime(*when, tzinfo=BERLIN, fold=fold)


@pytest.mark.parametrize(
    ("now", "last", "due"),
    [
        pytest.param(berlin(2026, 6, 2, 8, 59), date(2026, 6, 1), None, id="not yet"),
        pytest.param(berlin(2026, 6, 2, 9, 0), date(2026, 6, 1), date(2026, 6, 2), id="on time"),
        pytest.param(berlin(2026, 6, 2, 9, 1), date(2026, 6, 2), None, id="not twice"),
        pytest.param(
            berlin(2026, 6, 2, 14, 59), date(2026, 6, 1), date(2026, 6, 2), id="caught up"
        ),
        pytest.param(berlin(2026, 6, 2, 15, 0), date(2026, 6, 1), None, id="too late"),
        pytest.param(berlin(2026, 6, 9, 9, 0), date(2026, 6, 1), date(2026, 6, 9), id="after days"),
    ],
)
def test_when_a_digest_is_due(now, last, due):
    assert due_day(now, time(9), last, LOCAL) == due


def test_late_in_the_evening_it_is_caught_up_after_midnight_as_the_day_before():
    found = due_day(berlin(2026, 6, 2, 1), time(22), date(2026, 5, 31), LOCAL)
    assert found == date(2026, 6, 1)


def test_an_hour_that_the_clocks_skip_comes_right_after_the_gap():
    # 29 March 2026: 02:00 becomes 03:00.
    assert due_day(berlin(2026, 3, 29, 1, 59), time(2, 30), date(2026, 3, 28), LOCAL) is None
    due = due_day(berlin(2026, 3, 29, 3, 30), time(2, 30), date(2026, 3, 28), LOCAL)
    assert due == date(2026, 3, 29)


def test_an_hour_that_the_clocks_repeat_comes_once():
    # 25 October 2026: 03:00 becomes 02:00.
    first = berlin(2026, 10, 25, 2, 30)
    assert due_day(first, time(2, 30), date(2026, 10, 24), LOCAL) == date(2026, 10, 25)
    again = berlin(2026, 10, 25, 2, 30, fold=1)
    assert due_day(again, time(2, 30), date(2026, 10, 25), LOCAL) is None


@given(
    BEGINNINGS,
    st.times(),
    st.lists(st.integers(1, 30 * 3600), max_size=60),
)
def test_whatever_the_clocks_do_each_day_has_one_digest_at_most(begin, at, waits):
    now = begin.replace(tzinfo=BERLIN).astimezone(UTC)
    last, sent = begin.date() - timedelta(days=1), []
    for wait_s in waits:
        now += timedelta(seconds=wait_s)
        due = due_day(now.astimezone(BERLIN), at, last, LOCAL)
        if due is not None:
            sent.append(due)
            last = due
    assert sent == sorted(set(sent))


@given(BEGINNINGS, st.times())
def test_the_next_time_is_ahead_and_within_two_days(naive, at):
    now = naive.replace(tzinfo=BERLIN)
    ahead = next_due(now, at, LOCAL).astimezone(UTC) - now.astimezone(UTC)
    assert timedelta(0) < ahead <= timedelta(days=1, hours=1)


def test_this_machines_zone_is_taken_where_none_is_named():
    naive = datetime(2026, 6, 1, 9)  # noqa: DTZ001
    assert local_in(None)(naive) == naive.astimezone()


# --- what is counted ------------------------------------------------------------------------


class Day:
    def __init__(self):
        self.now = NOON
        self.log = DayLog(lambda: self.now)

    def request(self, outcome=RequestOutcome.ANSWERED, *, waited_s=0.5, error="", result=None):
        kind = RequestClass.CHAT
        self.log.hear(RequestEnded("chat", kind, outcome, 2.0, waited_s, result, error))


def sections(day, *records, muted=()):
    facts = DigestFacts(day.now, NOON, day.log.figures(), records, muted)
    return {section.title: section.text for section in digest_sections(facts)}


def test_it_tells_requests_waits_models_and_peaks():
    day = Day()
    answer = Generated("stop", prompt_tokens=1000, completion_tokens=20)
    for n in range(100):
        day.request(waited_s=10.0 if n == 99 else 0.2, result=answer)
    day.request(RequestOutcome.REFUSED, waited_s=None, error="QueueFull")
    day.request(RequestOutcome.REFUSED, waited_s=None, error="QueueFull")
    day.request(RequestOutcome.REFUSED, waited_s=None, error="CannotPlace")
    day.request(RequestOutcome.FAILED, waited_s=None, error="WorkerDied")
    day.log.hear(LoadEnded("chat", "GPU-1", LoadOutcome.LOADED, 3.0))
    day.log.hear(LoadEnded("chat", "GPU-1", LoadOutcome.ERROR, 3.0, "no file"))
    day.log.hear(UnloadBegan("chat", "GPU-1", UnloadCause.OTHER_PROGRAMS))
    day.now += timedelta(hours=1)
    day.log.note(memories(gpu(1, 2.0, simulated=True)))
    day.now += timedelta(hours=1)
    day.log.note(memories(gpu(1, 9.0, simulated=True)))
    told = sections(day)
    at = int((NOON + timedelta(hours=1)).timestamp())
    assert told["Requests"] == (
        "100 answered (chat 100)\n3 refused (queue full 2, no room 1)\n1 failed\n"
        "100,000 tokens read, 2,000 written"
    )
    half, nearly_all = _waits(told["Waits"])
    assert half == pytest.approx(0.2, rel=0.06)
    assert nearly_all == pytest.approx(0.2, rel=0.06)
    assert told["Models"] == "1 loaded, 1 could not be\n1 unloaded (other programs 1)"
    assert told["Fullest moments"] == f"cuda:1 (simulated): 10.0GB of 12.0GB (83 %), <t:{at}:t>"
    assert told["Incidents"] == "None."


def _waits(text):
    words = text.replace("half within ", "").replace("99 % within ", "").split(": ")[1]
    return [_in_seconds(part.split(" (")[0]) for part in words.split(", ")[:2]]


def _in_seconds(text):
    number, unit = text.split()
    return float(number) / (1000 if unit == "ms" else 1)


def test_after_a_restart_it_says_since_when_its_figures_count():
    day = Day()
    day.now += timedelta(hours=2)
    assert sections(day)["Running"] == (
        f"Up for 2 h 0 min. The figures count since <t:{int(NOON.timestamp())}:f>."
    )
    day.now += timedelta(hours=70)
    assert sections(day)["Running"] == "Up for 72 h 0 min."


def test_what_is_older_than_a_day_is_forgotten():
    day = Day()
    day.request()
    day.now += timedelta(hours=25)
    assert sections(day)["Requests"] == "None."


def test_however_long_it_runs_it_stays_as_large():
    day = Day()
    for n in range(5000):
        day.now += timedelta(seconds=300)
        day.request(waited_s=1.1**n if n < 300 else 0.0)
    assert len(day.log._steps) <= 145
    assert sections(day)["Requests"].startswith("288 answered") or day.log.figures().outcomes


def test_incidents_are_listed_the_worst_first_chosen_and_the_rest_counted():
    day = Day()
    records = [
        IncidentRecord(
            number=n,
            key=f"memory:{n}",
            level=Level.NORMAL,
            worst=Level.CRITICAL if n == 3 else Level.WARNING,
            text="",
            worst_text="Full: cuda:1. Close it",
            opened_at=NOON - timedelta(seconds=90),
            seen_at=NOON,
            trouble_since=NOON,
            closed_at=NOON,
            returns=5 if n == 3 else 0,
        )
        for n in range(1, 14)
    ]
    text = sections(day, *records, muted=["Muted: heat:x"])["Incidents"]
    assert "**#3** critical, 1 min 30 s, came and went: Full: cuda:1" in text
    assert "and 3 lesser ones" in text
    assert text.endswith("🔕 Muted: heat:x")
