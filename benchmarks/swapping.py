"""An hour of words, pictures seen and made, watches and jobs on one 8 GB card that can't hold all.

    uv run python -m benchmarks.swapping                  both worlds, LRU and cost, six seeds
    uv run python -m benchmarks.swapping --all            the other policies, too
    uv run python -m benchmarks.swapping --json           the same as JSON
    uv run python -m benchmarks.swapping --seeds 1 2 3

The production scheduler runs on simulated devices in virtual time; nothing here depends on how fast
this computer is. In ``eight-gig`` the chat model, the model that makes pictures and those that look
at them exclude each other nearly wholly; in ``eight-gig-small`` about half of the models fit, so
that it matters who leaves. The last row of each world is the counter-test: the same hour with the
activations left out of what is booked, taken only while a request computes.
"""

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from danzar.commands.described import read_trace, read_world
from danzar.core.asker import Asker
from danzar.simulate.class_waits import class_waits
from danzar.simulate.simulation import Simulation
from danzar.simulate.world import SimModel, World
from danzar.units import GIB, MIB

WORLDS = {"eight-gig": 600, "eight-gig-small": 900}
"""Requests within the hour, by world."""
SEEDS = (101, 102, 103, 104, 105, 106)
POLICIES = ("lru", "cost")
UNBOOKED = "cost, activations not booked"
# Of what the example's sizes hold, by purpose: what a request takes only while it computes.
_ACTIVATIONS = {"chat": 300 * MIB, "pictures": 800 * MIB, "vision": 200 * MIB}
_SUMS = (
    "requests",
    "answered",
    "refused",
    "failed",
    "unanswered",
    "out_of_memory",
    "over_commits",
    "failed_loads",
    "loads",
    "evictions",
    "futile_evictions",
)


def run(world: World, traces: Sequence[str]) -> dict[str, Any]:
    """One policy over all seeds: sums, and the waits of all seeds together."""
    sums: Counter[str] = Counter()
    waits: dict[Asker, list[float]] = defaultdict(list)
    refused: Counter[Asker] = Counter()
    loaded_bytes, reload_s = 0, 0.0
    for name in traces:
        simulation = Simulation(world, read_trace(name, world))
        report = simulation.run()
        sums.update({key: getattr(report, key) for key in _SUMS})
        reload_s += report.reload_s
        loaded_bytes += sum(x.size_bytes for x in simulation.figures.loads if x.failed is None)
        for asker, seconds in simulation.figures.waits_by.items():
            waits[asker] += seconds
        refused += simulation.figures.refused_by
    return {
        **sums,
        "reload_s": round(reload_s, 1),
        "loaded_gib": round(loaded_bytes / GIB, 1),
        "classes": msgspec.to_builtins(class_waits(waits, refused, world.rules.queue.bounds_s)),
    }


def unbooked(world: World) -> World:
    """The same world, whose owner booked weights and caches only."""
    return replace(world, models={name: _lighter(m) for name, m in world.models.items()})


def compare(name: str, seeds: Iterable[int], policies: Iterable[str]) -> dict[str, Any]:
    """Each policy, and the counter-test, in one world."""
    world = read_world(Path("config/examples") / f"{name}.yaml")
    traces = [f"mixed:{seed}:{WORLDS[name]}" for seed in seeds]
    rows = {policy: run(world.with_policy(policy), traces) for policy in policies}
    rows[UNBOOKED] = run(unbooked(world.with_policy("cost")), traces)
    return rows


def show(name: str, rows: dict[str, Any], hours: int) -> None:
    print(f"\n{name}: {hours} simulated hours of {WORLDS[name]} requests each")
    for policy, row in rows.items():
        print(
            f"  {policy}: {row['out_of_memory']} out of memory, {row['over_commits']} over-commits"
            f", {row['unanswered']} unanswered, {row['failed']} failed, {row['refused']} refused\n"
            f"    {row['evictions']} evictions ({row['futile_evictions']} futile), {row['loads']} "
            f"loads of {row['loaded_gib']:.0f} GiB, {row['reload_s']:.0f} s of loading again"
        )
        for kind, wait in row["classes"].items():
            print(
                f"    {kind:<8} {wait['requests']:>5} waited {wait['p50_s']:>5.1f} s (median) "
                f"{wait['p99_s']:>6.1f} (99 %) {wait['max_s']:>6.1f} (longest), bound "
                f"{wait['bound_s']:.0f}: {wait['late']} late, {wait['refused']} refused"
            )


def _lighter(model: SimModel) -> SimModel:
    facts = model.facts
    less = _ACTIVATIONS[facts.purpose] // facts.slots
    variants = tuple(
        replace(v, cuda_bytes=v.cuda_bytes - less * facts.slots) for v in facts.variants
    )
    return replace(model, facts=replace(facts, variants=variants), unbooked_bytes=less)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--all", action="store_true", help="The policies largest and priority, too."
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    options = parser.parse_args()
    policies = (*POLICIES, "largest", "priority") if options.all else POLICIES
    results = {name: compare(name, options.seeds, policies) for name in WORLDS}
    if options.json:
        print(json.dumps(results, indent=2))
        return
    for name, rows in results.items():
        show(name, rows, len(options.seeds))


if __name__ == "__main__":
    main()
