from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from danzar.core.eviction import Resident, lru
from danzar.core.ledger import Ledger
from danzar.core.placement import (
    Demand,
    Impossible,
    NeedsEviction,
    PlacedOn,
    WaitForRelease,
    plan_placement,
)
from danzar.units import GIB
from tests.core.worlds import book, gpu, host, reserve


def demand(gib: float = 4, *, purpose: str = "chat", order=("GPU-0", "GPU-1"), **changes) -> Demand:
    base = Demand("m", purpose, round(gib * GIB), 0, round(gib * GIB), order, frozenset(), True)
    return replace(base, **changes)


def resident_on(ledger: Ledger, device: str, gib: float, name: str, **changes) -> Resident:
    purpose = changes.pop("purpose", "vision")
    lease = ledger.claim(name, purpose, device, round(gib * GIB))
    ledger.commit(lease.lease_id, None)
    base = Resident(name, lease.lease_id, device, lease.size_bytes, 0, False, 0, 0, 0.0)
    return replace(base, **changes)


def test_the_first_device_with_room_is_taken():
    plan = plan_placement(demand(4), (gpu(0), gpu(1), host()), book(), (), lru)
    assert isinstance(plan, PlacedOn)
    assert plan.device_uuid == "GPU-0"
    assert plan.degraded is None


def test_a_second_choice_says_why_with_the_number():
    plan = plan_placement(demand(4), (gpu(0, 1.5), gpu(1), host()), book(), (), lru)
    assert isinstance(plan, PlacedOn)
    assert plan.device_uuid == "GPU-1"
    assert "1.5GB" in (plan.degraded or "")


def test_the_cpu_is_the_last_choice_and_says_why():
    plan = plan_placement(demand(4), (gpu(0, 1), gpu(1, 2), host()), book(), (), lru)
    assert isinstance(plan, PlacedOn)
    assert plan.device_uuid == "cpu"
    assert "1.0GB" in (plan.degraded or "")
    assert "2.0GB" in (plan.degraded or "")


def test_without_any_gpu_running_on_the_cpu_is_not_called_degraded():
    plan = plan_placement(demand(4), (host(),), book(), (), lru)
    assert isinstance(plan, PlacedOn)
    assert plan.degraded is None


def test_a_device_whose_free_memory_is_unknown_never_hosts():
    plan = plan_placement(demand(4, allow_cpu=False), (gpu(0, None),), book(), (), lru)
    assert isinstance(plan, Impossible)


def test_idle_models_are_evicted_only_where_that_is_enough():
    ledger = book()
    small = resident_on(ledger, "GPU-0", 1, "small")
    large = resident_on(ledger, "GPU-1", 5, "large")
    plan = plan_placement(demand(4), (gpu(0, 1), gpu(1, 0)), ledger, (small, large), lru)
    assert isinstance(plan, NeedsEviction)
    assert (plan.device_uuid, plan.victims) == ("GPU-1", ("large",))


def test_nothing_is_evicted_while_unloads_under_way_make_enough_room():
    ledger = book()
    leaving = resident_on(ledger, "GPU-0", 5, "leaving")
    other = resident_on(ledger, "GPU-0", 6, "other")
    ledger.begin_release(leaving.lease_id)
    plan = plan_placement(demand(4), (gpu(0, 0),), ledger, (other,), lru)
    assert isinstance(plan, WaitForRelease)


def test_busy_and_pinned_models_are_never_victims():
    ledger = book()
    busy = resident_on(ledger, "GPU-0", 6, "busy", in_flight=1)
    pinned = resident_on(ledger, "GPU-0", 6, "pinned", pinned=True)
    plan = plan_placement(demand(4, allow_cpu=False), (gpu(0, 0),), ledger, (busy, pinned), lru)
    assert isinstance(plan, Impossible)


