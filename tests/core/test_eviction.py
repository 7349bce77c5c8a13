from hypothesis import given
from hypothesis import strategies as st

from danzar.core.eviction import POLICIES, Resident, choose_victims, is_evictable

residents = st.lists(
    st.builds(
        Resident,
        model=st.text("abcdefgh", min_size=1, max_size=4),
        lease_id=st.integers(1, 99),
        device_uuid=st.just("GPU-0"),
        size_bytes=st.integers(1, 100),
        priority=st.integers(0, 3),
        pinned=st.booleans(),
        in_flight=st.integers(0, 1),
        waiting=st.integers(0, 1),
        last_used_s=st.floats(0, 100),
    ),
    max_size=8,
    unique_by=lambda r: r.model,
)


@given(residents, st.integers(-5, 400), st.sampled_from(sorted(POLICIES)))
def test_victims_are_enough_evictable_and_none_is_superfluous(loaded, missing, policy):
    victims = choose_victims(loaded, missing, POLICIES[policy])
    total = sum(v.size_bytes for v in victims)
    evictable = sum(r.size_bytes for r in loaded if is_evictable(r))
    assert all(is_evictable(v) for v in victims)
    if missing <= 0 or evictable < missing:
        assert victims == ()
    else:
        assert total >= missing
        assert all(total - v.size_bytes < missing for v in victims)


def resident(name: str, size: int, used_s: float, priority: int = 0, waiting: int = 0) -> Resident:
    return Resident(name, 1, "GPU-0", size, priority, False, 0, waiting, used_s)


def test_lru_takes_the_longest_unused():
    loaded = [resident("new", 5, 9.0), resident("old", 5, 1.0)]
    assert [v.model for v in choose_victims(loaded, 4, POLICIES["lru"])] == ["old"]


def test_largest_takes_the_largest():
    loaded = [resident("small", 5, 1.0), resident("large", 50, 9.0)]
    assert [v.model for v in choose_victims(loaded, 4, POLICIES["largest"])] == ["large"]


def test_priority_takes_the_least_important():
    loaded = [resident("vital", 5, 1.0, priority=9), resident("minor", 5, 9.0, priority=1)]
    assert [v.model for v in choose_victims(loaded, 4, POLICIES["priority"])] == ["minor"]


def test_a_model_that_others_wait_for_goes_last():
    loaded = [resident("wanted", 5, 1.0, waiting=1), resident("unwanted", 5, 9.0)]
    assert [v.model for v in choose_victims(loaded, 4, POLICIES["lru"])] == ["unwanted"]
