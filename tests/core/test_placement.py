from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from danzar.core.eviction import Resident
from danzar.core.ledger import Ledger
from danzar.core.placement import plan_placement
from danzar.core.plan import (
    Demand,
    Impossible,
    NeedsEviction,
    PlacedOn,
    Plan,
    PlanInputs,
    PlanRules,
    WaitForIdle,
    WaitForRelease,
)
from danzar.core.room import rooms_of
from danzar.core.variant import LayerShape, Rung, Variant
from danzar.units import GIB
from tests.core.worlds import book, gpu, host, less, reserve, whole


def demand(
    gib: float = 4, *smaller_gib: float, purpose: str = "chat", order=("GPU-0", "GPU-1"), **changes
) -> Demand:
    variants = (whole(gib), *(less(x) for x in smaller_gib))
    return replace(Demand("m", purpose, variants, 0, 0, order), **changes)


def resident_on(ledger: Ledger, device: str, gib: float, name: str, **changes) -> Resident:
    purpose = changes.pop("purpose", "vision")
    lease = ledger.claim(name, purpose, device, round(gib * GIB))
    ledger.commit(lease.lease_id, None)
    return Resident(name, ((device, lease.lease_id, lease.size_bytes),), **changes)


def plan(wanted: Demand, devices, ledger: Ledger | None = None, residents=(), **rules) -> Plan:
    rules = {"policy": "lru", **rules}
    inputs = PlanInputs(
        wanted, tuple(devices), (ledger or book()).book, tuple(residents), PlanRules(**rules), 1e6
    )
    return plan_placement(inputs)


def test_the_first_device_with_room_is_taken():
    found = plan(demand(4), (gpu(0), gpu(1), host()))
    assert isinstance(found, PlacedOn)
    assert found.device_uuid == "GPU-0"
    assert found.degraded is None


def test_a_second_choice_says_why_with_the_number():
    found = plan(demand(4), (gpu(0, 1.5), gpu(1), host()))
    assert isinstance(found, PlacedOn)
    assert found.device_uuid == "GPU-1"
    assert "1.5GB" in (found.degraded or "")


def test_without_a_wish_any_card_is_as_good_as_another():
    found = plan(demand(4, prefers=False), (gpu(0, 1.5), gpu(1), host()))
    assert isinstance(found, PlacedOn)
    assert found.degraded is None


def test_the_cpu_is_the_last_choice_and_says_why():
    found = plan(demand(4), (gpu(0, 1), gpu(1, 2), host()))
    assert isinstance(found, PlacedOn)
    assert (found.device_uuid, found.rung) == ("cpu", Rung.CPU)
    assert "1.0GB" in (found.degraded or "")
    assert "2.0GB" in (found.degraded or "")


def test_without_any_gpu_running_on_the_cpu_is_not_called_degraded():
    found = plan(demand(4), (host(),))
    assert isinstance(found, PlacedOn)
    assert found.degraded is None


def test_a_device_whose_free_memory_is_unknown_never_hosts():
    assert isinstance(plan(demand(4, allow_cpu=False), (gpu(0, None),)), Impossible)


def test_idle_models_are_evicted_only_where_that_is_enough():
    ledger = book()
    small = resident_on(ledger, "GPU-0", 1, "small")
    large = resident_on(ledger, "GPU-1", 5, "large")
    found = plan(demand(4), (gpu(0, 1), gpu(1, 0)), ledger, (small, large))
    assert isinstance(found, NeedsEviction)
    assert (found.device_uuid, found.victims) == ("GPU-1", ("large",))


def test_the_card_whose_victims_cost_least_is_chosen():
    ledger = book()
    dear = resident_on(ledger, "GPU-0", 8, "dear", reload_s=60.0)
    cheap = resident_on(ledger, "GPU-1", 8, "cheap", reload_s=2.0)
    found = plan(demand(6), (gpu(0, 4), gpu(1, 4)), ledger, (dear, cheap), policy="cost")
    assert isinstance(found, NeedsEviction)
    assert (found.device_uuid, found.victims) == ("GPU-1", ("cheap",))


