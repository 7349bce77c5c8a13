"""How many reload seconds each policy costs, on traces made from seeds that nothing was tuned on.

    uv run python benchmarks/policies.py            lru and cost, every world and maker
    uv run python benchmarks/policies.py --all      the other policies too
    uv run python benchmarks/policies.py --json     the same as JSON

Worlds are the files in config/examples; makers are those of ``danzar simulate``. The constants in
danzar/core/usage.py were chosen on seeds 1 to 6; here seeds 101 to 104 count. Beside each figure
stands what a planner that knew the future would have saved. Everything is simulated.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from danzar.commands.described import read_trace, read_world
from danzar.simulate.regret import regret_of
from danzar.simulate.simulation import Simulation
from danzar.simulate.world import World

WORLDS = ("one-card", "two-cards")
MAKERS = ("zipf", "bursts", "daynight", "twoclass")
SEEDS = (101, 102, 103, 104)
REQUESTS = 1000
POLICIES = ("lru", "largest", "priority", "cost") if "--all" in sys.argv else ("lru", "cost")
# Of virtual time; nothing here happens faster than a load takes.
SAMPLE_INTERVAL_S = 5.0


def run(world: World, trace_name: str, policy: str) -> dict[str, float]:
    trace = read_trace(trace_name, world)
    simulation = Simulation(world.with_policy(policy), trace)
    report = simulation.run()
    regret = regret_of(world, trace, simulation.figures)
    return {
        "reload_s": report.reload_s,
        "least_s": regret.least_s - (report.load_s - report.reload_s),
        "evictions": report.evictions,
        "futile": report.futile_evictions,
        "over_commits": report.over_commits,
        "unanswered": report.unanswered,
    }


def compare(world_name: str, maker: str) -> dict[str, Any]:
    """Sums over all seeds."""
    described = read_world(Path("config/examples") / f"{world_name}.yaml")
    world = replace(described, sample_interval_s=SAMPLE_INTERVAL_S)
    sums: dict[str, dict[str, float]] = {}
    for policy in POLICIES:
        runs = [run(world, f"{maker}:{seed}:{REQUESTS}", policy) for seed in SEEDS]
        sums[policy] = {key: round(sum(r[key] for r in runs), 1) for key in runs[0]}
    return {"world": world_name, "maker": maker, "policies": sums}


def fewer_pct(row: dict[str, Any], policy: str, key: str = "reload_s") -> float:
    return 100 * (1 - row["policies"][policy][key] / row["policies"]["lru"]["reload_s"])


def show(row: dict[str, Any]) -> None:
    cost = row["policies"]["cost"]
    others = ", ".join(f"{p} {row['policies'][p]['reload_s']:.0f}" for p in POLICIES)
    known = fewer_pct(row, "cost", "least_s")
    print(
        f"{row['world']:<10} {row['maker']:<9} reload s: {others}; "
        f"cost {fewer_pct(row, 'cost'):.0f} % fewer than lru (knowing the future: {known:.0f} %); "
        f"{cost['evictions']:.0f} evictions, {cost['futile']:.0f} futile, "
        f"{cost['over_commits']:.0f} over-commits, {cost['unanswered']:.0f} unanswered"
    )


def main() -> None:
    rows = []
    for world_name in WORLDS:
        for maker in MAKERS:
            rows.append(compare(world_name, maker))
            if "--json" not in sys.argv:
                show(rows[-1])
                sys.stdout.flush()
    if "--json" in sys.argv:
        print(json.dumps(rows, indent=2))
        return
    spent = {p: sum(r["policies"][p]["reload_s"] for r in rows) for p in POLICIES}
    print(f"together: cost {100 * (1 - spent['cost'] / spent['lru']):.0f} % fewer than lru")


if __name__ == "__main__":
    main()
