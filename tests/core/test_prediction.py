"""What is learned of when models are used, and what that says of the next minutes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from danzar.core.prediction import Habits, Moment, PredictionRules, predict, predictions
from danzar.core.prediction_days import DAY_S, KEEP_DAYS, SLOT_S, DaySlots
from danzar.core.prediction_follow import Follows
from danzar.core.prediction_hints import HintKind, Hints
from danzar.core.prediction_trust import Forecasts, Source
from danzar.core.usage import Usage

RULES = PredictionRules(enabled=True)
HOUR_S = 3600.0
MONDAY_S = 4 * DAY_S  # 1970 began with a Thursday


def lived(habits: Habits, days: int, uses_h: dict[str, float], *, skip=()) -> float:
    """Let Danzar run for some days from a Monday; each model is used once a day at its hour."""
    for day in range(days):
        for slot in range(0, DAY_S, SLOT_S):
            now_s = day * DAY_S + slot
            habits.note_time(MONDAY_S + now_s, now_s)
            for model, hour in uses_h.items():
                if slot == round(hour * HOUR_S / SLOT_S) * SLOT_S and day not in skip:
                    habits.note_use(model, now_s, RULES)
    return days * DAY_S


def by_hour(habits: Habits, model: str, now_s: float):
    habits.note_time(MONDAY_S + now_s, now_s)
    found = predictions(habits, model, Usage(), Moment(now_s, RULES))
    return next(p for p in found if p.source is Source.HOUR)


def test_what_is_used_every_evening_is_expected_in_the_evening_and_not_in_the_morning():
    habits = Habits()
    today_s = lived(habits, 7, {"chat": 20})
    evening = by_hour(habits, "chat", today_s + 19.5 * HOUR_S)
    morning = by_hour(habits, "chat", today_s + 8 * HOUR_S)
    assert evening.probability > 0.8
    assert morning.probability < 0.1
    assert "on 7 of 7 days" in evening.reason


def test_a_load_waits_until_shortly_before_the_hour():
    habits = Habits()
    today_s = lived(habits, 7, {"chat": 20})
    assert not by_hour(habits, "chat", today_s + 19.1 * HOUR_S).timely
    assert by_hour(habits, "chat", today_s + 19.9 * HOUR_S).timely


def test_a_habit_of_some_days_is_as_likely_as_it_is_frequent():
    habits = Habits()
    today_s = lived(habits, 12, {"chat": 20}, skip=(1, 3, 5, 7, 9, 11))
    found = by_hour(habits, "chat", today_s + 19.5 * HOUR_S)
    assert 0.25 < found.probability < 0.7
    assert "on 6 of 12 days" in found.reason


def test_working_days_say_little_about_a_saturday():
    habits = Habits()
    saturday_s = lived(habits, 12, {"chat": 20}, skip=(5, 6))
    assert by_hour(habits, "chat", saturday_s + 19.5 * HOUR_S).probability < 0.7


def test_time_in_which_danzar_did_not_run_says_nothing():
    used, observed = DaySlots(), DaySlots()
    used.note(MONDAY_S)
    habits = Habits(observed=observed, used={"chat": used})
    found = [p.source for p in predictions(habits, "chat", Usage(), Moment(DAY_S, RULES))]
    assert Source.HOUR not in found


def test_only_the_newest_days_are_kept():
    slots = DaySlots()
    for day in range(100):
        slots.note(day * DAY_S)
    assert len(slots.days) == KEEP_DAYS


@given(st.sets(st.integers(0, 3 * DAY_S // SLOT_S - 1)), st.integers(0, 2 * DAY_S // SLOT_S))
def test_a_window_counts_the_slots_in_it_also_across_midnight(slots, begin):
    days = DaySlots()
    for slot in slots:
        days.note(slot * SLOT_S + 1.0)
    expected = sum(begin <= slot < begin + 12 for slot in slots)
    assert days.count(begin * SLOT_S, HOUR_S) == expected


def test_what_follows_what_is_learned():
    follows = Follows()
    for i in range(10):
        at_s = 1000.0 * i
        follows.note_use("yolo", at_s, 300)
        follows.note_use("chat", at_s + 12, 300)
    follows.note_use("yolo", 10_000.0, 300)
    assert follows.probability("yolo", "chat", 10_001.0, 300) > 0.8
    assert follows.probability("chat", "yolo", 10_001.0, 300) < 0.1
    assert follows.companions("yolo", 0.5) == ("chat",)


def test_what_has_not_followed_for_long_is_not_expected_any_more():
    follows = Follows()
    for i in range(10):
        follows.note_use("yolo", 1000.0 * i, 300)
        if i % 2:
            follows.note_use("chat", 1000.0 * i + 12, 300)
    follows.note_use("yolo", 10_000.0, 300)
    soon = follows.probability("yolo", "chat", 10_001.0, 300)
    later = follows.probability("yolo", "chat", 10_060.0, 300)
    assert 0.3 < soon < 0.6
    assert later < 0.1
    assert follows.probability("yolo", "chat", 10_060.0, 300, running=True) == pytest.approx(
        soon, abs=0.1
    )


def test_a_hint_that_is_never_followed_comes_to_count_for_little():
    hints = Hints()
    hints.note("chat", HintKind.TYPING, 0.0)
    before = hints.best("chat", 1.0)
    for i in range(1, 30):
        hints.note("chat", HintKind.TYPING, 1000.0 * i)
    after = hints.best("chat", 29_001.0)
    assert before is not None
    assert after is not None
    assert after[1] < 0.2 < before[1]


def test_typing_on_and_on_is_one_hint():
    hints = Hints()
    for i in range(50):
        hints.note("chat", HintKind.TYPING, 10.0 * i)
    hints.note_use("chat", 500.0)
    record = hints.records["chat", HintKind.TYPING]
    assert (record.given, record.followed) == (1.0, 1.0)


def test_a_hint_ends_by_itself():
    hints = Hints()
    hints.note("chat", HintKind.TYPING, 0.0)
    assert hints.best("chat", 3600.0) is None


def test_a_source_that_promises_too_much_is_believed_less():
    forecasts = Forecasts()
    for i in range(30):
        forecasts.note("chat", Source.HOUR, 0.9, 100.0 * i + 50)
        if i % 3 == 0:
            forecasts.note_use("chat", 100.0 * i + 10)
        forecasts.expire(100.0 * (i + 1))
    assert forecasts.trust(Source.HOUR) < 0.6
    assert forecasts.trust(Source.HINT) == 1.0


def test_the_surest_source_is_taken_and_nothing_is_said_without_one():
    habits = Habits()
    assert predict(habits, "chat", Usage(), Moment(0.0, RULES)) is None
    habits.hints.note("chat", HintKind.UPLOAD, 0.0)
    habits.hints.note("chat", HintKind.TYPING, 0.0)
    found = predict(habits, "chat", Usage(), Moment(1.0, RULES))
    assert found is not None
    assert (found.source, found.reason.split(" (")[0]) == (Source.HINT, "an upload has begun")


@given(
    st.lists(st.tuples(st.floats(0, 5 * DAY_S), st.sampled_from("ab"), st.booleans()), max_size=40)
)
def test_whatever_happens_a_prediction_is_a_probability(happenings):
    habits, usages = Habits(), {"a": Usage(), "b": Usage()}
    now_s = 0.0
    for now_s, model, is_hint in sorted(happenings):
        habits.note_time(MONDAY_S + now_s, now_s)
        if is_hint:
            habits.hints.note(model, HintKind.TYPING, now_s)
        else:
            habits.note_use(model, now_s, RULES)
            usages[model].note_use(now_s)
    for model, usage in usages.items():
        found = predict(habits, model, usage, Moment(now_s, RULES, frozenset("a")))
        assert found is None or (0 <= found.probability <= 1 and 0 <= found.soon <= 1)
