"""Telling, calming down, coming back: when one incident is one message."""

from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from danzar.core.incident import (
    NONE_OPEN,
    Change,
    IncidentRules,
    Observation,
    OpenIncidents,
    follow_incidents,
    next_due_s,
    unwatched,
)
from danzar.core.pressure import Level

RULES = IncidentRules(tell_after_s=10.0, calm_s=60.0, reopen_s=300.0)
N, W, C = Level.NORMAL, Level.WARNING, Level.CRITICAL


class Play:
    """One key under a clock."""

    def __init__(self, rules: IncidentRules = RULES, state: OpenIncidents = NONE_OPEN) -> None:
        self.rules, self.state, self.changes = rules, state, []

    def at(self, at_s: float, level: Level | None) -> list[Change]:
        seen = [] if level is None else [Observation("k", level, f"at {at_s:g}")]
        self.state, changes = follow_incidents(self.state, seen, at_s, self.rules)
        self.changes += [(at_s, c.change, c.incident) for c in changes]
        return [c.change for c in changes]

    @property
    def now(self):
        return self.state.by_key["k"]


def test_trouble_is_told_once_it_has_lasted():
    play = Play()
    assert play.at(0, W) == [Change.OPENED]
    assert not play.now.told
    assert next_due_s(play.state, RULES) == 10.0
    assert play.at(9, W) == []
    assert play.at(10, W) == [Change.TOLD]
    assert play.now.told
    assert next_due_s(play.state, RULES) is None


def test_it_is_closed_only_after_it_has_been_calm():
    play = Play()
    play.at(0, W)
    play.at(10, W)
    assert play.at(30, N) == [Change.CALMED]
    assert next_due_s(play.state, RULES) == 90.0
    assert play.at(89, N) == []
    assert play.at(90, N) == [Change.CLOSED]
    closed = play.changes[-1][2]
    assert (closed.closed_at_s, closed.lasted_s(1e9)) == (30.0, 30.0)


def test_what_comes_back_soon_is_the_same_incident():
    play = Play()
    play.at(0, W)
    play.at(30, N)
    play.at(90, N)
    assert play.at(200, C) == [Change.RETURNED]
    assert (play.now.number, play.now.returns, play.now.worst) == (1, 1, C)
    play.at(210, N)
    play.at(270, N)
    assert play.at(510, W) == [Change.OPENED]
    assert play.now.number == 2


def test_flapping_is_told_although_no_turn_of_it_lasts():
    play = Play()
    for turn in range(20):
        play.at(10 * turn, W)
        play.at(10 * turn + 5, N)
    assert play.now.told
    assert play.now.returns == 19
    assert {incident.number for _, _, incident in play.changes} == {1}
    assert len(play.now.steps) <= 16
    assert play.now.steps[0].at_s == 0


def test_the_worst_step_of_a_long_course_is_kept():
    play = Play()
    for turn in range(60):
        play.at(10 * turn, C if turn == 7 else W)
        play.at(10 * turn + 5, N)
    assert [s.at_s for s in play.now.steps if s.level is C] == [70]
    assert play.now.worst_text == "at 70"


def test_unknown_neither_calms_nor_hides_what_lasts():
    play = Play()
    play.at(0, W)
    assert play.at(20, None) == [Change.TOLD]
    play.at(30, N)
    assert play.at(200, None) == []
    assert play.at(210, N) == [Change.CLOSED]


def test_what_ended_while_nobody_looked_is_closed_with_both_bounds():
    play = Play()
    play.at(0, W)
    play.at(100, W)
    later = Play(state=unwatched(play.state))
    assert later.at(5000, N) == [Change.CLOSED]
    closed = later.changes[-1][2]
    assert closed.ended_unseen
    assert (closed.closed_at_s, closed.seen_at_s) == (100.0, 5000.0)


def test_what_still_lasts_after_nobody_looked_goes_on():
    play = Play()
    play.at(0, W)
    play.at(100, W)
    later = Play(state=unwatched(play.state))
    assert later.at(5000, C) == [Change.WORSENED]
    assert later.now.opened_at_s == 0
    assert later.at(5030, N) == [Change.CALMED]


def test_a_short_look_away_is_no_end():
    play = Play()
    play.at(0, W)
    play.at(100, W)
    later = Play(state=unwatched(play.state))
    assert later.at(110, N) == [Change.CALMED]
    assert later.at(170, N) == [Change.CLOSED]
    assert not later.changes[-1][2].ended_unseen


