import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from danzar.errors import OutOfMemory
from danzar.telemetry.simulated import SimulatedCard, SimulatedCards
from danzar.units import GIB, MIB


class Clock:
    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def simulated(clock):
    return SimulatedCards(now_s=clock)


async def card(simulated, number=0):
    return (await simulated.sample())[number]


async def test_the_seeds_two_cards_are_the_default(simulated):
    first, second, _ = await simulated.sample()
    assert (first.total_bytes, second.total_bytes) == (12 * GIB, 12 * GIB)
    assert first.free_bytes == 12 * GIB - 256 * MIB


async def test_what_is_held_is_gone_and_comes_back_when_released(simulated):
    uuid = simulated.uuids[0]
    before = await card(simulated)
    simulated.hold(uuid, 17, "danzar-llama", 8 * GIB)
    held = await card(simulated)
    assert before.free_bytes - held.free_bytes == 8 * GIB
    assert [(p.pid, p.name, p.used_bytes) for p in held.processes] == [
        (17, "danzar-llama", 8 * GIB)
    ]
    simulated.release(uuid, 17)
    assert (await card(simulated)).free_bytes == before.free_bytes


async def test_more_than_the_card_has_is_refused_and_changes_nothing(simulated):
    uuid = simulated.uuids[1]
    simulated.hold(uuid, 1, "a", 6 * GIB)
    with pytest.raises(OutOfMemory, match=r"cuda:1 .*simulated.* has 5\.8 GiB.*asked for 6\.0 GiB"):
        simulated.hold(uuid, 2, "b", 6 * GIB)
    assert [p.pid for p in (await card(simulated, 1)).processes] == [1]


async def test_a_process_may_change_what_it_holds_within_its_own_room(simulated):
    uuid = simulated.uuids[0]
    simulated.hold(uuid, 1, "a", 11 * GIB)
    simulated.hold(uuid, 1, "a", 11 * GIB + 512 * MIB)
    assert (await card(simulated)).processes[0].used_bytes == 11 * GIB + 512 * MIB


async def test_the_last_free_byte_may_be_taken_and_no_more(simulated):
    uuid = simulated.uuids[0]
    free_bytes = (await card(simulated)).free_bytes
    with pytest.raises(OutOfMemory):
        simulated.hold(uuid, 1, "a", free_bytes + 1)
    simulated.hold(uuid, 1, "a", free_bytes)
    assert (await card(simulated)).free_bytes == 0


async def test_foreign_use_shows_and_ends(simulated):
    uuid = simulated.uuids[0]
    simulated.set_foreign(uuid, 900, "game.exe", 4 * GIB)
    assert (await card(simulated)).processes[0].name == "game.exe"
    simulated.set_foreign(uuid, 900, "game.exe", 0)
    assert (await card(simulated)).processes == ()


async def test_utilisation_heat_and_power_follow_the_work(simulated, clock):
    idle = await card(simulated)
    assert idle.utilisation_pct == 0
    for _ in range(10):
        clock.now_s += 1
        simulated.note_work(simulated.uuids[0], 0.5)
    busy = await card(simulated)
    assert busy.utilisation_pct == 50
    assert busy.temperature_c > idle.temperature_c
    assert busy.power_w > idle.power_w
    assert (await card(simulated, 1)).utilisation_pct == 0
    clock.now_s += 5
    cooling = await card(simulated)
    assert cooling.utilisation_pct == 0
    assert idle.temperature_c < cooling.temperature_c <= busy.temperature_c


async def test_work_reported_late_is_never_above_full_load(simulated):
    for _ in range(20):
        simulated.note_work(simulated.uuids[0], 3.0)
    assert (await card(simulated)).utilisation_pct == 100


def test_two_cards_with_one_uuid_are_refused():
    with pytest.raises(ValueError, match="same uuid"):
        SimulatedCards([SimulatedCard("a", uuid="x"), SimulatedCard("b", uuid="x")])


STEP = st.tuples(
    st.sampled_from(["hold", "release", "foreign"]),
    st.integers(0, 1),
    st.integers(1, 4),
    st.integers(0, 20 * GIB),
)


@settings(max_examples=100)
@given(st.lists(STEP, max_size=40))
async def test_no_sequence_of_steps_takes_a_card_over_its_capacity(steps):
    simulated = SimulatedCards()
    expected = {uuid: {} for uuid in simulated.uuids}
    for kind, number, pid, size_bytes in steps:
        uuid = simulated.uuids[number]
        act = {"hold": simulated.hold, "foreign": simulated.set_foreign}.get(kind)
        try:
            if act is None:
                simulated.release(uuid, pid)
                size_bytes = 0
            else:
                act(uuid, pid, "p", size_bytes)
        except OutOfMemory:
            continue
        expected[uuid][pid] = size_bytes
    for snapshot in (await simulated.sample())[:-1]:
        held = sum(expected[snapshot.uuid].values())
        assert snapshot.free_bytes == snapshot.total_bytes - 256 * MIB - held
        assert snapshot.free_bytes >= 0
        assert snapshot.free_bytes + snapshot.used_bytes == snapshot.total_bytes
