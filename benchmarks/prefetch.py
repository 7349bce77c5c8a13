"""What loading ahead brings: time to the first part of an answer, with it and without it.

    python -m benchmarks.prefetch                     the small server of friends
    python -m benchmarks.prefetch --crowd guild       the lively server
    python -m benchmarks.prefetch --seeds 101 --json  some seeds only; the same as JSON

People with habits (danzar/simulate/rhythm.py) ask the models of config/examples/evenings.yaml for
four weeks; Danzar learns in the first two, and the last two count. The constants were chosen on
seeds 1 to 6; here seeds from 101 on count. The scheduler is the production one, on simulated cards
and in virtual time. "Delayed" counts requested loads that had to wait for a load ahead to make
way, and loads ahead that ran beside a requested one, for both would read the same disk.
"""

import argparse
import copy
import json
import statistics
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from danzar.commands.described import read_world
from danzar.core.prefetch_counts import PrefetchCounts
from danzar.simulate.figures import percentile
from danzar.simulate.makers import make_trace
from danzar.simulate.simulation import Simulation
from danzar.simulate.trace import Trace
from danzar.simulate.world import World

WORLD = Path("config/examples/evenings.yaml")
SEEDS = (101, 102, 103, 104)
LEARN_DAYS, MEASURED_DAYS = 14, 14
# More than anybody asks in a day; what comes after the last day is cut off.
MOST_A_DAY = {"friends": 15, "guild": 80}
DAY_S = 86_400.0
# Of virtual time; signs and questions are seen at once whatever this is.
SAMPLE_INTERVAL_S = 60.0


@dataclass(frozen=True)
class Run:
    """One seed, with or without loading ahead; only the measured days."""

    first_s: list[float]
    counts: PrefetchCounts
    delayed: int


def make(crowd: str, seed: int, world: World) -> Trace:
    days = LEARN_DAYS + MEASURED_DAYS
    trace = make_trace(f"{crowd}:{seed}:{MOST_A_DAY[crowd] * days}", world) or ()
    return tuple(line for line in trace if line.at_s < days * DAY_S)


def run(world: World, trace: Trace, *, ahead: bool) -> Run:
    simulation = Simulation(world.with_prediction(enabled=ahead), trace)
    simulation.advance(LEARN_DAYS * DAY_S)
    before = copy.deepcopy(simulation.scheduler.state.prefetches.total())
    simulation.run()
    after = simulation.scheduler.state.prefetches.total()
    counts = PrefetchCounts(
        **{name: getattr(after, name) - getattr(before, name) for name in after.__slots__}
    )
    measured = [s for at_s, s in simulation.figures.first_s if at_s >= LEARN_DAYS * DAY_S]
    watch = simulation.ahead
    return Run(measured, counts, len(watch.delayed) + len(watch.shared))


def together(runs: list[Run]) -> dict[str, Any]:
    """The figures of all seeds as one."""
    first_s = sorted(s for r in runs for s in r.first_s)
    total = PrefetchCounts()
    for one in runs:
        total.add(one.counts)
    share = total.wasted_share
    return {
        "turns": len(first_s),
        "p50_s": round(percentile(first_s, 50), 2),
        "p95_s": round(percentile(first_s, 95), 2),
        "mean_s": round(statistics.mean(first_s), 2),
        "requested_loads": total.misses,
        "loads_ahead": total.loads,
        "hits": total.hits,
        "wasted": total.wasted,
        "wasted_pct": None if share is None else round(100 * share, 1),
        "wasted_gib": round(total.wasted_bytes / 1024**3, 1),
        "delayed": sum(r.delayed for r in runs),
    }


def show(name: str, figures: dict[str, Any]) -> None:
    print(f"{name:<22}" + "  ".join(f"{key} {value}" for key, value in figures.items()))
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--crowd", choices=sorted(MOST_A_DAY), default="friends")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    world = replace(read_world(WORLD), sample_interval_s=SAMPLE_INTERVAL_S)
    runs: dict[bool, list[Run]] = {False: [], True: []}
    for seed in asked.seeds:
        trace = make(asked.crowd, seed, world)
        for ahead, found in runs.items():
            found.append(run(world, trace, ahead=ahead))
            if not asked.json:
                show(f"seed {seed} {'ahead' if ahead else 'none'}", together(found[-1:]))
    none, ahead = together(runs[False]), together(runs[True])
    if asked.json:
        print(json.dumps({"crowd": asked.crowd, "none": none, "ahead": ahead}, indent=2))
        return
    show(f"{asked.crowd} none", none)
    show(f"{asked.crowd} ahead", ahead)
    print(f"p50 with loading ahead is {100 * ahead['p50_s'] / none['p50_s']:.0f} % of p50 without")


if __name__ == "__main__":
    main()
