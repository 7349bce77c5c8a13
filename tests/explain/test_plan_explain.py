"""An explanation can't differ from the decision that it explains."""

from dataclasses import replace

from hypothesis import given, settings

from danzar.core.book import Book, Lease, LeaseState, Margins, Reservation
from danzar.core.eviction import Resident
from danzar.core.placement import plan_placement
from danzar.core.plan import (
    Demand,
    Impossible,
    NeedsEviction,
    PlacedOn,
    PlanInputs,
    PlanRules,
    WaitForIdle,
    WaitForRelease,
)
from danzar.core.variant import Rung, Variant
from danzar.explain.plan_explain import Verdict, explain
from danzar.units import GIB
from tests.core.worlds import gpu, host
from tests.explain.worlds import plan_inputs

SAYS = {
    PlacedOn: Verdict.FITS,
    NeedsEviction: Verdict.EVICT,
    WaitForRelease: Verdict.RELEASE,
    WaitForIdle: Verdict.BUSY,
}
BETTER = (Verdict.FITS, Verdict.EVICT, Verdict.RELEASE)


def asked(*variants: Variant, **changes) -> Demand:
    demand = Demand("chat", "chat", variants, GIB // 4, 0, ("GPU-0", "GPU-1"))
    return replace(demand, **changes)


def inputs(demand: Demand, *devices, book: Book | None = None, residents=()) -> PlanInputs:
    return PlanInputs(demand, devices, book or Book(), residents, PlanRules(), 50.0)


@settings(max_examples=200)
@given(plan_inputs())
def test_exactly_the_way_that_the_planner_took_is_marked(world):
    plan = plan_placement(world)
    told = explain(world, plan)
    chosen = [row for row in told.weighed if row.chosen]
    if isinstance(plan, Impossible):
        assert not chosen
        assert not [row for row in told.weighed if row.verdict in (*BETTER, Verdict.BUSY)]
        return
    assert chosen, (plan, told.weighed)
    assert chosen[0].verdict is SAYS[type(plan)]
    if isinstance(plan, PlacedOn):
        assert len(chosen) == 1
        assert chosen[0].rung is plan.rung


@settings(max_examples=200)
@given(plan_inputs())
def test_no_better_way_was_passed_over(world):
    plan = plan_placement(world)
    told = explain(world, plan)
    if not isinstance(plan, PlacedOn):
        return
    before = told.weighed[: [row.chosen for row in told.weighed].index(True)]
    assert not [row for row in before if row.verdict is Verdict.FITS]
    earlier = [row for row in before if (row.rung, row.loss) != _way(told)]
    assert not [row for row in earlier if row.verdict in BETTER]


@settings(max_examples=100)
@given(plan_inputs())
def test_a_devices_figures_add_up_to_its_room(world):
    for device in explain(world, plan_placement(world)).devices:
        if device.room_bytes is None:
            assert device.free_bytes is None
            continue
        assert device.free_bytes is not None
        left = device.free_bytes - device.in_flight_bytes
        if device.limit_left_bytes is not None:
            left = min(left, device.limit_left_bytes)
        left -= device.margin_bytes + sum(size for _, size in device.kept)
        if device.budget_left_bytes is not None:
            left = min(left, device.budget_left_bytes)
        assert left == device.room_bytes


def test_a_smaller_rung_shows_why_the_larger_one_was_skipped():
    small = Variant(Rung.CONTEXT, 3 * GIB, 3 * GIB, loss="with 2048 tokens of context")
    world = inputs(asked(Variant(Rung.FULL, 9 * GIB, 9 * GIB), small), gpu(0, 4.0), gpu(1, 2.0))
    told = explain(world, plan_placement(world))
    assert [(row.device, row.verdict, row.chosen) for row in told.weighed] == [
        ("cuda:0", Verdict.SHORT, False),
        ("cuda:1", Verdict.SHORT, False),
        ("cuda:0", Verdict.FITS, True),
        ("cuda:1", Verdict.SHORT, False),
    ]
    assert told.weighed[0].needed_bytes == round(9.25 * GIB)
    assert told.weighed[0].room_bytes == 4 * GIB


def test_who_leaves_is_named_with_what_it_costs():
    lease = Lease(1, "clip", "vision", "GPU-0", 4 * GIB, LeaseState.RESIDENT)
    clip = Resident("clip", (("GPU-0", 1, 4 * GIB),), reload_s=2.0, use_probability=0.25)
    world = inputs(
        asked(Variant(Rung.FULL, 5 * GIB, 5 * GIB), device_order=("GPU-0",)),
        gpu(0, 2.0),
        book=Book(leases=(lease,)),
        residents=(clip,),
    )
    told = explain(world, plan_placement(world))
    (row,) = told.weighed
    assert (row.verdict, row.models, row.chosen) == (Verdict.EVICT, ("clip",), True)
    (left,) = told.leaving
    assert (left.model, left.size_bytes, left.cost_s) == ("clip", 4 * GIB, 0.5)


def test_what_is_kept_for_others_and_the_margin_are_told():
    book = Book(reservations=(Reservation("GPU-0", "games", 6 * GIB),), margins=Margins(GIB, GIB))
    world = inputs(asked(Variant(Rung.FULL, 2 * GIB, 2 * GIB)), gpu(0, 10.0), book=book)
    (device,) = [d for d in explain(world, plan_placement(world)).devices if d.device != "cpu"]
    assert device.kept == (("games", 6 * GIB),)
    assert device.room_bytes == 3 * GIB
    assert device.simulated


def test_a_card_that_would_not_say_what_is_free_is_unknown_and_not_full():
    world = inputs(asked(Variant(Rung.FULL, GIB, GIB)), gpu(0, None), host())
    told = explain(world, plan_placement(world))
    assert [row.verdict for row in told.weighed] == [Verdict.UNKNOWN, Verdict.FITS]
    assert told.weighed[0].room_bytes is None


def _way(told):
    row = next(row for row in told.weighed if row.chosen)
    return (row.rung, row.loss)
