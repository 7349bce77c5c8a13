from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from danzar.config.profile import ConceptCondition, HudCondition, RuleSettings, SeenCondition
from danzar.vision.observations import Detection, Hud, Insight
from danzar.vision.rules import RuleState, advance, is_undecided, judge, low_limits
from danzar.vision.stages import DETECT
from tests.vision.worlds import observation

LOW_HEALTH = HudCondition(kind="hud_below", field="health", below=40)
BOX = (0, 0, 10, 10)


def rule(frames=3, cooldown_s=60.0):
    return RuleSettings(
        name="low", when=LOW_HEALTH, frames=frames, cooldown_s=cooldown_s, message="!"
    )


def alerts(evidence, settings=None, step_s=1.0):
    """At which of the frames, one a second, an alert was raised."""
    state, raised = RuleState(), []
    for number, holds in enumerate(evidence):
        state, due = advance(state, settings or rule(), holds, number * step_s)
        if due:
            raised.append(number)
    return raised


def test_it_takes_as_many_frames_in_a_row_as_the_rule_says():
    assert alerts([True, True]) == []
    assert alerts([True, True, False, True, True]) == []
    assert alerts([True, True, True]) == [2]


def test_an_episode_is_told_once_however_long_it_lasts():
    assert alerts([True] * 200, rule(cooldown_s=10)) == [2]


def test_one_frame_on_the_other_side_does_not_begin_a_new_episode():
    assert alerts([True, True, True, False, True, True, True], rule(cooldown_s=1)) == [2]


def test_a_new_episode_after_as_many_frames_without_is_told():
    seen = [True] * 3 + [False] * 3 + [True] * 3
    assert alerts(seen, rule(cooldown_s=1)) == [2, 8]


def test_an_episode_that_begins_in_the_cooldown_is_told_when_it_is_over():
    seen = [True] * 3 + [False] * 3 + [True] * 100
    assert alerts(seen, rule(cooldown_s=50)) == [2, 52]


def test_a_frame_that_does_not_say_neither_counts_nor_breaks_the_row():
    assert alerts([True, None, True, None]) == []
    assert alerts([True, None, True, None, True]) == [4]


def test_a_frame_that_does_not_say_never_ends_an_episode():
    assert alerts([True] * 3 + [None] * 10 + [True] * 3, rule(cooldown_s=1)) == [2]


def test_counted_frames_are_forgotten_when_nothing_was_said_for_too_long():
    assert alerts([True, True, None, None, None, None, True]) == []


@given(
    st.lists(st.sampled_from([True, False, None]), max_size=120),
    st.integers(1, 6),
    st.floats(0.5, 40),
)
def test_alerts_are_never_nearer_than_the_cooldown_and_never_without_enough_frames(
    evidence, frames, cooldown_s
):
    raised = alerts(evidence, rule(frames, cooldown_s))
    assert all(later - earlier >= cooldown_s for earlier, later in pairwise(raised))
    for number in raised:
        assert evidence[number] is True
        assert evidence[: number + 1].count(True) >= frames


@given(st.lists(st.sampled_from([False, None]), max_size=50), st.integers(1, 5))
def test_nothing_is_raised_without_a_frame_that_agrees(evidence, frames):
    assert alerts(evidence, rule(frames)) == []


def test_a_rule_is_undecided_only_while_it_counts():
    assert not is_undecided(RuleState(), rule())
    assert is_undecided(RuleState(agreeing=1), rule())
    assert not is_undecided(RuleState(agreeing=3), rule())


@pytest.mark.parametrize(
    ("health", "holds"), [(39, True), (40, False), (100, False), (0, True), (None, None)]
)
def test_a_display_number_is_judged_against_the_limit(health, holds):
    assert judge(LOW_HEALTH, observation(hud=Hud(health=health))).holds is holds


def test_the_reading_holds_the_measured_number():
    assert judge(LOW_HEALTH, observation(hud=Hud(health=7))).reading == "health 7, below 40"


def test_a_label_counts_from_its_confidence_on():
    condition = SeenCondition(kind="seen", label="boss", confidence=0.6)
    for confidence, holds in ((0.59, False), (0.6, True)):
        seen = observation(detections=(Detection("boss", confidence, BOX),))
        assert judge(condition, seen).holds is holds
    assert judge(condition, observation()).holds is False


def test_a_detector_that_did_not_run_says_nothing():
    condition = SeenCondition(kind="seen", label="boss")
    assert judge(condition, observation(ran=())).holds is None


def test_a_concept_counts_above_its_limit_and_says_nothing_when_not_ranked():
    condition = ConceptCondition(kind="concept_above", concept="a boss fight", above=0.5)
    for score, holds in ((0.5, False), (0.51, True)):
        assert (
            judge(condition, observation(insights=(Insight("a boss fight", score),))).holds is holds
        )
    assert judge(condition, observation(ran=(DETECT,))).holds is None


def test_the_highest_limit_of_a_number_is_what_counts_as_low():
    other = rule().model_copy(
        update={"when": HudCondition(kind="hud_below", field="health", below=20)}
    )
    assert low_limits((rule(), other)) == {"health": 40}
