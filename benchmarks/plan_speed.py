"""How long one plan takes, in worlds where planning is hardest.

    uv run python benchmarks/plan_speed.py          everything
    uv run python benchmarks/plan_speed.py --json   the same as JSON

Targets: under 1 ms for 8 cards and 50 models, under 10 ms for 64 cards and 1,000 models. All cards
are full in every world. The plan is timed alone, as the scheduler calls it, in seconds of this
thread's CPU time, so that other programs on the machine do not count; the garbage collector runs as
it does in the bot. Worlds are made from seeds, so that runs can be compared.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from random import Random

from danzar.core.book import Book, Lease, LeaseState, Margins, Reservation
from danzar.core.device import CPU_UUID, DeviceKind, DeviceSnapshot
from danzar.core.eviction import Resident
from danzar.core.placement import plan_placement
from danzar.core.plan import Demand, PlanInputs, PlanRules
from danzar.core.variant import LayerShape, Rung, Variant
from danzar.units import GIB, MIB

WORLDS = 100
SIZES = ((8, 50, 1.0), (64, 1000, 10.0))
NOW_S = 10_000.0


@dataclass(frozen=True)
class Case:
    """One kind of hard world: how its demand and its residents differ from the plain one."""

    name: str
    size_gib: float
    layers: int | None = None
    busy: bool = False
    policy: str = "cost"
    host_full: bool = False


CASES = (
    Case("one idle model makes room", 2.0),
    Case("several must go, on each card", 10.0),
    Case("several must go, lru", 10.0, policy="lru"),
    Case("a whole card must be emptied", 22.5),
    Case("larger than a card: split over several", 60.0, layers=80),
    Case("split, and all are busy", 60.0, layers=80, busy=True),
    Case("everything busy: every rung is tried", 10.0, layers=40, busy=True, host_full=True),
    Case("impossible: larger than everything", 4000.0, layers=80, host_full=True),
)


def world(case: Case, cards: int, models: int, random: Random) -> PlanInputs:
    """All cards full of models of 0.3 to 9 GiB; the demand has four variants."""
    devices = [_device(i) for i in range(cards)]
    leases: list[Lease] = []
    residents: list[Resident] = []
    free = {d.uuid: 24 * GIB for d in devices}
    for number in range(models):
        card = devices[number % cards]
        share = 24 * GIB * cards // models
        size = min(free[card.uuid], round(share * random.uniform(0.5, 1.4)))
        free[card.uuid] -= size
        name = f"model-{number:04}"
        lease_id = 2 * number + 1
        parts = ((card.uuid, lease_id, size), (CPU_UUID, lease_id + 1, 200 * MIB))
        purpose = random.choice(("chat", "vision", "speech"))
        leases += [Lease(i, name, purpose, u, b, LeaseState.RESIDENT) for u, i, b in parts]
        residents.append(
            Resident(
                name,
                parts,
                in_flight=int(case.busy),
                last_used_s=random.uniform(0, NOW_S),
                reload_s=random.uniform(1, 30),
                use_probability=random.random(),
            )
        )
    host_free = 0 if case.host_full else 64 * GIB
    host = replace(_device(-1), uuid=CPU_UUID, kind=DeviceKind.CPU, total_bytes=512 * GIB)
    measured = [replace(d, free_bytes=min(free[d.uuid], 256 * MIB)) for d in devices]
    return PlanInputs(
        demand=_demand(case, tuple(d.uuid for d in devices)),
        devices=(*measured, replace(host, free_bytes=host_free)),
        book=Book(
            (Reservation(devices[0].uuid, "games", 256 * MIB),),
            (("vision", 20 * GIB),),
            (),
            Margins(256 * MIB, GIB),
            tuple(leases),
        ),
        residents=tuple(residents),
        rules=PlanRules(policy=case.policy),
        now_s=NOW_S,
    )


def _device(index: int) -> DeviceSnapshot:
    total = 24 * GIB
    return DeviceSnapshot(
        f"GPU-{index}",
        index,
        "card",
        DeviceKind.CUDA,
        total,
        total,
        0,
        None,
        None,
        None,
        (),
        True,
        0.0,
    )


def _demand(case: Case, order: tuple[str, ...]) -> Demand:
    size = round(case.size_gib * GIB)
    variants = tuple(
        Variant(
            rung,
            round(size * share),
            round(size * share),
            layers=LayerShape(case.layers, round(size * share) // case.layers, 300 * MIB)
            if case.layers
            else None,
        )
        for rung, share in (
            (Rung.FULL, 1.0),
            (Rung.BATCH, 0.97),
            (Rung.KV, 0.9),
            (Rung.CONTEXT, 0.8),
        )
    )
    return Demand("wanted", "chat", variants, 300 * MIB, 200 * MIB, order, waited_s=4.0)


def measure(case: Case, cards: int, models: int) -> dict[str, object]:
    """Milliseconds over ``WORLDS`` worlds of one case."""
    taken: list[float] = []
    kinds: dict[str, int] = {}
    for seed in range(WORLDS):
        inputs = world(case, cards, models, Random(seed))
        began = time.thread_time()
        plan = plan_placement(inputs)
        taken.append(1000 * (time.thread_time() - began))
        kind = type(plan).__name__
        kinds[kind] = kinds.get(kind, 0) + 1
    taken.sort()
    return {
        "case": case.name,
        "cards": cards,
        "models": models,
        "p50_ms": statistics.median(taken),
        "p99_ms": taken[round(0.99 * (len(taken) - 1))],
        "max_ms": taken[-1],
        "plans": kinds,
    }


def rows() -> Iterator[tuple[dict[str, object], float]]:
    for cards, models, limit_ms in SIZES:
        for case in CASES:
            yield measure(case, cards, models), limit_ms


def main() -> None:
    show: Callable[[str], None] = print
    results = []
    for row, limit_ms in rows():
        results.append({**row, "limit_ms": limit_ms})
        if "--json" not in sys.argv:
            show(
                f"{row['cards']:>3} cards {row['models']:>5} models  {row['case']:<40} "
                f"p50 {row['p50_ms']:7.3f}  p99 {row['p99_ms']:7.3f}  max {row['max_ms']:7.3f} ms "
                f"(limit {limit_ms:g})  {row['plans']}"
            )
    if "--json" in sys.argv:
        show(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
