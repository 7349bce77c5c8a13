"""Worlds at random for the planner: full of everything that a plan may depend on."""

from random import Random

from danzar.core.book import Book, Lease, LeaseState, Limit, Margins, Reservation
from danzar.core.device import CPU_UUID, DeviceKind, DeviceSnapshot
from danzar.core.eviction import POLICIES, Resident
from danzar.core.plan import Demand, PlanInputs, PlanRules
from danzar.core.variant import LayerShape, Rung, Variant
from danzar.units import GIB, MIB

NOW_S = 10_000.0
PURPOSES = ("chat", "vision", "games")
SIZES_GIB = (0.5, 1.0, 2.0, 3.5, 5.0, 8.0)


def random_inputs(random: Random) -> PlanInputs:
    """One world; what is booked, held by others and free adds up on every device."""
    gpus = [f"GPU-{i}" for i in range(random.randint(1, 4))]
    totals = {uuid: random.choice((8, 12, 24)) * GIB for uuid in gpus} | {CPU_UUID: 32 * GIB}
    used = {uuid: round(random.random() ** 3 * total) for uuid, total in totals.items()}
    leases: list[Lease] = []
    residents = [
        resident
        for number in range(random.randint(2, 16))
        if (resident := _resident(random, f"model-{number}", gpus, totals, used, leases))
    ]
    reservations = [
        Reservation(random.choice(gpus), purpose, random.randint(0, 8) * GIB // 2)
        for purpose in random.sample(PURPOSES, random.randint(0, 2))
    ]
    return PlanInputs(
        demand=_demand(random, gpus),
        devices=tuple(_device(random, uuid, totals[uuid], used[uuid]) for uuid in totals),
        book=Book(
            tuple(reservations),
            tuple((p, random.randint(2, 12) * GIB) for p in PURPOSES if random.random() < 0.2),
            tuple(Limit(u, random.randint(4, 12) * GIB) for u in gpus if random.random() < 0.2),
            Margins(random.choice((0, 256 * MIB)), random.choice((0, GIB))),
            tuple(leases),
        ),
        residents=tuple(residents),
        rules=PlanRules(
            policy=random.choice(POLICIES), min_residence_s=random.choice((0.0, 0.0, 30.0))
        ),
        now_s=NOW_S,
    )


def _resident(
    random: Random,
    name: str,
    gpus: list[str],
    totals: dict[str, int],
    used: dict[str, int],
    leases: list[Lease],
) -> Resident | None:
    """A model on a card, or divided over two, where there is room; some are on their way."""
    size = round(random.choice(SIZES_GIB) * random.uniform(0.8, 1.2) * GIB)
    where = (
        random.sample(gpus, 2)
        if len(gpus) > 1 and random.random() < 0.15
        else [random.choice(gpus)]
    )
    state = random.choices(
        (LeaseState.RESIDENT, LeaseState.RELEASING, LeaseState.CLAIMED, LeaseState.QUARANTINED),
        (12, 2, 1, 0.3),
    )[0]
    if any(used[uuid] + size // len(where) > totals[uuid] for uuid in where):
        return None
    parts = [(uuid, size // len(where)) for uuid in where] + [(CPU_UUID, 200 * MIB)]
    purpose = random.choice(PURPOSES[:2])
    shares = []
    for uuid, part in parts:
        lease = Lease(len(leases) + 1, name, purpose, uuid, part, state)
        leases.append(lease)
        shares.append((uuid, lease.lease_id, part))
        used[uuid] += 0 if state is LeaseState.CLAIMED else part
    if state in (LeaseState.CLAIMED, LeaseState.QUARANTINED):
        return None
    return Resident(
        name,
        tuple(shares),
        priority=random.randint(0, 2),
        pinned=random.random() < 0.15,
        protected=random.random() < 0.1,
        in_flight=int(random.random() < 0.25),
        waiting=int(random.random() < 0.15),
        last_used_s=NOW_S - random.choice((1.0, 50.0, 700.0)) * random.random(),
        loaded_s=NOW_S - random.uniform(0, 100),
        reload_s=random.choice((1.0, 3.0, random.uniform(0.5, 20))),
        use_probability=random.choice((0.1, 0.5, random.random())),
    )


def _demand(random: Random, gpus: list[str]) -> Demand:
    size = round(random.choice((*SIZES_GIB, 14.0, 30.0)) * GIB)
    layers = random.choice((None, 12, 33))
    steps = sorted(random.sample((0.95, 0.8, 0.6, 0.5), random.randint(0, 3)), reverse=True)
    rungs = [Rung.FULL, *random.sample((Rung.BATCH, Rung.KV, Rung.CONTEXT), len(steps))]
    rungs = sorted(rungs, key=list(Rung).index)
    variants = tuple(
        Variant(
            rung,
            round(size * share),
            round(size * share),
            settings=() if share == 1.0 else (("n_ctx", round(8192 * share)),),
            beside_bytes=random.choice((0, 0, 300 * MIB)),
            layers=LayerShape(layers, round(size * share) // layers, 200 * MIB) if layers else None,
            loss="" if share == 1.0 else f"with {share} of it",
        )
        for rung, share in zip(rungs, (1.0, *steps), strict=True)
    )
    return Demand(
        model="wanted",
        purpose=random.choice(PURPOSES[:2]),
        variants=variants,
        context_bytes=random.choice((0, 300 * MIB)),
        process_bytes=random.choice((0, 200 * MIB)),
        device_order=tuple(random.sample(gpus, len(gpus))),
        shared_on=frozenset(u for u in gpus if random.random() < 0.15),
        ran_out=tuple((u, size) for u in gpus if random.random() < 0.08),
        min_free_bytes=random.choice((0, 0, 0, 0, 0, 2 * GIB)),
        allow_cpu=random.random() < 0.6,
        wants_cpu=random.random() < 0.04,
        waited_s=random.choice((0.0, 4.0, 20.0)),
    )


def _device(random: Random, uuid: str, total: int, used: int) -> DeviceSnapshot:
    free = None if random.random() < 0.03 else total - used
    return DeviceSnapshot(
        uuid=uuid,
        index=-1 if uuid == CPU_UUID else int(uuid.removeprefix("GPU-")),
        name="card",
        kind=DeviceKind.CPU if uuid == CPU_UUID else DeviceKind.CUDA,
        total_bytes=total,
        free_bytes=free,
        used_bytes=None if free is None else used,
        utilisation_pct=None,
        temperature_c=None,
        power_w=None,
        processes=(),
        simulated=True,
        sampled_at_s=NOW_S,
    )
