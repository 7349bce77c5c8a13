"""Random worlds for one plan, small enough that everything in them happens."""

from hypothesis import strategies as st

from danzar.core.book import Book, Lease, LeaseState, Limit, Margins, Reservation
from danzar.core.eviction import Resident
from danzar.core.plan import Demand, PlanInputs, PlanRules
from danzar.core.variant import LayerShape, Rung, Variant
from danzar.units import GIB
from tests.core.worlds import gpu, host

SIZES = st.integers(1, 14)


@st.composite
def variants(draw):
    first = draw(SIZES)
    layers = draw(st.none() | st.integers(2, 10))
    found = []
    for number, rung in enumerate((Rung.FULL, Rung.KV, Rung.CONTEXT)[: draw(st.integers(1, 3))]):
        size = max(1, first - 2 * number) * GIB
        shape = None if layers is None else LayerShape(layers, size // layers, GIB // 8)
        loss = "" if number == 0 else f"with less ({number})"
        found.append(Variant(rung, size, size, beside_bytes=GIB // 4, layers=shape, loss=loss))
    return tuple(found)


@st.composite
def leases(draw, uuids):
    count = draw(st.integers(0, 4))
    states = st.sampled_from([LeaseState.RESIDENT, LeaseState.RESIDENT, LeaseState.RELEASING])
    return tuple(
        Lease(
            number + 1,
            f"m{number}",
            draw(st.sampled_from(["chat", "vision"])),
            draw(st.sampled_from(uuids)),
            draw(st.integers(1, 6)) * GIB,
            draw(states),
        )
        for number in range(count)
    )


@st.composite
def plan_inputs(draw):
    free = draw(st.lists(st.none() | st.integers(0, 12), min_size=1, max_size=3))
    gpus = tuple(gpu(n, gib) for n, gib in enumerate(free))
    uuids = [g.uuid for g in gpus]
    booked = draw(leases(uuids))
    demand = Demand(
        model="asked",
        purpose=draw(st.sampled_from(["chat", "vision"])),
        variants=draw(variants()),
        context_bytes=GIB // 4,
        process_bytes=GIB // 8,
        device_order=tuple(draw(st.permutations(uuids))),
        ran_out=draw(st.just(()) | st.just(((uuids[0], 5 * GIB),))),
        min_free_bytes=draw(st.sampled_from([0, 2 * GIB])),
        allow_cpu=draw(st.booleans()),
        wants_cpu=draw(st.sampled_from([False, False, True])),
        waited_s=draw(st.sampled_from([0.0, 5.0, 20.0])),
    )
    residents = tuple(
        Resident(
            lease.model,
            ((lease.device_uuid, lease.lease_id, lease.size_bytes),),
            pinned=draw(st.sampled_from([False, False, True])),
            in_flight=draw(st.sampled_from([0, 0, 1])),
            reload_s=draw(st.sampled_from([1.0, 4.0])),
            use_probability=draw(st.sampled_from([0.1, 0.9])),
        )
        for lease in booked
        if lease.state is LeaseState.RESIDENT
    )
    book = Book(
        reservations=draw(st.just(()) | st.just((Reservation(uuids[0], "chat", 6 * GIB),))),
        budgets_bytes=draw(st.just(()) | st.just((("vision", 3 * GIB),))),
        limits=draw(st.just(()) | st.just((Limit(uuids[-1], 8 * GIB),))),
        margins=Margins(GIB // 4, GIB),
        leases=booked,
    )
    devices = (*gpus, host(draw(st.sampled_from([2.0, 16.0]))))
    policy = draw(st.sampled_from(["cost", "lru"]))
    return PlanInputs(demand, devices, book, residents, PlanRules(policy=policy), 100.0)