def test_nothing_is_evicted_while_unloads_under_way_make_enough_room():
    ledger = book()
    leaving = resident_on(ledger, "GPU-0", 5, "leaving")
    other = resident_on(ledger, "GPU-0", 6, "other")
    ledger.begin_release(leaving.lease_ids[0])
    found = plan(demand(4), (gpu(0, 0),), ledger, (other, leaving))
    assert isinstance(found, WaitForRelease)


@pytest.mark.parametrize("waited_s", [0.0, 1e6])
def test_pinned_models_are_never_victims(waited_s):
    ledger = book()
    pinned = resident_on(ledger, "GPU-0", 6, "pinned", pinned=True)
    wanted = demand(4, allow_cpu=False, waited_s=waited_s)
    assert isinstance(plan(wanted, (gpu(0, 0),), ledger, (pinned,)), Impossible)


def test_busy_models_are_waited_for_and_drained_when_that_takes_too_long():
    ledger = book()
    busy = resident_on(ledger, "GPU-0", 6, "busy", in_flight=1)
    wanted = demand(4, allow_cpu=False)
    found = plan(wanted, (gpu(0, 0),), ledger, (busy,))
    assert isinstance(found, WaitForIdle)
    assert found.models == ("busy",)
    found = plan(replace(wanted, waited_s=10.0), (gpu(0, 0),), ledger, (busy,), drain_after_s=10)
    assert isinstance(found, NeedsEviction)
    assert found.victims == ("busy",)


def test_a_protected_model_goes_only_where_nothing_else_helps():
    ledger = book()
    chat = resident_on(ledger, "GPU-0", 8, "chat", protected=True)
    cards = (gpu(0, 4),)
    found = plan(demand(6), (*cards, host()), ledger, (chat,))
    assert isinstance(found, PlacedOn)
    assert found.device_uuid == "cpu"
    found = plan(demand(6, allow_cpu=False), cards, ledger, (chat,))
    assert isinstance(found, NeedsEviction)
    found = plan(demand(6, protected=True), (*cards, host()), ledger, (chat,))
    assert isinstance(found, NeedsEviction)


def test_a_model_that_was_just_loaded_stays_for_its_time():
    ledger = book()
    new = resident_on(ledger, "GPU-0", 6, "new", loaded_s=1e6 - 5)
    wanted = demand(4, allow_cpu=False)
    found = plan(wanted, (gpu(0, 0),), ledger, (new,), min_residence_s=20)
    assert isinstance(found, WaitForIdle)
    assert isinstance(plan(wanted, (gpu(0, 0),), ledger, (new,), min_residence_s=4), NeedsEviction)


def test_a_request_waits_a_moment_for_the_full_model_before_it_gets_a_smaller_one():
    ledger = book()
    busy = resident_on(ledger, "GPU-0", 6, "busy", in_flight=1)
    wanted = demand(8, 4, order=("GPU-0",))
    found = plan(wanted, (gpu(0, 5), host()), ledger, (busy,), patience_s=3)
    assert isinstance(found, WaitForIdle)
    found = plan(replace(wanted, waited_s=3), (gpu(0, 5), host()), ledger, (busy,), patience_s=3)
    assert isinstance(found, PlacedOn)
    assert found.rung is Rung.CONTEXT


def test_a_smaller_way_says_what_is_lost_and_the_number_that_forced_it():
    found = plan(demand(8, 4), (gpu(0, 5), gpu(1, 2), host()))
    assert isinstance(found, PlacedOn)
    assert found.settings == (("n_ctx", 4096),)
    assert "with less context" in (found.degraded or "")
    assert "8.0GB are needed" in (found.degraded or "")
    assert "cuda:0 has room for 5.0GB" in (found.degraded or "")