# --- whatever happens -----------------------------------------------------------------------

INTERVAL_S = 30.0
rules = st.builds(
    IncidentRules,
    tell_after_s=st.sampled_from([0.0, 10.0, 45.0]),
    calm_s=st.sampled_from([0.0, 60.0, 100.0]),
    reopen_s=st.sampled_from([0.0, 60.0, 600.0]),
)
courses = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.none() | st.sampled_from(Level),
        st.sampled_from([1.0, 7.0, INTERVAL_S]),
    ),
    max_size=60,
)


def _live(course, rules):
    """The changes, and the truth as it was seen: (at_s, level) by key; ends in a long calm."""
    state, now_s, level, changes = NONE_OPEN, 0.0, {"a": N, "b": N}, []
    truth = {"a": [], "b": []}
    calm = [(key, N, INTERVAL_S) for _ in range(8) for key in "ab"]
    for key, new, wait_s in [*course, *calm]:
        now_s += wait_s
        level[key] = new
        seen = [Observation(k, at, "x") for k, at in level.items()]
        state, new_changes = follow_incidents(state, seen, now_s, rules)
        assert set(state.by_key) <= {"a", "b"}
        assert all(i.closed_at_s is None for i in state.by_key.values())
        changes += [(now_s, c.change, c.incident) for c in new_changes]
        for k in "ab":
            truth[k].append((now_s, level[k]))
    return state, changes, truth


def _told_spans(changes, key):
    """When messages of a key were up and open: from being told to the end of the trouble."""
    return [(at_s, i) for at_s, _, i in changes if i.key == key and i.told]


def _spells(seen):
    """Spells of trouble, where unknown goes on as before: (first, last seen in trouble)."""
    spells, begun, before = [], None, N
    for at_s, level in seen:
        now = before if level is None else level
        if now is not N:
            begun = (begun or (at_s, at_s))[0], at_s
        elif begun is not None:
            spells.append(begun)
            begun = None
        before = now
    return spells


@settings(max_examples=200)
@given(courses, rules)
def test_nothing_sustained_is_missed_and_nothing_is_told_twice(course, rules):
    state, changes, truth = _live(course, rules)
    for key in "ab":
        spells = _spells(truth[key])
        numbers = {i.number for _, _, i in changes if i.key == key}
        assert len(numbers) <= _distinct(spells, max(rules.calm_s, rules.reopen_s))
        # Whatever lasted longer than it takes to be told was told while it lasted.
        for first_s, end_s in spells:
            if end_s - first_s > rules.tell_after_s + INTERVAL_S:
                assert any(
                    at_s <= first_s + rules.tell_after_s + INTERVAL_S and number_at(i, first_s)
                    for at_s, i in _told_spans(changes, key)
                ), (first_s, end_s)
    # After the long calm everything is closed, and each incident that was told says so last.
    assert state.by_key == {}
    for number in {i.number for _, _, i in changes}:
        life = [change for _, change, i in changes if i.number == number]
        assert life[0] is Change.OPENED
        assert life.count(Change.OPENED) == 1
        assert life[-1] is Change.CLOSED


def _distinct(spells, apart_s):
    """How many troubles there were, if those closer to each other are one."""
    gaps = (after[0] - before[1] for before, after in pairwise(spells))
    return bool(spells) + sum(gap >= apart_s for gap in gaps)


def number_at(incident, first_s):
    """Whether this incident was about the trouble that began then."""
    return incident.opened_at_s <= first_s


@settings(max_examples=100)
@given(courses, rules)
def test_an_incident_is_told_for_good_and_never_two_of_a_key_are_open(course, rules):
    _, changes, _ = _live(course, rules)
    told, open_now = set(), {}
    for _, change, incident in changes:
        assert incident.told or incident.number not in told
        if incident.told:
            told.add(incident.number)
        if change is Change.CLOSED:
            assert open_now.pop(incident.key) == incident.number
        else:
            assert open_now.setdefault(incident.key, incident.number) == incident.number


def test_a_restart_in_between_changes_nothing_that_is_told():
    whole, parts = Play(), Play()
    for at_s, level in [(0, W), (30, W), (40, C), (50, C), (80, N), (140, N)]:
        whole.at(at_s, level)
        parts.state = unwatched(parts.state)
        parts.at(at_s, level)
    assert [(at, c, replace(i, unwatched=False)) for at, c, i in whole.changes] == parts.changes