def test_vision_does_not_evict_a_chat_model_inside_its_reservation():
    ledger = book(reserve("GPU-0", 8))
    chat = resident_on(ledger, "GPU-0", 5, "chat", purpose="chat")
    wanted = demand(4, purpose="vision", order=("GPU-0",), allow_cpu=False)
    assert isinstance(plan_placement(wanted, (gpu(0, 7),), ledger, (chat,), lru), PlacedOn)
    wanted = demand(5, purpose="vision", order=("GPU-0",), allow_cpu=False)
    assert isinstance(plan_placement(wanted, (gpu(0, 7),), ledger, (chat,), lru), Impossible)


def test_a_card_that_ran_out_or_is_below_the_threshold_is_not_used_and_named():
    wanted = demand(1, ran_out=frozenset({"GPU-0"}), min_free_bytes=2 * GIB)
    plan = plan_placement(wanted, (gpu(0), gpu(1, 1.5), host()), book(), (), lru)
    assert isinstance(plan, PlacedOn)
    assert plan.device_uuid == "cpu"
    assert "cuda:0 ran out" in (plan.degraded or "")
    assert "cuda:1 has 1.5GB free, less than 2.0GB" in (plan.degraded or "")


def test_a_refusal_names_every_device_and_what_is_missing():
    plan = plan_placement(demand(4, allow_cpu=False), (gpu(0, 1), gpu(1, 3)), book(), (), lru)
    assert isinstance(plan, Impossible)
    assert plan.shortfall_bytes == 1 * GIB
    assert "cuda:0 has room for 1.0GB" in plan.reason
    assert "cuda:1 has room for 3.0GB" in plan.reason


def test_the_context_is_paid_only_where_the_engine_has_no_process():
    wanted = demand(1, context_bytes=GIB, shared_on=frozenset({"GPU-1"}))
    plan = plan_placement(wanted, (gpu(0, 1.5), gpu(1, 1.5)), book(), (), lru)
    assert isinstance(plan, PlacedOn)
    assert (plan.device_uuid, plan.size_bytes) == ("GPU-1", GIB)


sizes = st.floats(0, 24, allow_nan=False)


@given(
    frees=st.lists(st.one_of(st.none(), sizes), min_size=1, max_size=8),
    need=st.floats(0.1, 30, allow_nan=False),
    reserved=sizes,
    loaded=st.lists(
        st.tuples(st.integers(0, 7), sizes, st.booleans(), st.integers(0, 1)), max_size=6
    ),
    cpu=st.booleans(),
)
def test_no_plan_ever_overcommits_or_touches_busy_or_pinned_models(
    frees, need, reserved, loaded, cpu
):
    devices = tuple(gpu(i, free, total_gib=48) for i, free in enumerate(frees))
    ledger = book(reserve("GPU-0", reserved, "other"))
    residents = tuple(
        resident_on(ledger, f"GPU-{d}", g, f"r{n}", pinned=p, in_flight=busy)
        for n, (d, g, p, busy) in enumerate(loaded)
    )
    wanted = demand(need, order=tuple(d.uuid for d in devices), allow_cpu=cpu)
    world = ((*devices, host(4)), ledger, residents, lru)
    plan = plan_placement(wanted, *world)
    assert plan == plan_placement(wanted, *world)
    by_uuid = {d.uuid: d for d in (*devices, host(4))}
    match plan:
        case PlacedOn(uuid, size, _, _):
            room = ledger.headroom_bytes(by_uuid[uuid], wanted.purpose)
            assert room is not None
            assert size <= room
        case NeedsEviction(uuid, victims, _):
            chosen = [r for r in residents if r.model in victims]
            assert all(r.device_uuid == uuid for r in chosen)
            assert not any(r.pinned or r.in_flight for r in chosen)
            gone = [r.lease_id for r in chosen]
            room = ledger.headroom_bytes(by_uuid[uuid], wanted.purpose)
            assert room is not None
            gain = ledger.gain_bytes(uuid, gone, wanted.purpose)
            assert room + gain >= wanted.bytes_on(by_uuid[uuid])