def test_another_card_comes_before_any_loss_of_quality():
    found = plan(demand(8, 4), (gpu(0, 5), gpu(1, 9), host()))
    assert isinstance(found, PlacedOn)
    assert (found.device_uuid, found.rung) == ("GPU-1", Rung.FULL)


def layered(gib: float, layers: int) -> Variant:
    shape = LayerShape(layers, round(gib * GIB / layers), 0)
    return replace(whole(gib), layers=shape)


def test_a_model_too_large_for_one_card_is_split_over_several():
    wanted = replace(demand(), variants=(layered(18, 36),))
    found = plan(wanted, (gpu(0, 10), gpu(1, 12), host(1)))
    assert isinstance(found, PlacedOn)
    assert found.rung is Rung.SPLIT
    assert dict(found.settings) == {"layer_split": "24:12"}
    assert [s.layers for s in found.shares if s.device_uuid != "cpu"] == [24, 12]
    assert "over 2 cards" in (found.degraded or "")


def test_idle_models_leave_for_a_split_and_no_others():
    ledger = book()
    near = resident_on(ledger, "GPU-0", 6, "near")
    wanted = replace(demand(), variants=(layered(18, 36),), allow_cpu=False)
    found = plan(wanted, (gpu(0, 4), gpu(1, 12), host(1)), ledger, (near,))
    assert isinstance(found, NeedsEviction)
    assert found.victims == ("near",)


def test_what_fits_nowhere_whole_runs_with_a_part_of_its_layers_on_the_card():
    wanted = replace(demand(), variants=(layered(18, 36),))
    found = plan(wanted, (gpu(0, 9), host(32)))
    assert isinstance(found, PlacedOn)
    assert found.rung is Rung.LAYERS
    assert dict(found.settings) == {"n_gpu_layers": 18}
    assert sum(s.size_bytes for s in found.shares) == 18 * GIB
    assert "18 of 36 layers" in (found.degraded or "")


def test_too_few_layers_on_the_card_are_not_worth_it():
    wanted = replace(demand(), variants=(layered(18, 36),))
    found = plan(wanted, (gpu(0, 3), host(32)))
    assert isinstance(found, PlacedOn)
    assert found.rung is Rung.CPU


def test_vision_does_not_evict_a_chat_model_inside_its_reservation():
    ledger = book(reserve("GPU-0", 8))
    chat = resident_on(ledger, "GPU-0", 5, "chat", purpose="chat")
    wanted = demand(4, purpose="vision", order=("GPU-0",), allow_cpu=False)
    assert isinstance(plan(wanted, (gpu(0, 7),), ledger, (chat,)), PlacedOn)
    wanted = demand(5, purpose="vision", order=("GPU-0",), allow_cpu=False)
    assert isinstance(plan(wanted, (gpu(0, 7),), ledger, (chat,)), Impossible)


def test_a_card_that_ran_out_or_is_below_the_threshold_is_not_used_and_named():
    wanted = demand(1, ran_out=(("GPU-0", GIB),), min_free_bytes=2 * GIB)
    found = plan(wanted, (gpu(0), gpu(1, 1.5), host()))
    assert isinstance(found, PlacedOn)
    assert found.device_uuid == "cpu"
    assert "cuda:0 ran out" in (found.degraded or "")
    assert "cuda:1 has 1.5GB free, less than 2.0GB" in (found.degraded or "")


def test_on_a_card_that_ran_out_only_less_is_tried():
    wanted = demand(8, 4, order=("GPU-0",), ran_out=(("GPU-0", 8 * GIB),))
    found = plan(wanted, (gpu(0), host()))
    assert isinstance(found, PlacedOn)
    assert (found.device_uuid, found.rung) == ("GPU-0", Rung.CONTEXT)


def test_a_refusal_names_every_device_and_what_is_missing():
    found = plan(demand(4, allow_cpu=False), (gpu(0, 1), gpu(1, 3)))
    assert isinstance(found, Impossible)
    assert found.shortfall_bytes == 1 * GIB
    assert "cuda:0 has room for 1.0GB" in found.reason
    assert "cuda:1 has room for 3.0GB" in found.reason


