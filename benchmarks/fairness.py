"""How long each class and each person waits when one class asks ten times as often as the others.

    uv run python -m benchmarks.fairness                 a simulated day, two mixes
    uv run python -m benchmarks.fairness --json          the same as JSON
    uv run python -m benchmarks.fairness --requests 3000 a shorter one (the same day, less of it)

The production scheduler runs on simulated devices in virtual time, twice: with the order that
docs/fairness.md describes, and first come, first served (the scheduler is told that everyone is one
and the same asker without a bound, which is how Danzar ordered requests before). Nothing here
depends on how fast this computer is.
"""

import argparse
import json
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from danzar.commands.described import read_trace, read_world
from danzar.core.asker import NOBODY, Asker, RequestClass
from danzar.core.events import Effect, RefuseJob, StartJob
from danzar.core.queue import QueueRules
from danzar.simulate.class_waits import class_waits
from danzar.simulate.crowds import FLOODER
from danzar.simulate.simulation import Simulation
from danzar.simulate.trace import Ask, Trace
from danzar.simulate.world import World

WORLD = Path("config/examples/contended.yaml")
REQUESTS = 12_000
SEED = 7
# In virtual seconds. Nobody's time ever runs out, so that the oldest is always first.
FOREVER_S = 1e9


class Stopwatch:
    """Who waited for how long, by the lines of the trace: the scheduler need not know."""

    def __init__(self, trace: Trace) -> None:
        self.asks = [line for line in trace if isinstance(line, Ask)]
        self.waits_s: dict[Asker, list[float]] = defaultdict(list)
        self.refused: Counter[Asker] = Counter()
        self.simulation: Simulation | None = None

    def hear(self, effect: Effect) -> None:
        """Requests are numbered from 1 in the order of the trace."""
        match effect:
            case StartJob(job=job) if self.simulation is not None:
                ask = self.asks[job.job_id - 1]
                self.waits_s[_asker(ask)].append(self.simulation.now_s - ask.at_s)
            case RefuseJob(job_id=job_id):
                self.refused[_asker(self.asks[job_id - 1])] += 1
            case _:
                pass


def run(world: World, trace: Trace, *, fair: bool) -> dict[str, Any]:
    """One day; the figures are by the trace's classes in both orders."""
    bounds_s = world.rules.queue.bounds_s
    watch = Stopwatch(trace)
    seen = trace if fair else tuple(_anonymous(line) for line in trace)
    simulation = Simulation(world if fair else _first_come(world), seen, watch.hear)
    watch.simulation = simulation
    report = simulation.run()
    classes = class_waits(watch.waits_s, watch.refused, bounds_s)
    own = Asker(next(a.kind for a in watch.waits_s if a.person == FLOODER), FLOODER)
    others = [
        w for a, waits in watch.waits_s.items() if a.kind is own.kind and a != own for w in waits
    ]
    return {
        "order": "fair" if fair else "first come",
        "classes": msgspec.to_builtins(classes),
        "flooder": _person(watch, own),
        "others_of_its_class_max_s": round(max(others), 1),
        "unanswered": report.unanswered,
        "loads": report.loads,
        "virtual_s": report.virtual_s,
    }


def show(name: str, row: dict[str, Any]) -> None:
    print(f"\n{name}, {row['order']} ({row['loads']} loads, {row['unanswered']} unanswered)")
    print("  class    requests refused    p50 s    p99 s    max s  bound s  late  worst person s")
    for kind, wait in row["classes"].items():
        print(
            f"  {kind:<8} {wait['requests']:>8} {wait['refused']:>7} {wait['p50_s']:>8.1f} "
            f"{wait['p99_s']:>8.1f} {wait['max_s']:>8.1f} {wait['bound_s']:>8.0f} "
            f"{wait['late']:>5} {wait['worst_person_s']:>15.1f}"
        )
    flooder, others_s = row["flooder"], row["others_of_its_class_max_s"]
    print(
        f"  who floods: {flooder['requests']} started, {flooder['refused']} refused, waited "
        f"{flooder['max_s']:.1f} s at most; others of that class {others_s:.1f} s"
    )


def _person(watch: Stopwatch, asker: Asker) -> dict[str, float]:
    waits = watch.waits_s[asker]
    return {
        "requests": len(waits),
        "refused": watch.refused[asker],
        "max_s": round(max(waits), 1),
    }


def _asker(ask: Ask) -> Asker:
    return Asker(ask.request_class or RequestClass.CHAT, ask.person)


def _anonymous(line: Any) -> Any:
    return msgspec.structs.replace(line, request_class=NOBODY.kind, person=None)


def _first_come(world: World) -> World:
    rules = QueueRules(dict.fromkeys(RequestClass, FOREVER_S))
    return replace(world, rules=replace(world.rules, queue=rules))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--requests", type=int, default=REQUESTS)
    options = parser.parse_args()
    world = read_world(WORLD)
    rows = {}
    for maker in ("tenfold", "tenframes"):
        trace = read_trace(f"{maker}:{SEED}:{options.requests}", world)
        rows[maker] = [run(world, trace, fair=fair) for fair in (False, True)]
        if not options.json:
            for row in rows[maker]:
                show(maker, row)
    if options.json:
        print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
