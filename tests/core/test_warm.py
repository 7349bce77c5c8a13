"""What is kept warm, what leaves first, and that nobody ever pays for it."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from danzar.core.book import WARM_PURPOSE, Book, Lease, LeaseState, Limit, Margins
from danzar.core.device import CPU_UUID
from danzar.core.events import (
    DropWarm,
    PagesSeen,
    Refusal,
    RefuseJob,
    StartLoad,
    StartStandby,
    StartUnload,
    WarmGone,
)
from danzar.core.instance import InstanceState
from danzar.core.reload import LoadWay, ProcessFrom
from danzar.core.room import rooms_of
from danzar.core.warm_files import files_to_drop
from danzar.core.warm_items import FilePages, WarmPhase, WarmRules, standby_of, weights_of
from danzar.core.warm_ways import reload_of
from danzar.units import MIB
from tests.core.warm_world import MARGIN, Host, vision
from tests.core.worlds import host, model


def evicted(*models, known=(), **world):
    """A host on which each of these was loaded once, and has left; ``known`` ones were not."""
    found = Host(*models, *known, **world)
    for each in models:
        found.load(each.name)
        found.finish()
        found.unload(each.name)
        found.finish()
    return found


def test_the_weights_of_a_model_that_leaves_are_kept_and_booked():
    world = evicted(vision("clip", 300))

    assert world.is_kept("clip")
    assert world.warm_leases() == {"clip": 300 * MIB}


def test_what_was_kept_is_booked_as_it_was_measured():
    world = Host(vision("clip", 300))
    world.load("clip")
    world.finish()
    world.unload("clip")
    world.finish(measured_mib=280)

    assert world.warm_leases() == {"clip": 280 * MIB}


@pytest.mark.parametrize(
    ("budget_mib", "warm_mib"),
    [
        pytest.param(0, 300, id="the budget is 0"),
        pytest.param(200, 300, id="it is larger than the budget"),
        pytest.param(1000, 0, id="its backend can't keep it"),
    ],
)
def test_what_can_not_be_kept_is_not(budget_mib, warm_mib):
    world = evicted(vision("clip", 300, warm_mib=warm_mib), budget_mib=budget_mib)

    assert not world.warm_leases()
    assert [e.keep_bytes for e in world.done if isinstance(e, StartUnload)] == [0]


def test_the_least_worth_leaves_for_what_is_worth_more():
    world = Host(vision("slow", 600), vision("quick", 600), budget_mib=1000)
    for name, seconds in (("quick", 0.5), ("slow", 60.0)):
        world.state.instances[name].usage.note_use(0.0)
        world.load(name)
        world.finish(seconds=seconds)
        world.unload(name)
        world.finish()

    assert world.is_kept("slow")
    assert world.dropped() == ["quick weights"]


def test_a_copy_worth_less_than_those_that_are_there_is_not_even_begun():
    world = Host(vision("slow", 600), vision("quick", 600), budget_mib=1000)
    for name, seconds in (("slow", 60.0), ("quick", 0.5)):
        world.state.instances[name].usage.note_use(0.0)
        world.load(name)
        world.finish(seconds=seconds)
        world.unload(name)
        world.finish()

    assert world.is_kept("slow")
    assert not world.dropped()
    assert [e.keep_bytes for e in world.done if isinstance(e, StartUnload)] == [600 * MIB, 0]


def test_a_load_that_needs_the_memory_has_it_at_once():
    world = evicted(vision("clip", 800), known=[vision("large", 3500, warm_mib=0)], free_mib=4000)
    assert world.is_kept("clip")

    world.load("large")

    order = [type(e) for e in world.under_way if isinstance(e, DropWarm | StartLoad)]
    assert order == [DropWarm, StartLoad]
    world.finish()  # fails where the load does not find its room
    assert world.state.instances["large"].state is InstanceState.READY
    assert not world.warm_leases()


def test_other_programs_that_grow_have_it_too():
    world = evicted(vision("clip", 800), free_mib=4000)

    world.foreign = 3150 * MIB
    world.read()
    world.finish()

    assert world.dropped() == ["clip weights"]
    assert world.free >= MARGIN


def test_no_more_leaves_than_must():
    world = evicted(vision("a", 300), vision("b", 300), vision("c", 300), free_mib=4000)

    world.foreign = (4000 - 900 - 100 + 250) * MIB
    world.read()
    world.finish()

    assert len(world.dropped()) == 1


def test_a_smaller_budget_is_kept_at_once():
    world = evicted(vision("a", 300), vision("b", 300))

    world.scheduler.set_rules(replace(world.rules, warm=WarmRules(300 * MIB)))
    world.read()
    world.finish()
    assert sum(world.warm_leases().values()) == 300 * MIB

    world.scheduler.set_rules(replace(world.rules, warm=WarmRules(0)))
    world.read()
    world.finish()
    assert not world.warm_leases()


def test_a_limit_on_host_ram_counts_what_is_kept():
    limit = Limit(CPU_UUID, 1000 * MIB)
    world = evicted(vision("a", 600), vision("b", 700), limits=(limit,))

    world.load("a")
    world.finish()

    # Copies of the same bytes: a's became its own, b's had to leave for the limit.
    booked = sum(x.size_bytes for x in world.scheduler.ledger.leases_on(CPU_UUID))
    assert booked <= 1000 * MIB
    assert world.state.instances["a"].state is InstanceState.READY


def test_on_the_cpu_a_model_works_on_its_copy_which_is_booked_once():
    world = evicted(vision("clip", 300))

    world.load("clip")
    world.finish()

    assert world.dropped() == ["clip weights"]
    assert [x.purpose for x in world.scheduler.ledger.leases_on(CPU_UUID)] == ["vision"]


def test_a_request_is_never_refused_for_what_is_kept():
    world = evicted(vision("clip", 900), known=[vision("other", 950, warm_mib=0)], free_mib=1060)

    world.load("other")
    world.finish()

    assert not [
        e for e in world.done if isinstance(e, RefuseJob) and e.kind is Refusal.CANNOT_PLACE
    ]
    assert world.state.instances["other"].state is InstanceState.READY


@pytest.mark.parametrize(
    ("uses", "kept"),
    [
        pytest.param(0, False, id="nobody will miss it"),
        pytest.param(20, True, id="it will be wanted soon"),
    ],
)
def test_whoever_waits_for_the_room_waits_only_for_what_is_worth_it(uses, kept):
    clip, other = vision("clip", 900, warm_mib=50), vision("other", 950, warm_mib=0)
    world = Host(clip, other, free_mib=1800)
    world.load("clip")
    world.finish()
    for _ in range(uses):
        world.state.instances["clip"].usage.note_use(0.0)

    world.now_s = 60.0
    world.load("other")

    assert [e.keep_bytes > 0 for e in world.done if isinstance(e, StartUnload)] == [kept]


def test_a_copy_that_failed_is_forgotten():
    world = Host(vision("clip", 300))
    world.load("clip")
    world.finish()
    world.unload("clip")
    world.tell(WarmGone(weights_of("clip"), "it can't be kept", world.snapshots()))
    world.finish()

    assert not world.warm_leases()


class TestStandby:
    def test_is_started_once_all_is_calm(self):
        world = evicted(vision("clip", 300, process=600 * MIB), standby=True, budget_mib=2000)
        for _ in range(35):
            world.read()
        world.finish()

        assert world.state.warm.phase(standby_of("torch")) is WarmPhase.KEPT
        assert sum(world.warm_leases().values()) == 900 * MIB

    @pytest.mark.parametrize(
        "world",
        [
            pytest.param({"standby": False, "budget_mib": 2000}, id="it is off"),
            pytest.param({"standby": True, "budget_mib": 500}, id="the budget is too small"),
            pytest.param(
                {"standby": True, "budget_mib": 2000, "free_mib": 1450}, id="RAM is short"
            ),
        ],
    )
    def test_is_not_started_where(self, world):
        world = evicted(vision("clip", 300, process=600 * MIB), **world)
        for _ in range(35):
            world.read()

        assert not [e for e in world.done if isinstance(e, StartStandby)]

    def test_is_not_started_before_anything_was_loaded(self):
        world = Host(vision("clip", 300, process=600 * MIB), standby=True, budget_mib=2000)
        for _ in range(35):
            world.read()

        assert not [e for e in world.done if isinstance(e, StartStandby)]

    def test_leaves_when_it_is_switched_off(self):
        world = evicted(vision("clip", 300, process=600 * MIB), standby=True, budget_mib=2000)
        for _ in range(35):
            world.read()
        world.finish()

        world.scheduler.set_rules(replace(world.rules, warm=WarmRules(2000 * MIB)))
        world.read()
        world.finish()

        assert world.dropped() == ["torch standby"]
        assert world.warm_leases() == {"clip": 300 * MIB}

    def test_one_that_had_to_leave_is_not_started_again_at_once(self):
        world = evicted(vision("clip", 300, process=600 * MIB), standby=True, budget_mib=2000)
        for _ in range(35):
            world.read()
        world.finish()
        world.tell(WarmGone(standby_of("torch"), "it was killed", world.snapshots()))
        world.done.clear()

        for _ in range(30):
            world.read()
        assert not [e for e in world.done if isinstance(e, StartStandby)]
        for _ in range(40):
            world.read()
        assert [e for e in world.done if isinstance(e, StartStandby)]


def test_a_reload_is_expected_to_go_as_things_stand():
    world = evicted(vision("clip", 300))
    instance = world.state.instances["clip"]

    assert reload_of(world.state, instance).way == LoadWay(warm=True)
    world.read()
    assert instance.usage.reload_s(300 * MIB) == reload_of(world.state, instance).seconds
    world.foreign = world.total
    world.read()
    world.finish()
    assert reload_of(world.state, instance).way == LoadWay(process=ProcessFrom.NEW)
    assert reload_of(world.state, instance).measured


gibs = st.integers(0, 4000).map(lambda n: n * MIB)


@given(free=gibs, kept=st.lists(gibs, max_size=4), held=gibs, claimed=gibs, limit=gibs | st.none())
def test_a_plan_has_the_room_that_it_would_have_without_the_warm_tier(
    free, kept, held, claimed, limit
):
    plain = [
        Lease(1, "a", "vision", CPU_UUID, held, LeaseState.RESIDENT),
        Lease(2, "b", "vision", CPU_UUID, claimed, LeaseState.CLAIMED),
    ]
    states = (LeaseState.RESIDENT, LeaseState.RELEASING)
    warm = [
        Lease(3 + n, "w", WARM_PURPOSE, CPU_UUID, size, states[n % 2])
        for n, size in enumerate(kept)
    ]
    limits = () if limit is None else (Limit(CPU_UUID, limit),)

    def headroom(leases, free_bytes):
        book = Book(limits=limits, margins=Margins(0, MARGIN), leases=tuple(leases))
        device = replace(host(), free_bytes=free_bytes)
        return rooms_of(book, (device,))[CPU_UUID].headroom_bytes("vision")

    assert headroom(plain + warm, free) == headroom(plain, free + sum(kept))


steps = st.lists(
    st.one_of(
        st.tuples(st.just("load"), st.sampled_from("abcd")),
        st.tuples(st.just("unload"), st.sampled_from("abcd")),
        st.tuples(st.just("use"), st.sampled_from("abcd")),
        st.tuples(st.just("foreign"), st.integers(0, 3000)),
        st.tuples(st.just("budget"), st.integers(0, 2000)),
        st.tuples(st.just("finish"), st.integers(0, 3)),
        st.tuples(st.just("read"), st.integers(1, 30)),
    ),
    max_size=40,
)


@settings(max_examples=150)
@given(steps=steps, standby=st.booleans())
def test_whatever_happens_the_budget_is_kept_and_loads_find_their_room(steps, standby):
    world = Host(
        vision("a", 900, process=600 * MIB),
        vision("b", 400, process=600 * MIB),
        vision("c", 1500, warm_mib=700, process=600 * MIB),
        vision("d", 2500, warm_mib=0, process=600 * MIB),
        free_mib=5000,
        standby=standby,
    )
    for what, value in steps:
        match what:
            case "load":
                world.load(value)
            case "unload":
                world.unload(value)
            case "use":
                world.state.instances[value].usage.note_use(world.now_s)
            case "foreign":
                # They take only what is free, and never between a plan and its load.
                world.finish()
                taken = sum(world.held.values())
                world.foreign = min(value * MIB, world.total - taken - MARGIN)
                world.read()
                world.finish()
            case "budget":
                rules = WarmRules(value * MIB, standby)
                world.scheduler.set_rules(replace(world.rules, warm=rules))
                world.read()
            case "finish":
                for _ in range(min(value, len(world.under_way))):
                    world.end(world.under_way.pop(0))
            case "read":
                world.read(value)
    world.finish()
    world.read()
    world.finish()
    kept = {key for key in world.held if not isinstance(key, str)}
    items = world.state.warm.items
    assert kept == {key for key, item in items.items() if item.phase is WarmPhase.KEPT}
    assert sum(world.warm_leases().values()) == sum(world.held[key] for key in kept)
    assert world.free >= MARGIN or not kept


@pytest.mark.parametrize(
    ("budget_mib", "dropped"),
    [
        pytest.param(300, (), id="all fit"),
        pytest.param(250, ("rare",), id="what is wanted less goes first"),
        pytest.param(0, ("rare", "often"), id="nothing is to stay"),
    ],
)
def test_the_page_cache_keeps_the_files_that_are_wanted(budget_mib, dropped):
    models = [model(name) for name in ("often", "rare", "loaded", "unknown")]
    world = Host(*models, free_mib=32000)
    world.load("loaded")
    world.finish()
    for name in ("often", "often", "rare"):
        world.state.instances[name].usage.note_use(0.0)
    sizes = (("often", 200), ("rare", 100), ("loaded", 5000), ("unknown", None))
    files = tuple(
        FilePages(name, None if mib is None else mib * MIB, 5000 * MIB) for name, mib in sizes
    )
    world.tell(PagesSeen(files))
    rules = replace(world.rules, warm=WarmRules(page_cache_bytes=budget_mib * MIB))
    world.scheduler.set_rules(rules)

    assert files_to_drop(world.state, 1.0) == dropped