def test_the_context_is_paid_only_where_the_worker_has_no_process():
    wanted = demand(1, context_bytes=GIB, shared_on=frozenset({"GPU-1"}))
    found = plan(wanted, (gpu(0, 1.5), gpu(1, 1.5)))
    assert isinstance(found, PlacedOn)
    assert (found.device_uuid, found.size_bytes) == ("GPU-1", GIB)


def test_host_ram_beside_the_card_is_booked_and_must_be_there():
    variant = replace(whole(4), beside_bytes=2 * GIB)
    wanted = replace(demand(), variants=(variant,), process_bytes=GIB)
    found = plan(wanted, (gpu(0), host(4)))
    assert isinstance(found, PlacedOn)
    assert [(s.device_uuid, s.size_bytes) for s in found.shares][1:] == [("cpu", 3 * GIB)]
    assert isinstance(plan(wanted, (gpu(0), host(2))), Impossible)


sizes = st.floats(0, 24, allow_nan=False)


@given(
    frees=st.lists(st.one_of(st.none(), sizes), min_size=1, max_size=8),
    needs=st.lists(st.floats(0.1, 60, allow_nan=False), min_size=1, max_size=3),
    layers=st.one_of(st.none(), st.integers(1, 60)),
    reserved=sizes,
    loaded=st.lists(
        st.tuples(st.integers(0, 7), sizes, st.booleans(), st.integers(0, 1)), max_size=6
    ),
    cpu=st.booleans(),
    waited_s=st.sampled_from([0.0, 5.0, 60.0]),
    policy=st.sampled_from(["cost", "lru", "largest", "priority"]),
)
def test_no_plan_ever_overcommits_or_touches_what_may_not_go(
    frees, needs, layers, reserved, loaded, cpu, waited_s, policy
):
    devices = (*(gpu(i, free, total_gib=48) for i, free in enumerate(frees)), host(4))
    ledger = book(reserve("GPU-0", reserved, "other"))
    residents = tuple(
        resident_on(ledger, f"GPU-{d}", g, f"r{n}", pinned=p, in_flight=busy)
        for n, (d, g, p, busy) in enumerate(loaded)
    )
    variants = tuple(
        whole(x) if layers is None else layered(x, layers) for x in sorted(needs, reverse=True)
    )
    order = tuple(d.uuid for d in devices)
    wanted = replace(demand(order=order), variants=variants, allow_cpu=cpu, waited_s=waited_s)
    found = plan(wanted, devices, ledger, residents, policy=policy)
    assert found == plan(wanted, devices, ledger, residents, policy=policy)
    rooms = rooms_of(ledger.book, devices)
    match found:
        case PlacedOn(shares):
            assert len({s.device_uuid for s in shares}) == len(shares)
            for share in shares:
                room = rooms[share.device_uuid].headroom_bytes(wanted.purpose)
                assert room is not None
                assert share.size_bytes <= room
        case NeedsEviction(_, victims):
            chosen = [r for r in residents if r.model in victims]
            assert chosen
            assert not any(r.pinned for r in chosen)
            assert waited_s >= 10 or not any(r.in_flight for r in chosen)
            after_eviction = replace_free(devices, ledger, chosen)
            kept = [r for r in residents if r not in chosen]
            again = plan(wanted, after_eviction, ledger, kept, policy=policy)
            assert isinstance(again, PlacedOn)


def replace_free(devices, ledger: Ledger, gone):
    """The world once the victims have left: bytes back, leases struck out."""
    back: dict[str, int] = {}
    for resident in gone:
        for uuid, lease_id, size in resident.shares:
            ledger.release(lease_id)
            back[uuid] = back.get(uuid, 0) + size
    return tuple(
        d if d.free_bytes is None else replace(d, free_bytes=d.free_bytes + back.get(d.uuid, 0))
        for d in devices
    )
