from hypothesis import given
from hypothesis import strategies as st

from danzar.core.incident import NONE_OPEN, Change, Observation, follow_incidents
from danzar.core.pressure import Level


def play(levels: list[Level | None]) -> list[tuple[Change, int, str]]:
    """Changes as (what, incident's number, text) for one key, one check a second."""
    state, seen = NONE_OPEN, []
    for at_s, level in enumerate(levels):
        observation = Observation("memory:a", level, f"text {at_s}")
        state, changes = follow_incidents(state, [observation], float(at_s))
        seen += [(c.change, c.incident.number, c.incident.text) for c in changes]
    return seen


def test_an_incident_is_opened_worsens_eases_and_is_closed():
    levels = [
        Level.NORMAL,
        Level.WARNING,
        Level.WARNING,
        Level.CRITICAL,
        Level.WARNING,
        Level.NORMAL,
    ]
    assert play(levels) == [
        (Change.OPENED, 1, "text 1"),
        (Change.WORSENED, 1, "text 3"),
        (Change.EASED, 1, "text 4"),
        (Change.CLOSED, 1, "text 5"),
    ]


def test_a_second_trouble_is_a_second_incident():
    numbers = [n for _, n, _ in play([Level.WARNING, Level.NORMAL, Level.CRITICAL])]
    assert numbers == [1, 1, 2]


def test_unknown_neither_opens_nor_closes():
    assert play([None]) == []
    assert [c for c, _, _ in play([Level.WARNING, None, None])] == [Change.OPENED]


def test_a_closed_incident_knows_how_long_it_lasted_and_how_bad_it_was():
    state, _ = follow_incidents(NONE_OPEN, [Observation("k", Level.CRITICAL, "x")], 10.0)
    state, (closed,) = follow_incidents(state, [Observation("k", Level.NORMAL, "x")], 70.0)
    assert closed.incident.lasted_s(999.0) == 60.0
    assert closed.incident.worst is Level.CRITICAL
    assert state.by_key == {}


@given(
    st.lists(
        st.lists(
            st.tuples(st.sampled_from("abc"), st.none() | st.sampled_from(Level)),
            max_size=3,
            unique_by=lambda pair: pair[0],
        ),
        max_size=20,
    )
)
def test_each_incident_is_opened_once_and_closed_at_most_once(checks):
    state, lives = NONE_OPEN, {}
    for at_s, check in enumerate(checks):
        seen = [Observation(key, level, "x") for key, level in check]
        state, changes = follow_incidents(state, seen, float(at_s))
        for step in changes:
            lives.setdefault(step.incident.number, []).append(step.change)
    for life in lives.values():
        assert life[0] is Change.OPENED
        assert Change.OPENED not in life[1:]
        assert Change.CLOSED not in life[:-1]
    still_open = {n for n, life in lives.items() if life[-1] is not Change.CLOSED}
    assert {i.number for i in state.by_key.values()} == still_open
